"""The policy service's migrations and metadata agree."""

from pathlib import Path

from tests.support import migration_differences


def test_migrations_make_exactly_the_metadata(tmp_path: Path) -> None:
    assert migration_differences(tmp_path, "policy_service") == []
