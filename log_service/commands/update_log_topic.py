"""Changes a log topic's display name (rule L1)."""

from log_service.dependencies import Dependencies
from log_service.domain.logs import LogTopic
from log_service.domain.names import LogTopicName
from log_service.store import log_topics


def update_log_topic(deps: Dependencies, name: LogTopicName, display_name: str | None) -> LogTopic:
    """The topic as it is then; None leaves it as it is. Raises LogTopicNotFound or DisplayNameTaken."""
    with deps.database.write() as connection:
        if display_name is not None:
            log_topics.rename(connection, name, display_name)
        return log_topics.get(connection, name)
