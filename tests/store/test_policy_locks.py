"""What the policy service asks of PostgreSQL so that replicas do not meet: SQLite has one writer and needs no locks."""

from typing import Any, cast

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from policy_service.domain.errors import PolicyNotFound
from policy_service.domain.policy import PolicyKey
from policy_service.store import policies, triggers
from tests.support import START


class Recorder:
    """Takes statements instead of a database, and finds nothing."""

    def __init__(self) -> None:
        self.sql: list[str] = []

    def execute(self, statement: sa.Executable, *_: object) -> Any:
        compiled = statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call, attr-defined]
        self.sql.append(" ".join(str(compiled).split()))
        return sa.engine.IteratorResult(sa.engine.result.SimpleResultMetaData(["uid"]), iter([]))


def recorded() -> tuple[Recorder, sa.Connection]:
    recorder = Recorder()
    return recorder, cast("sa.Connection", recorder)


def test_policies_are_locked_in_the_order_of_their_uids() -> None:
    recorder, connection = recorded()
    policies.lock(connection, ["b", "a"])
    assert recorder.sql[0].endswith("ORDER BY policies.uid FOR UPDATE")


def test_policy_to_be_changed_is_locked() -> None:
    recorder, connection = recorded()
    with pytest.raises(PolicyNotFound):
        policies.get(connection, PolicyKey("a", "b", "c"), lock=True)
    assert recorder.sql[0].endswith("FOR UPDATE")


def test_due_policies_that_somebody_is_changing_are_passed_over() -> None:
    recorder, connection = recorded()
    policies.lock_due(connection, ["b", "a"], START)
    assert recorder.sql[0].endswith("ORDER BY policies.uid FOR UPDATE SKIP LOCKED")


def test_triggers_that_somebody_is_leasing_are_passed_over() -> None:
    recorder, connection = recorded()
    triggers.lock_leasable(connection, START, 5)
    assert recorder.sql[0].endswith("FOR UPDATE SKIP LOCKED")


def test_triggers_to_be_deleted_are_locked_in_the_order_of_their_uids() -> None:
    recorder, connection = recorded()
    triggers.delete(connection, ["b", "a"])
    assert recorder.sql[0].endswith("ORDER BY triggers.uid FOR UPDATE")
    assert recorder.sql[1].startswith("DELETE FROM triggers")
