"""A real log service in this process, and what tests put into it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.rpc.status_pb2 import Status

from autoimage.log.v1.log_pb2 import LogEntry, LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    CreateLogSetRequest,
    CreateLogTopicRequest,
    ListLogEntriesRequest,
    LogEntryFilter,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
    WriteLogEntriesRequest,
)
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from log_service.dependencies import Dependencies
from log_service.main import registration
from servicekit.database import Database
from servicekit.timestamps import to_proto
from tests.support import START, ManualClocks, clocks, database, running_server

PLACE = "accounts/acme/regions/cn-north-1"
LOG_SET = f"{PLACE}/logSets/backups"
TOPIC = f"{LOG_SET}/logTopics/executions"
REGIONS = frozenset({"cn-north-1", "cn-south-1"})


@dataclass(frozen=True)
class LogService:
    """The service's stub, and what it runs on."""

    stub: LogServiceStub
    deps: Dependencies
    time: ManualClocks

    def create_log_set(self, parent: str = PLACE, log_set_id: str = "backups", **fields: object) -> LogSet:
        return self.stub.CreateLogSet(
            CreateLogSetRequest(
                parent=parent, log_set_id=log_set_id, log_set=log_set(**{"display_name": log_set_id, **fields})
            )
        )

    def create_topic(self, parent: str = LOG_SET, log_topic_id: str = "executions", **fields: object) -> LogTopic:
        return self.stub.CreateLogTopic(
            CreateLogTopicRequest(
                parent=parent, log_topic_id=log_topic_id, log_topic=topic(**{"display_name": log_topic_id, **fields})
            )
        )

    def change_log_set(self, name: str = LOG_SET, **fields: Any) -> LogSet:
        return self.stub.UpdateLogSet(UpdateLogSetRequest(log_set=LogSet(name=name, **fields)))

    def change_topic(self, name: str = TOPIC, **fields: Any) -> LogTopic:
        return self.stub.UpdateLogTopic(UpdateLogTopicRequest(log_topic=LogTopic(name=name, **fields)))

    def write(self, *entries: LogEntry) -> list[Status]:
        return list(self.stub.WriteLogEntries(WriteLogEntriesRequest(entries=entries)).statuses)

    def entries(self, parent: str = TOPIC, **filter: Any) -> list[LogEntry]:
        """The first 100 that fit the filter."""
        chosen = LogEntryFilter(**filter)
        return list(
            self.stub.ListLogEntries(ListLogEntriesRequest(parent=parent, page_size=100, filter=chosen)).entries
        )


@contextmanager
def running_log_service(folder: Path) -> Iterator[LogService]:
    """With its database in the folder, a new one or that of before, and clocks that stand still at START."""
    time = clocks()
    path = folder / "log_service.db"
    db = Database(f"sqlite:///{path}") if path.exists() else database(folder, "log_service")
    deps = Dependencies(db, time)
    try:
        with running_server(registration(deps, REGIONS)) as channel:
            yield LogService(LogServiceStub(channel), deps, time)
    finally:
        db.dispose()


def log_set(**fields: object) -> LogSet:
    return LogSet(**{"display_name": "Backups", **fields})  # type: ignore[arg-type]


def topic(**fields: object) -> LogTopic:
    """A topic for execution logs, as policies want it."""
    defaults = {
        "display_name": "Executions",
        "source": LogTopic.SOURCE_CLOUD_PRODUCT,
        "product": LogTopic.PRODUCT_AUTOMATIC_TASK_POLICY,
        "log_type": LogTopic.LOG_TYPE_AUTOMATIC_IMAGE_POLICY_EXECUTION,
    }
    return LogTopic(**{**defaults, **fields})  # type: ignore[arg-type]


def entry(insert_id: str = "entry-1", **fields: object) -> LogEntry:
    """An entry for TOPIC that has what it must have, at START."""
    defaults = {
        "log_topic": TOPIC,
        "insert_id": insert_id,
        "event_time": to_proto(START),
        "severity": LogEntry.SEVERITY_INFO,
        "event": LogEntry.EVENT_EXECUTION_STARTED,
    }
    return LogEntry(**{**defaults, **fields})  # type: ignore[arg-type]
