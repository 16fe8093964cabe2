"""What the policy service can be told: `POLICY_SERVICE_…`."""

from dataclasses import dataclass

from servicekit.config import (
    ServerSettings,
    address,
    database_setting,
    integer,
    listen_setting,
    setting,
    short_text,
    switch,
)


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
    invite_only: bool = setting(False, "on: only invited accounts may change something; on or off", switch)
    invited_accounts_file: str = setting("", "the invited accounts, one a line; read again when it changes", str)
    invitation_contact: str = setting(
        "ask whoever runs this service", "what others are told to do, after `to apply, `", short_text(120)
    )
