"""What the scheduler service can be told: `SCHEDULER_SERVICE_<NAME>`."""

from dataclasses import dataclass

from servicekit.config import ServerSettings, address, database_setting, integer, listen_setting, setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(50052)
    database_url: str = database_setting("scheduler_service")
    policy_address: str = setting("127.0.0.1:50051", "where the policy service listens", address)
    compute_address: str = setting("127.0.0.1:50053", "where compute listens", address)
    log_address: str = setting("127.0.0.1:50054", "where the log service listens", address)
    task_lease_seconds: int = setting(30, "how long a replica has for the tasks that it took up", integer(1, 3600))
    senders: int = setting(2, "threads that send builds to compute", integer(1, 16))
    max_builds_in_flight: int = setting(
        0, "builds in flight at most, for each account and region; 0: no limit", integer(0, 1_000_000)
    )
