"""Deletes a log topic; its entries are gone at once, and from the disk in time (see `purge`)."""

from log_service.dependencies import Dependencies
from log_service.domain.names import LogTopicName
from log_service.store import log_topics


def delete_log_topic(deps: Dependencies, name: LogTopicName) -> None:
    """Raises LogTopicNotFound."""
    with deps.database.write() as connection:
        log_topics.delete(connection, name)
    deps.news.tell([name])
