"""What the policy service can be told: `POLICY_SERVICE_…`."""

from dataclasses import dataclass

from servicekit.config import ServerSettings, address, database_setting, integer, listen_setting, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(50051)
    database_url: str = database_setting("policy_service")
    compute_address: str = setting("127.0.0.1:50053", "where compute listens", address)
    log_address: str = setting("127.0.0.1:50054", "where the log service listens", address)
    trigger_lease_seconds: int = setting(30, "operating time that a scheduler has for a trigger", integer(1, 3600))
    sweep_interval_seconds: int = setting(
        86_400, "product time between two sweeps for associations of deleted instances", integer(60, 31_536_000)
    )
