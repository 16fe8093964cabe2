"""How long entries are kept."""

from datetime import timedelta

import pytest

from log_service.domain.limits import RETENTION_DAYS, kept_since
from tests.support import START


@pytest.mark.parametrize("days", RETENTION_DAYS)
def test_entries_are_kept_for_whole_days(days: int) -> None:
    assert START - kept_since(days, START) == timedelta(days=days)
