"""What is told when not all of a fleet can be made."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autoimage.compute.v1.instance_service_pb2 import BatchGetInstancesResponse
from autoimage.compute.v1.quota_service_pb2 import ListQuotasResponse
from autoimage.log.v1.log_service_pb2 import ListLogSetsResponse
from autoimage.policy.v1.policy_service_pb2 import ListPoliciesResponse
from servicekit.clock_guard import ProductTimeDoubtful
from servicekit.errors import ServiceError, Unavailable
from suite.errors import SuiteError
from suite.fleet import command
from tests.support import START

PLACE = "accounts/acme/regions/cn-north-1"
FLEET = """\
accounts:
  acme:
    regions:
      cn-north-1:
        log_sets: {ops: {}, dev: {}}
        policies:
          one: {start: in 1 hour, every: 1 day}
"""


def answering(response: Any) -> Callable[[Any], Any]:
    return lambda request: response


def failing(error: ServiceError) -> Callable[[Any], Any]:
    def fail(request: Any) -> Any:
        raise error

    return fail


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Of which nothing is there, and nothing can go wrong yet."""
    clients = SimpleNamespace(
        quotas=SimpleNamespace(ListQuotas=answering(ListQuotasResponse())),
        logs=SimpleNamespace(ListLogSets=answering(ListLogSetsResponse()), CreateLogSet=answering(None)),
        instances=SimpleNamespace(BatchGetInstances=answering(BatchGetInstancesResponse())),
        policies=SimpleNamespace(ListPolicies=answering(ListPoliciesResponse()), CreatePolicy=answering(None)),
        close=lambda: None,
    )
    monkeypatch.setattr(command, "Clients", answering(clients))
    monkeypatch.setattr(command, "product_time", answering(START))
    return clients


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET, "utf-8")
    return path


def test_what_a_service_refuses_for_now_is_told_with_its_line_and_the_rest_is_made(
    suite: SimpleNamespace, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.policies.CreatePolicy = failing(ProductTimeDoubtful())
    assert command.run(path, {}) == 1
    _, log_sets, policies, failed = capsys.readouterr().out.splitlines()
    assert log_sets.split() == ["log", "set", "2"]
    assert policies.split() == ["policy", "1"]
    assert failed == f"{path}:7: policy {PLACE}/policies/one could not be made: {ProductTimeDoubtful().message}"


def test_what_was_made_before_the_suite_fell_silent_is_told(
    suite: SimpleNamespace, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.policies.CreatePolicy = failing(Unavailable("TRANSPORT", "UNAVAILABLE: gone"))
    with pytest.raises(SuiteError) as caught:
        command.run(path, {})
    assert caught.value.problems == ("no answer; is the suite running? (UNAVAILABLE: gone)",)
    _, log_sets = capsys.readouterr().out.splitlines()
    assert log_sets.split() == ["log", "set", "2"]


def test_a_place_that_cannot_be_looked_at_for_now_is_told_with_its_line(
    suite: SimpleNamespace, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite.quotas.ListQuotas = failing(Unavailable("DATABASE_LOCKED", "the database is locked"))
    with pytest.raises(SuiteError) as caught:
        command.run(path, {})
    assert caught.value.problems == (f"{path}:4: {PLACE}: the database is locked",)
    assert capsys.readouterr().out == ""
