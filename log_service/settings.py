"""What the log service can be told: `LOG_SERVICE_…`."""

from dataclasses import dataclass

from servicekit.config import ServerSettings, database_setting, listen_setting


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(50054)
    database_url: str = database_setting("log_service")
