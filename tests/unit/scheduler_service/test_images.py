"""What images are called and marked with."""

from datetime import timedelta

import pytest

from scheduler_service.domain import images
from tests.support import START
from tests.support.scheduler_values import an_execution


@pytest.mark.rule("X8")
def test_an_image_is_called_after_its_instance_and_scheduled_minute() -> None:
    execution = an_execution(scheduled_time=START + timedelta(minutes=5, seconds=59), start_time=START)
    assert images.display_name("i-1", execution) == "auto-i-1-202603020805"


@pytest.mark.rule("X8")
def test_the_longest_instance_id_fits_computes_limit_of_128_characters() -> None:
    assert len(images.display_name("i" * 63, an_execution())) == 81


@pytest.mark.rule("X8")
def test_labels_tell_policy_execution_and_scheduled_time() -> None:
    execution = an_execution()
    assert images.labels(execution) == {
        "policy": "accounts/acme/regions/cn-north-1/policies/daily",
        "execution": execution.name,
        "scheduled-time": "2026-03-02T08:00:00Z",
    }


@pytest.mark.rule("X8")
def test_labels_of_the_longest_names_fit_computes_limit_of_256_characters() -> None:
    execution = an_execution(account="a" * 63, region="r" * 63, policy_id="p" * 63)
    assert max(len(value) for value in images.labels(execution).values()) <= 256
