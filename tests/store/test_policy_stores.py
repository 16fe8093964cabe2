"""The policy service's SQL: rows read back as they were written, constraints with a meaning, order and limits."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from policy_service.domain.association import Association
from policy_service.domain.errors import PolicyNotFound
from policy_service.domain.policy import Logging, Policy, PolicyFilter, PolicyKey, PolicySpec, new_policy
from policy_service.domain.schedule import Anchor, CatchUp, Interval, Points, Schedule, Unit
from policy_service.domain.triggers import (
    Candidate,
    Kind,
    Missed,
    MissedReason,
    Trigger,
    TriggeredAssociation,
    poisoned,
    run_now,
    settle,
    take_up,
)
from policy_service.store import associations, policies, sweep, triggers
from policy_service.store.associations import ConcurrentChange
from policy_service.store.schema import metadata
from policy_service.store.sweep import Position, Sweep
from policy_service.store.triggers import Leasable
from servicekit.database import Database, constraint_name
from servicekit.errors import AlreadyExists
from servicekit.paging import Page
from tests.support import START
from tests.support.policy_service import closing_database

KEY = PolicyKey("acme", "cn-north-1", "nightly")
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)
LINKED = [TriggeredAssociation("a-1", "web"), TriggeredAssociation("a-2", "db")]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing_database(tmp_path) as own:
        yield own


@pytest.fixture
def connection(database: Database) -> Iterator[sa.Connection]:
    with database.write() as connection:
        yield connection


def policy(uid: str = "p-1", key: PolicyKey = KEY, *, due: timedelta = timedelta(0), enabled: bool = True) -> Policy:
    """Due so long after START, then every 12 hours."""
    spec = PolicySpec(
        display_name="Nightly",
        description="Every night.",
        schedule=Schedule(START + due, Interval(12, Unit.HOUR)),
        devices=("vda", "vdb"),
        logging=Logging("topic", enabled=False),
    )
    return new_policy(key, uid, spec, enabled=enabled, now=START - HOUR)


def scheduled_in_full(policy: Policy) -> Policy:
    """With all that a schedule can say, and counted from a point that a gap had moved."""
    schedule = Schedule(
        START,
        Interval(2, Unit.WEEK),
        time_zone="America/New_York",
        execution_limit=1_000_000,
        catch_up=CatchUp.NONE,
        catch_up_window=timedelta(minutes=5),
        spread=timedelta(hours=1),
    )
    anchor = Anchor(datetime(2026, 3, 8, 7, tzinfo=UTC), datetime.fromisoformat("2026-03-08T02:30:00.000001"))
    return replace(policy, spec=replace(policy.spec, schedule=schedule), anchor=anchor)


def insert(connection: sa.Connection, *added: Policy) -> None:
    for each in added:
        policies.insert(connection, each)


def association(uid: str, instance_id: str, policy_uid: str = "p-1", key: PolicyKey = KEY) -> Association:
    return Association(uid, policy_uid, key, instance_id, START + MICROSECOND)


def trigger(uid: str, scheduled: timedelta = timedelta(0), policy_uid: str = "p-1") -> Trigger:
    return replace(
        run_now(policy(policy_uid), uid, uid, LINKED, START), kind=Kind.SCHEDULED, scheduled=START + scheduled
    )


def test_policy_is_read_back_as_it_was_written(connection: sa.Connection) -> None:
    full = replace(
        scheduled_in_full(policy()),
        last_execution=START - HOUR + MICROSECOND,
        settled=START + MICROSECOND,
        execution_count=2**40,
        limited_count=2**40 - 1,
        instance_count=100,
        revision=2**40,
    )
    bare = replace(
        policy("p-2", KEY._replace(policy_id="bare"), enabled=False),
        spec=replace(policy().spec, devices=None, logging=None),
    )
    insert(connection, full, bare)
    assert policies.get(connection, KEY) == policies.get_by_uid(connection, "p-1") == full
    assert policies.get(connection, bare.key, lock=True) == bare
    assert policies.lock(connection, ["p-2", "p-1", "unknown"]) == {"p-1": full, "p-2": bare}
    assert policies.existing(connection, ["p-2", "unknown"]) == {"p-2"}
    assert policies.get_by_uid(connection, "unknown") is None
    with pytest.raises(PolicyNotFound):
        policies.get(connection, KEY._replace(account="other"))


def test_second_policy_of_a_name_exists_already(database: Database) -> None:
    with database.write() as connection:
        insert(connection, policy())
    with pytest.raises(AlreadyExists) as told, database.write() as connection:
        insert(connection, policy("p-2"))
    assert told.value.metadata == {"name": KEY.name}


@pytest.mark.parametrize("change", [-1, 101])
def test_number_of_instances_stays_from_0_to_100_by_constraint(database: Database, change: int) -> None:
    with database.write() as connection:
        insert(connection, policy())
    with pytest.raises(IntegrityError) as told, database.write() as connection:
        policies.add_instances(connection, {"p-1": change})
    assert constraint_name(told.value, metadata) == "ck_policies_instance_count"


def test_pages_have_one_more_than_their_size_and_begin_after_their_key(connection: sa.Connection) -> None:
    ids = ["a", "b", "c", "d"]
    insert(connection, *(policy(f"p-{each}", KEY._replace(policy_id=each)) for each in ids))
    insert(connection, policy("p-x", KEY._replace(account="other", policy_id="bb")))

    def page(size: int, after: str | None) -> list[str]:
        wanted = Page(size, None if after is None else (after,))
        return [each.key.policy_id for each in policies.page(connection, KEY.place, PolicyFilter(), wanted)]

    assert page(2, None) == ["a", "b", "c"]
    assert page(2, "b") == ["c", "d"]
    assert page(2, "bz") == ["c", "d"]
    assert page(2, "d") == []


def test_due_are_enabled_policies_whose_time_has_come_longest_due_first(connection: sa.Connection) -> None:
    insert(
        connection,
        policy("p-later", KEY._replace(policy_id="a"), due=HOUR),
        replace(policy("p-sooner", KEY._replace(policy_id="b")), instance_count=7),
        policy("p-future", KEY._replace(policy_id="c"), due=HOUR + MICROSECOND),
        policy("p-off", KEY._replace(policy_id="d"), enabled=False),
    )
    assert policies.next_due(connection) == START
    assert policies.due(connection, START - MICROSECOND, 10) == []
    assert policies.due(connection, START + HOUR, 10) == [Candidate("p-sooner", 7), Candidate("p-later", 1)]
    assert policies.due(connection, START + HOUR, 1) == [Candidate("p-sooner", 7)]
    locked = policies.lock_due(connection, ["p-off", "p-future", "p-later"], START + HOUR)
    assert [each.uid for each in locked] == ["p-later"]


def test_triggering_stores_what_it_changes_of_each_policy(connection: sa.Connection) -> None:
    first, second = policy("p-1"), policy("p-2", KEY._replace(policy_id="b"), due=HOUR)
    insert(connection, first, second)
    moved_on = [take_up(each, "t", (), START + HOUR)[0] for each in (first, second)]
    policies.update_triggered(connection, moved_on)
    assert list(policies.lock(connection, ["p-1", "p-2"]).values()) == moved_on
    policies.update_triggered(connection, [])


def test_changes_are_stored_but_for_the_number_of_instances_and_deleted_policies_are_gone(
    connection: sa.Connection,
) -> None:
    insert(connection, policy())
    changed = replace(scheduled_in_full(policy()), next_execution=None, settled=START, revision=2, update_time=START)
    policies.update(connection, replace(changed, instance_count=7))
    assert policies.get(connection, KEY) == changed
    assert policies.next_due(connection) is None
    policies.delete(connection, "p-1")
    assert policies.existing(connection, ["p-1"]) == set()


def test_associations_are_read_back_as_they_were_written_and_counted(connection: sa.Connection) -> None:
    other = KEY._replace(policy_id="other")
    insert(connection, policy(), policy("p-2", other))
    web, db, app = association("a-2", "web"), association("a-1", "db"), association("a-3", "app", "p-2", other)
    associations.link(connection, [web, db, app])
    associations.link(connection, [])
    assert associations.of_instances(connection, KEY.place, ["web", "app", "unknown"]) == {"web": web, "app": app}
    assert associations.of_instances(connection, KEY.place._replace(region="x"), ["web"]) == {}
    assert associations.by_uid(connection, ["a-1", "unknown"]) == {"a-1": db}
    assert associations.policies_of(connection, ["a-1", "a-3"]) == {"a-1": "p-1", "a-3": "p-2"}
    assert associations.of_policies(connection, ["p-1", "p-3"]) == {
        "p-1": [TriggeredAssociation("a-1", "db"), TriggeredAssociation("a-2", "web")],
        "p-3": [],
    }
    assert associations.page(connection, "p-1", Page(1, None)) == [db, web]
    assert associations.page(connection, "p-1", Page(1, ("db",))) == [web]
    assert associations.after(connection, "a-1", 1) == [web]
    assert [each.instance_count for each in policies.lock(connection, ["p-1", "p-2"]).values()] == [2, 1]
    associations.unlink(connection, [web, app])
    associations.unlink(connection, [])
    assert [each.instance_count for each in policies.lock(connection, ["p-1", "p-2"]).values()] == [1, 0]
    associations.unlink_all(connection, "p-1")
    assert associations.after(connection, "", 10) == []


def test_second_association_of_an_instance_is_a_concurrent_change(database: Database) -> None:
    with database.write() as connection:
        insert(connection, policy())
        associations.link(connection, [association("a-1", "web")])
    with pytest.raises(ConcurrentChange), database.write() as connection:
        associations.link(connection, [association("a-2", "db"), association("a-3", "web")])
    with database.read() as connection:
        assert list(associations.by_uid(connection, ["a-1", "a-2", "a-3"])) == ["a-1"]


def test_policy_with_associations_cannot_be_deleted(database: Database) -> None:
    with database.write() as connection:
        insert(connection, policy())
        associations.link(connection, [association("a-1", "web")])
    with pytest.raises(IntegrityError), database.write() as connection:
        policies.delete(connection, "p-1")


def test_triggers_are_read_back_as_they_were_written(connection: sa.Connection) -> None:
    now = START + timedelta(hours=25)
    taken_up = replace(take_up(policy(), "t-1", LINKED, now)[1], spread=timedelta(minutes=59, seconds=59))
    missed = settle(policy("p-2"), "t-2", MissedReason.POLICY_DISABLED, now)
    run = replace(run_now(policy("p-3"), "t-3", "run", (), now), devices=None)
    assert missed is not None
    assert taken_up.missed is not None
    triggers.insert(connection, [run, missed, taken_up])
    triggers.insert(connection, [])
    assert triggers.get(connection, ["t-1", "t-2", "t-3", "unknown"]) == [taken_up, missed, run]


def test_point_of_a_policy_is_triggered_once_by_constraint(database: Database) -> None:
    with database.write() as connection:
        triggers.insert(connection, [take_up(policy(), "t-1", (), START)[1]])
    with pytest.raises(IntegrityError) as told, database.write() as connection:
        triggers.insert(connection, [take_up(policy(), "t-2", (), START)[1]])
    assert constraint_name(told.value, metadata) == "uq_triggers_policy_uid_dedup_key"


def test_leasable_are_triggers_without_a_lease_oldest_first(connection: sa.Connection) -> None:
    triggers.insert(connection, [trigger("t-2", HOUR), trigger("t-3", HOUR), trigger("t-1", 2 * HOUR)])
    order = [Leasable(uid, Kind.SCHEDULED, 2, 0) for uid in ("t-2", "t-3", "t-1")]
    assert triggers.lock_leasable(connection, START, 10) == order
    assert triggers.lock_leasable(connection, START, 2) == order[:2]
    triggers.lease(connection, ["t-2", "t-1"], START + HOUR)
    assert triggers.lock_leasable(connection, START + HOUR - MICROSECOND, 10) == [order[1]]
    assert [each.lease_count for each in triggers.get(connection, ["t-1", "t-2", "t-3"])] == [1, 0, 1]
    triggers.delete(connection, ["t-3", "unknown"])
    assert not triggers.any_leasable(connection, START + HOUR - MICROSECOND)
    assert triggers.any_leasable(connection, START + HOUR)
    triggers.delete(connection, ["t-1", "t-2"])
    assert not triggers.any_leasable(connection, START + HOUR)


def test_leasable_of_a_backlog_are_the_oldest_and_a_tenth_as_many_of_the_newest(connection: sa.Connection) -> None:
    triggers.insert(connection, [trigger(f"t-{number:02}", number * HOUR) for number in range(25)])

    def leasable(limit: int) -> list[int]:
        return [int(found.uid[2:]) for found in triggers.lock_leasable(connection, START, limit)]

    assert leasable(9) == [*range(9)]
    assert leasable(20) == [*range(20), 23, 24]
    assert leasable(24) == [*range(25)], "each once"
    assert leasable(25) == [*range(25)]
    triggers.lease(connection, ["t-00", "t-24"], START + HOUR)
    assert leasable(10) == [*range(1, 11), 23]


def test_due_of_a_backlog_are_the_longest_due_and_a_tenth_as_many_of_the_last(connection: sa.Connection) -> None:
    insert(
        connection,
        *(policy(f"p-{number:02}", KEY._replace(policy_id=f"p{number}"), due=number * HOUR) for number in range(25)),
    )
    due = policies.due(connection, START + 23 * HOUR, 20)
    assert [found.uid for found in due] == [f"p-{number:02}" for number in (*range(20), 22, 23)]


def test_replaced_trigger_keeps_its_leases(connection: sa.Connection) -> None:
    triggers.insert(connection, [trigger("t-1")])
    triggers.lease(connection, ["t-1"], START + HOUR)
    triggers.replace(connection, poisoned(trigger("t-1")))
    (stored,) = triggers.get(connection, ["t-1"])
    assert stored == replace(poisoned(trigger("t-1")), lease_count=1)
    assert stored.missed == Missed(Points(START, START, 1), MissedReason.POISONED)
    assert triggers.lock_leasable(connection, START + HOUR, 1) == [Leasable("t-1", Kind.MISSED, 1, 1)]
    assert triggers.lock_leasable(connection, START, 1) == []


def test_run_now_is_pending_while_its_trigger_is_there(connection: sa.Connection) -> None:
    triggers.insert(connection, [trigger("t-1"), run_now(policy("p-2"), "t-2", "run", (), START)])
    assert not triggers.run_now_pending(connection, "p-1")
    assert triggers.run_now_pending(connection, "p-2")
    triggers.delete(connection, ["t-2"])
    assert not triggers.run_now_pending(connection, "p-2")


def test_position_of_the_sweep_is_replaced(connection: sa.Connection) -> None:
    assert sweep.get(connection, Sweep.MISSING_INSTANCES) is None
    for position in (Position("a-1", START), Position("", START + HOUR)):
        sweep.put(connection, Sweep.MISSING_INSTANCES, position)
        assert sweep.get(connection, Sweep.MISSING_INSTANCES) == position
    assert sweep.get(connection, Sweep.MISSING_LOG_TOPICS) is None


def test_lists_of_many_thousand_uids_are_one_statement(connection: sa.Connection) -> None:
    insert(connection, policy())
    uids = [f"p-{number}" for number in range(40_000)]
    assert policies.existing(connection, uids) == {"p-1"}


@pytest.mark.engines("sqlite")
def test_log_topics_in_use_and_who_logs_to_them_are_found_by_their_index(connection: sa.Connection) -> None:
    plans: list[str] = []

    def explain(_: object, cursor: Any, statement: str, parameters: Any, *__: object) -> None:
        plans.extend(row[3] for row in cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters))

    event.listen(connection, "before_cursor_execute", explain)
    assert policies.topics_in_use(connection, "a", 500) == []
    assert policies.logging_to(connection, ["a", "b"], 500) == []
    event.remove(connection, "before_cursor_execute", explain)
    found = [plan for plan in plans if "policies" in plan]
    assert len(found) == 2
    assert all("SEARCH policies USING INDEX ix_policies_log_topic" in plan for plan in found), plans
