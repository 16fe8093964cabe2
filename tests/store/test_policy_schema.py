"""The policy service's migrations and metadata agree, and keep what older versions wrote."""

from pathlib import Path

import sqlalchemy as sa

from policy_service.domain.limits import PolicyLimit
from policy_service.domain.policy import Place
from policy_service.store import limits
from policy_service.store.schema import HEAD
from servicekit.database import Database
from servicekit.migrations import upgrade
from tests.support import migration_differences

_POLICY = """
    INSERT INTO policies (uid, account, region, policy_id, display_name, display_name_folded, description, start_micros,
        interval_count, interval_unit, logging_enabled, execution_count, instance_count, revision, create_micros,
        update_micros)
    VALUES (:uid, :account, 'cn-north-1', :uid, 'a', 'a', '', 0, 1, 'DAY', false, 0, 0, 1, 0, 0)
"""
_LEDGER = """
    INSERT INTO schedule_ledger (account, region, policy_id, policy_uid, event, first_micros, last_micros, point_count,
        micros)
    VALUES ('acme', 'cn-north-1', 'p', 'u', 'SCHEDULED', 1, 1, 1, 2)
"""


def test_migrations_make_exactly_the_metadata() -> None:
    assert migration_differences("policy_service") == []


def test_policies_and_history_of_the_first_version_are_counted_and_kept(tmp_path: Path) -> None:
    own = Database(f"sqlite:///{tmp_path / 'policy.db'}")
    upgrade(own, "policy_service", "0001")
    with own.write() as connection:
        rows = [{"uid": "a", "account": "acme"}, {"uid": "b", "account": "acme"}, {"uid": "c", "account": "other"}]
        connection.execute(sa.text(_POLICY), rows)
        connection.execute(sa.text(_LEDGER))
    upgrade(own, "policy_service", HEAD)
    with own.read() as connection:
        for account, used in [("acme", 2), ("other", 1), ("new", 0)]:
            place = Place(account, "cn-north-1")
            assert limits.get(connection, place) == PolicyLimit(place, 20, used)
        query = sa.text("SELECT event, first_micros, last_micros, point_count, micros, run_id FROM schedule_ledger")
        assert connection.execute(query).all() == [("SCHEDULED", 1, 1, 1, 2, None)]
    own.dispose()
