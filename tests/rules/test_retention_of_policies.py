"""Rule P9 as far as policies go: what is kept, copied and told. Deleting is the scheduler's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from autoimage.policy.v1.trigger_service_pb2 import LookUpRetentionsRequest, PolicyRetention
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.errors import Code
from tests.support import error_of
from tests.support.policy_service import FIRST, PolicyService, running_policy_service

UNKNOWN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def told(service: PolicyService, *uids: str) -> list[PolicyRetention]:
    return list(service.triggers.LookUpRetentions(LookUpRetentionsRequest(policy_uids=uids)).policy_retentions)


@pytest.mark.rule("P9")
@pytest.mark.parametrize(
    "retention",
    [
        Retention(keep_days=1),
        Retention(keep_days=36_500, may_delete_newest=True),
        Retention(keep_last=1),
        Retention(keep_last=1000),
        Retention(keep_days=7, keep_last=3),
    ],
)
def test_limits_at_either_end_of_their_ranges_are_kept(service: PolicyService, retention: Retention) -> None:
    created = service.create(retention=retention)
    assert created.retention == service.get().retention == retention
    assert told(service, created.uid) == [PolicyRetention(policy_uid=created.uid, retention=retention)]


@pytest.mark.rule("P9")
@pytest.mark.parametrize(
    ("field", "retention"),
    [
        ("keep_days", Retention(keep_days=-1)),
        ("keep_days", Retention(keep_days=36_501)),
        ("keep_last", Retention(keep_last=-1)),
        ("keep_last", Retention(keep_last=1001)),
    ],
)
def test_limits_just_outside_their_ranges_are_refused(service: PolicyService, field: str, retention: Retention) -> None:
    error = error_of(service.create, retention=retention)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [each.field for each in error.violations] == [f"policy.retention.{field}"]
    assert error_of(service.get).code == Code.NOT_FOUND


@pytest.mark.rule("P9")
@pytest.mark.parametrize("retention", [None, Retention(), Retention(may_delete_newest=True)])
def test_retention_without_a_limit_keeps_images_for_ever(service: PolicyService, retention: Retention | None) -> None:
    created = service.create(retention=retention)
    assert not created.HasField("retention")
    assert told(service, created.uid) == [PolicyRetention(policy_uid=created.uid)]


@pytest.mark.rule("P9")
def test_trigger_carries_the_retention_of_its_moment(service: PolicyService) -> None:
    keep = Retention(keep_last=3)
    service.create("kept", retention=keep)
    service.create("forever")
    service.time.product.set(FIRST)
    triggers = {trigger.policy.rpartition("/")[2]: trigger for trigger in service.lease().triggers}
    assert triggers["kept"].retention == keep
    assert not triggers["forever"].HasField("retention")


@pytest.mark.rule("P9")
def test_what_a_deleted_policy_said_goes_on_to_hold(service: PolicyService) -> None:
    keep = Retention(keep_days=30, keep_last=2, may_delete_newest=True)
    first = service.create(retention=keep)
    service.delete()
    second = service.create()
    third = service.create("third", retention=Retention(keep_last=1))
    service.delete()
    assert told(service, third.uid, UNKNOWN, second.uid, first.uid) == [
        PolicyRetention(policy_uid=third.uid, retention=third.retention),
        PolicyRetention(policy_uid=second.uid, deleted=True),
        PolicyRetention(policy_uid=first.uid, retention=keep, deleted=True),
    ]


@pytest.mark.rule("P9")
@pytest.mark.parametrize(
    ("paths", "given", "expected"),
    [
        ((), Retention(keep_last=5), Retention(keep_days=7, keep_last=5)),
        (("retention",), Retention(keep_last=5), Retention(keep_last=5)),
        (("retention.keep_last",), Retention(keep_days=9, keep_last=5), Retention(keep_days=7, keep_last=5)),
        (
            ("retention.may_delete_newest",),
            Retention(may_delete_newest=True),
            Retention(keep_days=7, may_delete_newest=True),
        ),
        (("retention.keep_days",), None, None),
        (("retention",), None, None),
    ],
)
def test_retention_is_changed_whole_or_in_parts(
    service: PolicyService, paths: tuple[str, ...], given: Retention | None, expected: Retention | None
) -> None:
    created = service.create(retention=Retention(keep_days=7))
    updated = service.update(*paths, retention=given)
    assert (updated.retention if updated.HasField("retention") else None) == expected
    assert (service.get(), updated.etag == created.etag) == (updated, False)
    assert told(service, created.uid) == [PolicyRetention(policy_uid=created.uid, retention=expected)]
    service.time.product.set(FIRST)
    (trigger,) = service.lease().triggers
    assert (trigger.retention if trigger.HasField("retention") else None) == expected


@pytest.mark.rule("P9")
@pytest.mark.parametrize(
    ("field", "given"), [("keep_days", Retention(keep_days=36_501)), ("keep_last", Retention(keep_last=-1))]
)
def test_retention_out_of_range_changes_nothing(service: PolicyService, field: str, given: Retention) -> None:
    before = service.create(retention=Retention(keep_days=7))
    for paths in ((), ("retention",), (f"retention.{field}",), ("*",)):
        fields = {"display_name": "nightly", "schedule": before.schedule} if paths == ("*",) else {}
        error = error_of(service.update, *paths, retention=given, **fields)
        assert [each.field for each in error.violations] == [f"policy.retention.{field}"]
    assert service.get() == before
