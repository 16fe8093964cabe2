"""What each refusal of the policy service tells a program."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from policy_service.domain.errors import (
    AssociationLimit,
    InstanceElsewhere,
    InstanceNotFound,
    LocalSystemDisk,
    LogTopicNotFound,
    LogTopicUnsuitable,
    NotInvited,
    PolicyDisabled,
    PolicyLimitReached,
    PolicyNotFound,
    RunNowPending,
    StartTimeOutOfRange,
)
from servicekit.errors import Code, ServiceError
from tests.support.told import told

PLACE = "accounts/acme/regions/cn-north-1"
LIMIT = f"{PLACE}/policyLimit"
POLICY, INSTANCE, TOPIC = f"{PLACE}/policies/daily", f"{PLACE}/instances/web", f"{PLACE}/logSets/a/logTopics/b"


@pytest.mark.parametrize(
    ("kind", "name", "reason", "metadata"),
    [
        (LogTopicNotFound, TOPIC, "LOG_TOPIC_NOT_FOUND", {"log_topic": TOPIC}),
        (LogTopicUnsuitable, TOPIC, "LOG_TOPIC_UNSUITABLE", {"log_topic": TOPIC}),
        (PolicyDisabled, POLICY, "POLICY_DISABLED", {"policy": POLICY}),
        (RunNowPending, POLICY, "RUN_NOW_PENDING", {"policy": POLICY}),
        (LocalSystemDisk, INSTANCE, "LOCAL_SYSTEM_DISK", {"instance": INSTANCE}),
    ],
)
def test_a_rule_that_the_state_breaks(
    kind: Callable[[str], ServiceError], name: str, reason: str, metadata: dict[str, str]
) -> None:
    assert told(kind(name)) == (Code.FAILED_PRECONDITION, reason, metadata, ((reason, name),))


def test_what_is_not_there() -> None:
    assert told(PolicyNotFound(POLICY)) == (
        Code.NOT_FOUND,
        "RESOURCE_NOT_FOUND",
        {"name": POLICY},
        (("policy", POLICY),),
    )
    assert told(InstanceNotFound(INSTANCE)) == (
        Code.NOT_FOUND,
        "INSTANCE_NOT_FOUND",
        {"name": INSTANCE},
        (("instance", INSTANCE),),
    )


def test_a_full_policy() -> None:
    metadata = {"limit": "100", "used": "100"}
    assert told(AssociationLimit(POLICY, 100)) == (Code.RESOURCE_EXHAUSTED, "ASSOCIATION_LIMIT", metadata, (POLICY,))


def test_an_account_with_all_its_policies() -> None:
    error = PolicyLimitReached(LIMIT, limit=20, used=21)
    assert told(error) == (Code.RESOURCE_EXHAUSTED, "POLICY_LIMIT", {"limit": "20", "used": "21"}, (LIMIT,))


def test_an_account_that_is_not_invited() -> None:
    metadata = {"account": "acme", "contact": "write to us"}
    assert told(NotInvited("acme", "write to us")) == (Code.PERMISSION_DENIED, "NOT_INVITED", metadata, ())


def test_an_instance_of_another_place() -> None:
    error = InstanceElsewhere("instances[3]", PLACE)
    about = (("instances[3]", "INSTANCE_ELSEWHERE"),)
    assert told(error) == (Code.INVALID_ARGUMENT, "INSTANCE_ELSEWHERE", {}, about)


def test_a_start_time_too_near_or_too_far() -> None:
    earliest, latest = (datetime(year, 3, 2, 12, tzinfo=UTC) for year in (2026, 2027))
    assert told(StartTimeOutOfRange("policy.schedule.start_time", earliest, latest)) == (
        Code.INVALID_ARGUMENT,
        "START_TIME_OUT_OF_RANGE",
        {"earliest": "2026-03-02T12:00:00Z", "latest": "2027-03-02T12:00:00Z"},
        (("policy.schedule.start_time", "START_TIME_OUT_OF_RANGE"),),
    )
