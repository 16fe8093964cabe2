"""What the databases hold at one instant, read beside the services' own code."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoimage.log.v1.log_pb2 import LogEntry
from tests.simulation.ledger import Ledger


@dataclass(frozen=True)
class Run:
    """An execution, or the record of missed points: then `points` is their first, last and number."""

    uid: str
    name: str
    policy_uid: str
    kind: str
    state: str
    scheduled_time: int
    run_id: str
    trigger_time: int
    log_topic: str
    points: tuple[int, int, int] | None
    reason: str
    ended: bool
    counts: dict[str, int]


@dataclass(frozen=True)
class TaskFact:
    run: Run
    instance: str
    association_uid: str
    request_id: str
    state: str
    phase: str
    reason: str
    image: str
    begun: bool
    end_time: int | None
    late: bool

    @property
    def ended(self) -> bool:
        return self.state not in ("PENDING", "BUILDING")


@dataclass(frozen=True)
class ImageFact:
    name: str
    place: str
    execution: str
    policy: str
    scheduled_time: str
    instance: str
    request_id: str
    state: str
    settled: bool
    snapshots: int
    create_time: int

    @property
    def lives(self) -> bool:
        return self.state != "ERROR"

    @property
    def holds_quota(self) -> bool:
        """A failed one does until somebody looks."""
        return self.lives or not self.settled


@dataclass(frozen=True)
class Facts:
    """`limits` and `used` are by place and kind of quota; `linked` are (policy uid, instance, association uid)."""

    now: int
    runs: list[Run]
    tasks: list[TaskFact]
    images: list[ImageFact]
    used: dict[tuple[str, str], int]
    limits: dict[tuple[str, str], int | None]
    disks: Counter[str]
    instances: list[str]
    policies: dict[str, tuple[str, int | None, int]]
    """Name, next execution time and number of instances of each policy, by uid."""
    linked: list[tuple[str, str, str]]
    triggers: int
    undelivered: int
    dropped: int
    entries: Counter[tuple[str, str, str]]
    """How many log entries there are of an execution, an instance (or none) and an event."""


def read(folder: Path, ledger: Ledger, now: int, compute_time: int, *, logs: bool) -> Facts:
    """All of it; log entries only if asked for."""
    with closing(sqlite3.connect(":memory:")) as databases:
        databases.row_factory = sqlite3.Row
        for service in ("compute_sim", "log_service", "policy_service", "scheduler_service"):
            databases.execute("ATTACH ? AS " + service, [str(folder / f"{service}.db")])
        return _read(databases, ledger, now, compute_time, logs=logs)


def _read(databases: sqlite3.Connection, ledger: Ledger, now: int, compute_time: int, *, logs: bool) -> Facts:
    runs = {run.uid: run for run in _runs(databases)}
    images = list(_images(databases, compute_time))
    for image in images:
        ledger.built.setdefault((image.execution, image.instance), set()).add(image.name)
    quotas = _rows(databases, "SELECT account, region, kind, own_limit, used FROM compute_sim.quotas")
    used = {(_place(quota), quota["kind"]): quota["used"] for quota in quotas}
    ledger.see_used(used)
    return Facts(
        now=now,
        runs=list(runs.values()),
        tasks=list(_tasks(databases, runs)),
        images=images,
        used=used,
        limits={(_place(q), q["kind"]): q["own_limit"] for q in quotas},
        disks=Counter(
            _place(row)
            for row in _rows(
                databases, "SELECT account, region FROM compute_sim.instance_disks WHERE disk_id IS NOT NULL"
            )
        ),
        instances=[
            f"{_place(row)}/instances/{row['instance_id']}"
            for row in _rows(databases, "SELECT account, region, instance_id FROM compute_sim.instances")
        ],
        policies={
            row["uid"]: (
                f"{_place(row)}/policies/{row['policy_id']}",
                row["next_execution_micros"],
                row["instance_count"],
            )
            for row in _rows(databases, "SELECT * FROM policy_service.policies")
        },
        linked=[
            (row["policy_uid"], f"{_place(row)}/instances/{row['instance_id']}", row["uid"])
            for row in _rows(databases, "SELECT * FROM policy_service.associations")
        ],
        triggers=_count(databases, "policy_service.triggers"),
        undelivered=_count(databases, "scheduler_service.outbox"),
        dropped=_count_dropped(databases),
        entries=Counter(_entries(databases)) if logs else Counter(),
    )


def _rows(databases: sqlite3.Connection, query: str) -> list[sqlite3.Row]:
    return databases.execute(query).fetchall()


def _count(databases: sqlite3.Connection, table: str) -> int:
    return int(_rows(databases, f"SELECT count(*) AS found FROM {table}")[0]["found"])


def _count_dropped(databases: sqlite3.Connection) -> int:
    query = "SELECT value FROM scheduler_service.counters WHERE name = 'dropped_log_entries'"
    return int(_rows(databases, query)[0]["value"])


def _place(row: sqlite3.Row) -> str:
    return f"accounts/{row['account']}/regions/{row['region']}"


def _runs(databases: sqlite3.Connection) -> Iterator[Run]:
    for row in _rows(databases, "SELECT * FROM scheduler_service.executions"):
        missed: list[Any] | None = json.loads(row["missed"]) if row["missed"] else None
        yield Run(
            uid=row["uid"],
            name=f"{_place(row)}/policies/{row['policy_id']}/executions/{row['execution_id']}",
            policy_uid=row["policy_uid"],
            kind=row["kind"],
            state=row["state"],
            scheduled_time=row["scheduled_time"],
            run_id=row["run_id"],
            trigger_time=row["trigger_time"],
            log_topic=row["log_topic"],
            points=(missed[0], missed[1], missed[2]) if missed else None,
            reason=missed[3] if missed else "",
            ended=row["end_time"] is not None,
            counts={name: row[name] for name in ("total", "open", "succeeded", "failed", "skipped", "cancelled")},
        )


def _tasks(databases: sqlite3.Connection, runs: dict[str, Run]) -> Iterator[TaskFact]:
    for row in _rows(databases, "SELECT * FROM scheduler_service.image_tasks"):
        yield TaskFact(
            run=runs[row["execution_uid"]],
            instance=row["instance"],
            association_uid=row["association_uid"],
            request_id=row["request_id"],
            state=row["state"],
            phase=row["phase"],
            reason=row["reason"],
            image=row["image"],
            begun=row["build_start_time"] is not None,
            end_time=row["end_time"],
            late=row["late_image_time"] is not None,
        )


def _images(databases: sqlite3.Connection, compute_time: int) -> Iterator[ImageFact]:
    """A build whose time has come has ended, whether or not anybody has looked since."""
    held = Counter(
        (_place(row), row["image_id"])
        for row in _rows(databases, "SELECT * FROM compute_sim.image_disks WHERE snapshot_id IS NOT NULL")
    )
    for row in _rows(databases, "SELECT * FROM compute_sim.images"):
        state = row["state"]
        if state == "CREATING" and row["finish_micros"] <= compute_time:
            state = "ERROR" if row["fails"] else "AVAILABLE"
        yield ImageFact(
            name=f"{_place(row)}/images/{row['image_id']}",
            place=_place(row),
            execution=(labels := json.loads(row["labels"])).get("execution", ""),
            policy=labels.get("policy", ""),
            scheduled_time=labels.get("scheduled-time", ""),
            instance=f"{_place(row)}/instances/{row['instance_id']}",
            request_id=row["request_id"],
            state=state,
            settled=row["state"] == state,
            snapshots=held[_place(row), row["image_id"]],
            create_time=row["create_micros"],
        )


def _entries(databases: sqlite3.Connection) -> Iterator[tuple[str, str, str]]:
    for row in _rows(databases, "SELECT payload FROM log_service.log_entries"):
        entry = LogEntry.FromString(row["payload"])
        yield entry.execution, entry.instance, LogEntry.Event.Name(entry.event).removeprefix("EVENT_")
