"""The policy service's migrations and metadata agree."""

from tests.support import migration_differences


def test_migrations_make_exactly_the_metadata() -> None:
    assert migration_differences("policy_service") == []
