"""PolicyService's methods for policies, each with its good case and its refusals."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from autoimage.policy.v1 import policy_service_pb2
from autoimage.policy.v1.policy_pb2 import DiskSelection, Logging, Policy, Schedule
from autoimage.policy.v1.policy_service_pb2 import (
    CreatePolicyRequest,
    ListPoliciesRequest,
    PolicyFilter,
)
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.policy_service import (
    FIRST,
    FULL_SCHEDULE,
    PLACE,
    POLICY,
    TOPIC,
    PolicyService,
    instance_name,
    policy,
    policy_name,
    schedule,
)

REQUEST = "11111111-2222-4333-8444-555555555555"
MICROSECOND = timedelta(microseconds=1)
ELSEWHERE = ["accounts/other/regions/cn-north-1", "accounts/acme/regions/cn-south-1"]


def asked(request_id: str = REQUEST, parent: str = PLACE, policy_id: str = "", **fields: object) -> CreatePolicyRequest:
    return CreatePolicyRequest(parent=parent, policy_id=policy_id, policy=policy(**fields), request_id=request_id)


def found(service: PolicyService, parent: str = PLACE, **filter: Any) -> list[str]:
    request = ListPoliciesRequest(parent=parent, filter=PolicyFilter(**filter))
    return [each.name.rpartition("/")[2] for each in service.policies.ListPolicies(request).policies]


def test_created_policy_is_answered_whole_and_read_back_the_same(service: PolicyService) -> None:
    service.logs.add()
    created = service.create(
        display_name="每日备份",
        description="All of it.",
        state=Policy.STATE_ENABLED,
        schedule=FULL_SCHEDULE,
        disks=DiskSelection(devices=["vdb"]),
        logging=Logging(log_topic=TOPIC, state=Logging.STATE_DISABLED),
    )
    assert created == Policy(
        name=POLICY,
        uid=created.uid,
        display_name="每日备份",
        description="All of it.",
        state=Policy.STATE_ENABLED,
        schedule=FULL_SCHEDULE,
        disks=DiskSelection(devices=["vda", "vdb"]),
        logging=Logging(log_topic=TOPIC, state=Logging.STATE_DISABLED),
        next_execution_time=to_proto(FIRST),
        create_time=to_proto(START),
        update_time=to_proto(START),
        etag=created.etag,
        warnings=created.warnings,
    )
    assert len(created.uid) == 36
    assert created.etag
    assert service.get() == created
    assert list(service.policies.ListPolicies(ListPoliciesRequest(parent=PLACE)).policies) == [created]


def test_schedule_is_answered_with_its_defaults(service: PolicyService) -> None:
    expected = schedule(time_zone="UTC", catch_up=Schedule.CATCH_UP_LATEST)
    assert service.create().schedule == service.get().schedule == expected
    explicit = service.create("other", schedule=schedule(time_zone="UTC", execution_limit=0, spread=Duration()))
    assert explicit.schedule == expected


def test_policy_without_an_id_gets_one(service: PolicyService) -> None:
    first, second = service.create(""), service.create("")
    assert first.name != second.name
    for each in (first, second):
        prefix, _, policy_id = each.name.rpartition("/")
        assert (prefix, policy_id[:4], len(policy_id)) == (f"{PLACE}/policies", "pol-", 14)


def test_drawn_id_that_is_taken_is_drawn_again(service: PolicyService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create("pol-taken")
    drawn = iter(["pol-taken", "pol-taken", "pol-free"])
    monkeypatch.setattr(service.deps.ids, "new", lambda prefix: next(drawn))
    assert service.create("").name == policy_name("pol-free")


def test_id_that_is_taken_is_refused(service: PolicyService) -> None:
    before = service.create()
    error = error_of(service.create, display_name="another")
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.resource is not None
    assert (error.resource.type, error.resource.name) == ("policy", POLICY)
    assert service.get() == before
    assert found(service) == ["nightly"]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_same_id_in_another_account_or_region_is_another_policy(service: PolicyService, place: str) -> None:
    here, there = service.create(), service.create(parent=place)
    assert (here.name, there.name) == (POLICY, policy_name("nightly", place))
    service.delete()
    assert found(service, place) == ["nightly"]


def test_request_repeated_within_24_hours_answers_the_same_policy(service: PolicyService) -> None:
    service.logs.add()
    request = asked(logging=Logging(log_topic=TOPIC))
    created = service.policies.CreatePolicy(request)
    service.time.product.advance(timedelta(hours=24) - MICROSECOND)
    service.logs.topics.clear()  # what would refuse it now does not matter: it was done
    assert service.policies.CreatePolicy(request) == created
    assert len(found(service)) == 1


def test_request_repeated_after_24_hours_is_a_new_one(service: PolicyService) -> None:
    request = asked(schedule=schedule(timedelta(days=2)))
    created = service.policies.CreatePolicy(request)
    service.time.product.advance(timedelta(hours=24))
    assert service.policies.CreatePolicy(request).name != created.name


def test_request_id_used_for_another_request_is_refused(service: PolicyService) -> None:
    service.policies.CreatePolicy(asked())
    error = error_of(service.policies.CreatePolicy, asked(description="another"))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert len(found(service)) == 1


def test_request_id_belongs_to_an_account_and_region(service: PolicyService) -> None:
    service.policies.CreatePolicy(asked())
    for place in ELSEWHERE:
        service.policies.CreatePolicy(asked(parent=place))
        assert len(found(service, place)) == 1


def test_request_repeated_after_its_policy_was_deleted_finds_nothing(service: PolicyService) -> None:
    request = asked(policy_id="nightly")
    service.policies.CreatePolicy(request)
    service.delete()
    service.create()
    error = error_of(service.policies.CreatePolicy, request)
    assert (error.code, error.metadata["name"]) == (Code.NOT_FOUND, POLICY)


def test_refused_request_is_not_remembered(service: PolicyService) -> None:
    request = asked(logging=Logging(log_topic=TOPIC))
    assert error_of(service.policies.CreatePolicy, request).reason == "LOG_TOPIC_NOT_FOUND"
    service.logs.add()
    service.policies.CreatePolicy(request)


@pytest.mark.parametrize("method", ["GetPolicy", "EnablePolicy", "DisablePolicy", "DeletePolicy", "ExecutePolicy"])
def test_unknown_policy_is_not_found(service: PolicyService, method: str) -> None:
    service.create()
    call = getattr(service.policies, method)
    request = getattr(policy_service_pb2, f"{method}Request")
    for name in (policy_name("unknown"), *(policy_name("nightly", place) for place in ELSEWHERE)):
        error = error_of(call, request(name=name))
        assert (error.code, error.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert error.resource is not None
        assert error.resource.name == name


@pytest.mark.parametrize("change", ["enable", "disable", "delete"])
def test_change_with_a_stale_etag_is_refused(service: PolicyService, change: str) -> None:
    stale = service.create().etag
    current = service.disable()
    error = error_of(getattr(service, change), etag=stale)
    assert (error.code, error.reason, error.metadata["name"]) == (Code.ABORTED, "STALE_ETAG", POLICY)
    assert service.get() == current
    getattr(service, change)(etag=current.etag)


def test_triggering_and_associating_leave_the_etag(service: PolicyService) -> None:
    created = service.create()
    service.link("web")
    service.time.product.set(FIRST)
    service.lease()
    service.execute()
    assert (service.get().etag, service.get().update_time) == (created.etag, created.update_time)


def test_list_is_filtered_by_ids_states_name_and_instance(service: PolicyService) -> None:
    service.create("a", display_name="Nightly_备份")
    service.create("b", display_name="nightlyX", state=Policy.STATE_DISABLED)
    service.create("c", display_name="weekly")
    service.create("c", parent=ELSEWHERE[0])
    service.link("web", policy_id="c")
    assert found(service) == ["a", "b", "c"]
    assert found(service, policy_ids=["c", "a", "unknown"]) == ["a", "c"]
    assert found(service, states=[Policy.STATE_ENABLED]) == ["a", "c"]
    assert found(service, states=[Policy.STATE_DISABLED, Policy.STATE_DISABLED]) == ["b"]
    assert found(service, states=[Policy.STATE_DISABLED, Policy.STATE_ENABLED]) == ["a", "b", "c"]
    assert found(service, display_name="NIGHTLY") == ["a", "b"]
    assert found(service, display_name="y_备") == ["a"]
    assert found(service, display_name="n%y") == []
    assert found(service, display_name="nightl_x") == []
    assert found(service, instance=instance_name("web")) == ["c"]
    assert found(service, instance=instance_name("unknown")) == []
    assert found(service, policy_ids=["a", "b"], states=[Policy.STATE_ENABLED], display_name="night") == ["a"]
    assert found(service, "accounts/nobody/regions/cn-north-1") == []


def test_region_that_is_not_served_is_refused_and_the_served_ones_told(service: PolicyService) -> None:
    request = asked(parent="accounts/acme/regions/cn-east-1")
    error = error_of(service.policies.CreatePolicy, request)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")
    assert [each.field for each in error.violations] == ["parent"]
    assert error.metadata["regions"] == "cn-east-2,cn-north-1,cn-south-1"


def test_execution_is_answered_with_its_id_and_moment(service: PolicyService) -> None:
    service.create()
    answer = service.execute(request_id=REQUEST)
    assert (answer.run_id, answer.trigger_time) == (REQUEST, to_proto(START))


def test_execution_request_id_used_for_another_policy_starts_a_run_of_that(service: PolicyService) -> None:
    service.create("a")
    service.create("b")
    service.execute("a", REQUEST)
    service.execute("b", REQUEST)
    assert sorted(each.policy for each in service.lease().triggers) == [policy_name("a"), policy_name("b")]
