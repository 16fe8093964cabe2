"""What a transaction may still take."""

import pytest

from compute_sim.domain.errors import QuotaUsedUp
from compute_sim.domain.quotas import QuotaKind
from tests.support import error_of
from tests.unit.compute_sim.examples import ACME, budget

IMAGES, SNAPSHOTS = QuotaKind.IMAGES, QuotaKind.SNAPSHOTS


def test_what_was_taken_before_counts() -> None:
    purse = budget(images=3, used=1)
    purse.take(ACME, {IMAGES: 1})
    purse.take(ACME, {IMAGES: 1})
    error = error_of(purse.take, ACME, {IMAGES: 1})
    assert error.metadata == {"limit": "3", "used": "3", "wanted": "1"}
    assert purse.taken == {(ACME, IMAGES): 2}


def test_either_everything_is_taken_or_nothing() -> None:
    purse = budget(images=1, snapshots=2)
    with pytest.raises(QuotaUsedUp):
        purse.take(ACME, {IMAGES: 1, SNAPSHOTS: 3})
    assert not +purse.taken
    purse.take(ACME, {IMAGES: 1, SNAPSHOTS: 2})


def test_the_first_kind_that_does_not_suffice_is_told() -> None:
    error = error_of(budget(images=0, snapshots=0).take, ACME, {IMAGES: 1, SNAPSHOTS: 1})
    assert error.reason == "IMAGE_QUOTA_EXCEEDED"


def test_nothing_can_be_taken_even_beyond_a_limit() -> None:
    budget(snapshots=1, used=2).take(ACME, {SNAPSHOTS: 0})
