"""Rules P1–P7, P13, P15 and P16, through the public RPCs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from autoimage.log.v1.log_pb2 import LogTopic
from autoimage.policy.v1.policy_pb2 import DiskSelection, Interval, Logging, Policy
from autoimage.policy.v1.policy_service_pb2 import (
    ListAssociationsRequest,
    ListPoliciesRequest,
    ListPoliciesResponse,
    PolicyFilter,
)
from servicekit.errors import Code, FieldViolation, Unavailable
from servicekit.timestamps import from_proto, to_proto
from tests.support import START, error_of
from tests.support.policy_service import (
    FIRST,
    PLACE,
    POLICY,
    TOPIC,
    PolicyService,
    instance_name,
    policy_name,
    running_policy_service,
    schedule,
)

MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        yield running


def policy_ids(service: PolicyService, **filter: object) -> list[str]:
    return ids_of(listed(service, filter=PolicyFilter(**filter)))  # type: ignore[arg-type]


def ids_of(page: ListPoliciesResponse) -> list[str]:
    return [each.name.rpartition("/")[2] for each in page.policies]


def listed(service: PolicyService, **fields: object) -> ListPoliciesResponse:
    return service.policies.ListPolicies(ListPoliciesRequest(parent=PLACE, **fields))  # type: ignore[arg-type]


def assert_refused(service: PolicyService, field: str, **fields: object) -> FieldViolation:
    """Creating such a policy is refused for that field only, and makes nothing."""
    error = error_of(service.create, **fields)
    assert (error.code, [each.field for each in error.violations]) == (Code.INVALID_ARGUMENT, [field])
    assert policy_ids(service) == []
    return error.violations[0]


@pytest.mark.rule("P1")
@pytest.mark.parametrize("name", ["a", "备份", "Aa0_-々〇", "备" * 32, "𠮷" * 32])
def test_display_name_of_1_to_32_allowed_characters_is_kept(service: PolicyService, name: str) -> None:
    assert service.create(display_name=name).display_name == name
    assert service.get().display_name == name


@pytest.mark.rule("P1")
@pytest.mark.parametrize("name", ["", "a" * 33, "𠮷" * 33, "a b", "a.b", "é", "ａ", "٣", "ひ", "a\n", "a\0"])
def test_display_name_that_is_empty_too_long_or_of_other_characters_is_refused(
    service: PolicyService, name: str
) -> None:
    assert_refused(service, "policy.display_name", display_name=name)


@pytest.mark.rule("P1")
def test_two_policies_may_have_the_same_display_name(service: PolicyService) -> None:
    service.create("one", display_name="same")
    service.create("two", display_name="same")
    assert policy_ids(service, display_name="same") == ["one", "two"]


@pytest.mark.rule("P2")
@pytest.mark.parametrize("description", ["", "a b\n备", "𠮷" * 256])
def test_description_of_up_to_256_characters_is_kept(service: PolicyService, description: str) -> None:
    assert service.create(description=description).description == description


@pytest.mark.rule("P2")
@pytest.mark.parametrize("description", ["𠮷" * 257, "\0"])
def test_description_that_is_too_long_or_has_a_nul_is_refused(service: PolicyService, description: str) -> None:
    assert_refused(service, "policy.description", description=description)


@pytest.mark.rule("P3")
@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(days=365)])
def test_start_time_at_either_end_of_the_range_is_the_next_execution(service: PolicyService, ahead: timedelta) -> None:
    created = service.create(schedule=schedule(ahead))
    assert from_proto(created.schedule.start_time) == START + ahead
    assert created.next_execution_time == created.schedule.start_time


@pytest.mark.rule("P3")
@pytest.mark.parametrize("ahead", [timedelta(minutes=30) - MICROSECOND, timedelta(days=365) + MICROSECOND])
def test_start_time_just_outside_the_range_is_refused_and_the_range_told(
    service: PolicyService, ahead: timedelta
) -> None:
    error = error_of(service.create, schedule=schedule(ahead))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "START_TIME_OUT_OF_RANGE")
    assert error.metadata == {"earliest": "2026-03-02T08:30:00Z", "latest": "2027-03-02T08:00:00Z"}
    assert [each.field for each in error.violations] == ["policy.schedule.start_time"]
    assert policy_ids(service) == []


@pytest.mark.rule("P3")
def test_start_time_is_truncated_to_microseconds(service: PolicyService) -> None:
    wanted = schedule()
    wanted.start_time.nanos = 123_456_789
    assert service.create(schedule=wanted).schedule.start_time.nanos == 123_456_000


@pytest.mark.rule("P3")
def test_start_time_is_required(service: PolicyService) -> None:
    wanted = schedule()
    wanted.ClearField("start_time")
    assert_refused(service, "policy.schedule.start_time", schedule=wanted)


@pytest.mark.rule("P4")
@pytest.mark.parametrize(
    ("count", "unit", "length"),
    [
        (12, Interval.UNIT_HOUR, timedelta(hours=12)),
        (8760, Interval.UNIT_HOUR, timedelta(days=365)),
        (1, Interval.UNIT_DAY, timedelta(days=1)),
        (365, Interval.UNIT_DAY, timedelta(days=365)),
        (1, Interval.UNIT_WEEK, timedelta(days=7)),
        (52, Interval.UNIT_WEEK, timedelta(days=364)),
    ],
)
def test_interval_from_12_hours_to_365_days_is_the_distance_of_two_points(
    service: PolicyService, count: int, unit: Interval.Unit.ValueType, length: timedelta
) -> None:
    created = service.create(schedule=schedule(count=count, unit=unit))
    assert (created.schedule.interval.count, created.schedule.interval.unit) == (count, unit)
    service.time.product.set(FIRST)
    service.lease()
    assert from_proto(service.get().next_execution_time) == FIRST + length


@pytest.mark.rule("P4")
@pytest.mark.parametrize(
    ("count", "unit"),
    [
        (11, Interval.UNIT_HOUR),
        (8761, Interval.UNIT_HOUR),
        (0, Interval.UNIT_DAY),
        (-1, Interval.UNIT_DAY),
        (366, Interval.UNIT_DAY),
        (-1, Interval.UNIT_WEEK),
        (53, Interval.UNIT_WEEK),
    ],
)
def test_interval_outside_12_hours_to_365_days_is_refused(
    service: PolicyService, count: int, unit: Interval.Unit.ValueType
) -> None:
    assert_refused(service, "policy.schedule.interval.count", schedule=schedule(count=count, unit=unit))


@pytest.mark.rule("P4")
@pytest.mark.parametrize("unit", [0, 4])
def test_interval_without_a_known_unit_is_refused(service: PolicyService, unit: int) -> None:
    wanted = schedule()
    wanted.interval.unit = unit  # type: ignore[assignment]
    assert_refused(service, "policy.schedule.interval.unit", schedule=wanted)


@pytest.mark.rule("P5")
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (DiskSelection(), DiskSelection(all=True)),
        (DiskSelection(all=True), DiskSelection(all=True)),
        (DiskSelection(devices=["vdb"]), DiskSelection(devices=["vda", "vdb"])),
        (DiskSelection(devices=["vdz", "vda", "vdc"]), DiskSelection(devices=["vda", "vdc", "vdz"])),
    ],
)
def test_disks_always_include_the_system_disk(
    service: PolicyService, asked: DiskSelection, answered: DiskSelection
) -> None:
    assert service.create(disks=asked).disks == answered
    service.time.product.set(FIRST)
    assert service.lease().triggers[0].disks == answered


@pytest.mark.rule("P5")
@pytest.mark.parametrize("device", ["", "vd", "vdA", "vda1", "vdaa", "sda", "/dev/vda", "vdb\n"])
def test_disks_with_a_malformed_name_are_refused(service: PolicyService, device: str) -> None:
    assert_refused(service, "policy.disks.devices[1]", disks=DiskSelection(devices=["vda", device]))


@pytest.mark.rule("P5")
def test_disks_with_a_repeated_name_are_refused(service: PolicyService) -> None:
    assert_refused(service, "policy.disks.devices[2]", disks=DiskSelection(devices=["vdb", "vdc", "vdb"]))


@pytest.mark.rule("P5")
def test_disks_both_all_and_named_are_refused(service: PolicyService) -> None:
    assert_refused(service, "policy.disks.devices", disks=DiskSelection(all=True, devices=["vdb"]))


@pytest.mark.rule("P6")
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (Policy.STATE_UNSPECIFIED, Policy.STATE_ENABLED),
        (Policy.STATE_ENABLED, Policy.STATE_ENABLED),
        (Policy.STATE_DISABLED, Policy.STATE_DISABLED),
    ],
)
def test_policy_is_created_enabled_unless_told_otherwise(
    service: PolicyService, asked: Policy.State.ValueType, answered: Policy.State.ValueType
) -> None:
    created = service.create(state=asked)
    assert created.state == answered
    assert created.HasField("next_execution_time") == (answered == Policy.STATE_ENABLED)


@pytest.mark.rule("P6")
def test_only_an_enabled_policy_triggers(service: PolicyService) -> None:
    service.create("on")
    service.create("off", state=Policy.STATE_DISABLED)
    service.create("switched-off")
    service.disable("switched-off")
    service.time.product.set(FIRST + 2 * DAY)
    assert [each.policy for each in service.lease().triggers] == [policy_name("on")]
    assert service.get("off").execution_count == service.get("switched-off").execution_count == 0


@pytest.mark.rule("P6")
def test_enabling_and_disabling_change_the_state_once(service: PolicyService) -> None:
    created = service.create()
    service.time.product.advance(timedelta(minutes=1))
    disabled = service.disable()
    assert disabled.state == Policy.STATE_DISABLED
    assert not disabled.HasField("next_execution_time")
    assert disabled.update_time == to_proto(START + timedelta(minutes=1))
    assert disabled.etag != created.etag
    service.time.product.advance(timedelta(minutes=1))
    assert service.disable() == disabled
    enabled = service.enable()
    assert enabled.state == Policy.STATE_ENABLED
    assert enabled.etag not in (created.etag, disabled.etag)
    service.time.product.advance(timedelta(minutes=1))
    assert service.enable() == enabled == service.get()


@pytest.mark.rule("P7")
@pytest.mark.parametrize(
    ("asked", "answered", "triggered"),
    [
        (Logging.STATE_UNSPECIFIED, Logging.STATE_ENABLED, TOPIC),
        (Logging.STATE_ENABLED, Logging.STATE_ENABLED, TOPIC),
        (Logging.STATE_DISABLED, Logging.STATE_DISABLED, ""),
    ],
)
def test_logging_to_a_suitable_topic_is_kept_and_triggers_carry_it_while_it_is_enabled(
    service: PolicyService, asked: Logging.State.ValueType, answered: Logging.State.ValueType, triggered: str
) -> None:
    service.logs.add()
    created = service.create(logging=Logging(log_topic=TOPIC, state=asked))
    assert created.logging == Logging(log_topic=TOPIC, state=answered)
    service.time.product.set(FIRST)
    assert service.lease().triggers[0].log_topic == triggered


@pytest.mark.rule("P7")
def test_logging_to_a_topic_that_does_not_exist_is_refused(service: PolicyService) -> None:
    error = error_of(service.create, logging=Logging(log_topic=TOPIC))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LOG_TOPIC_NOT_FOUND")
    assert error.precondition is not None
    assert error.precondition.subject == error.metadata["log_topic"] == TOPIC
    assert policy_ids(service) == []


@pytest.mark.rule("P7")
@pytest.mark.parametrize(
    "kind",
    [
        {"source": LogTopic.SOURCE_INSTANCE},
        {"product": LogTopic.PRODUCT_VIRTUAL_MACHINE},
        {"log_type": LogTopic.LOG_TYPE_AUDIT},
    ],
)
def test_logging_to_a_topic_of_another_source_product_or_type_is_refused(
    service: PolicyService, kind: dict[str, int]
) -> None:
    service.logs.add(**kind)  # type: ignore[arg-type]
    error = error_of(service.create, logging=Logging(log_topic=TOPIC))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LOG_TOPIC_UNSUITABLE")
    assert error.precondition is not None
    assert error.precondition.subject == TOPIC
    assert policy_ids(service) == []


@pytest.mark.rule("P7")
@pytest.mark.parametrize("place", ["accounts/other/regions/cn-north-1", "accounts/acme/regions/cn-south-1"])
def test_logging_to_a_topic_of_another_account_or_region_is_refused(service: PolicyService, place: str) -> None:
    topic = f"{place}/logSets/backups/logTopics/executions"
    service.logs.add(topic)
    assert_refused(service, "policy.logging.log_topic", logging=Logging(log_topic=topic))


@pytest.mark.rule("P7")
def test_logging_cannot_be_set_up_while_the_log_service_is_away(service: PolicyService) -> None:
    service.logs.error = Unavailable("OVERLOADED", retry_after=timedelta(seconds=3))
    error = error_of(service.create, logging=Logging(log_topic=TOPIC))
    assert (error.code, error.reason, error.retry_after) == (Code.UNAVAILABLE, "OVERLOADED", timedelta(seconds=3))
    assert policy_ids(service) == []


@pytest.mark.rule("P13")
@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (FIRST - MICROSECOND, FIRST),
        (FIRST, FIRST + DAY),
        (FIRST + DAY - MICROSECOND, FIRST + DAY),
        (FIRST + 3 * DAY, FIRST + 4 * DAY),
    ],
)
def test_enabling_leads_to_the_first_point_after_now_and_fires_nothing_missed(
    service: PolicyService, now: object, expected: object
) -> None:
    created = service.create(state=Policy.STATE_DISABLED)
    service.time.product.set(now)  # type: ignore[arg-type]
    enabled = service.enable()
    assert from_proto(enabled.next_execution_time) == expected
    assert service.lease().triggers == []
    assert service.ledger(created.uid) == []


@pytest.mark.rule("P13")
def test_time_while_disabled_is_never_made_up_for(service: PolicyService) -> None:
    created = service.create()
    service.time.product.set(FIRST)
    service.ack(*service.lease().triggers)
    service.disable()
    service.time.product.set(FIRST + 3 * DAY + timedelta(hours=1))
    service.enable()
    service.time.product.set(FIRST + 4 * DAY)
    (trigger,) = service.lease().triggers
    assert from_proto(trigger.scheduled_time) == FIRST + 4 * DAY
    assert not trigger.HasField("missed")
    assert len(service.ledger(created.uid)) == 2


@pytest.mark.rule("P13")
def test_enabling_fires_no_point_twice_when_the_clock_went_back(service: PolicyService) -> None:
    service.create()
    service.time.product.set(FIRST)
    service.lease()
    service.time.product.set(FIRST - timedelta(minutes=1))
    service.disable()
    assert from_proto(service.enable().next_execution_time) == FIRST + DAY


@pytest.mark.rule("P15")
def test_deleting_unlinks_all_instances_and_hides_the_policy(service: PolicyService) -> None:
    service.create()
    service.create("other")
    service.link("one", "two")
    service.link("three", policy_id="other")
    service.delete()
    calls: list[tuple[Callable[..., object], list[object]]] = [
        (service.get, []),
        (service.enable, []),
        (service.disable, []),
        (service.delete, []),
        (service.execute, []),
        (service.associate, [instance_name("one")]),
        (service.disassociate, [instance_name("one")]),
        (service.policies.ListAssociations, [ListAssociationsRequest(parent=POLICY)]),
    ]
    for call, arguments in calls:
        error = error_of(call, *arguments)
        assert (error.code, error.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
        assert error.resource is not None
        assert (error.resource.type, error.resource.name) == ("policy", POLICY)
    assert policy_ids(service) == ["other"]
    assert policy_ids(service, instance=instance_name("one")) == []
    assert service.linked("other") == ["three"]
    service.time.product.set(FIRST + DAY)
    assert [each.policy for each in service.lease().triggers] == [policy_name("other")]


@pytest.mark.rule("P15")
def test_a_policy_made_again_under_the_same_id_is_another_policy(service: PolicyService) -> None:
    before = service.create()
    service.link("one")
    service.delete()
    again = service.create()
    assert again.name == before.name
    assert again.uid != before.uid
    assert again.etag != before.etag
    assert service.linked() == []


@pytest.mark.rule("P15")
def test_what_was_triggered_before_the_deletion_is_still_leased(service: PolicyService) -> None:
    created = service.create()
    service.link("one")
    service.time.product.set(FIRST)
    service.lease()
    service.delete()
    service.time.operating.advance(timedelta(seconds=30))
    (trigger,) = service.lease().triggers
    assert (trigger.policy_uid, len(trigger.associations)) == (created.uid, 1)


@pytest.mark.rule("P16")
@pytest.mark.parametrize(("size", "expected"), [(0, 20), (1, 1), (99, 99), (100, 100), (101, 100), (2**31 - 1, 100)])
def test_page_size_is_20_by_default_and_at_most_100(service: PolicyService, size: int, expected: int) -> None:
    service.set_limit(101)
    for number in range(101):
        service.create(f"policy-{number:03}")
    page = listed(service, page_size=size)
    assert ids_of(page) == [f"policy-{number:03}" for number in range(expected)]
    assert page.next_page_token


@pytest.mark.rule("P16")
def test_pages_follow_the_key_each_policy_once_whatever_comes_and_goes(service: PolicyService) -> None:
    for policy_id in ["e", "a", "c", "d", "b"]:
        service.create(policy_id)
    first = listed(service, page_size=2)
    service.delete("a")
    service.delete("c")
    service.create("ab")
    second = listed(service, page_size=2, page_token=first.next_page_token)
    assert (ids_of(first), ids_of(second)) == (["a", "b"], ["d", "e"])
    assert second.next_page_token == ""


@pytest.mark.rule("P16")
def test_associations_are_paged_by_instance(service: PolicyService) -> None:
    service.create()
    service.link("c", "a", "b")
    first = service.policies.ListAssociations(ListAssociationsRequest(parent=POLICY, page_size=2))
    rest = ListAssociationsRequest(parent=POLICY, page_size=2, page_token=first.next_page_token)
    second = service.policies.ListAssociations(rest)
    names = [each.instance for each in [*first.associations, *second.associations]]
    assert names == [instance_name("a"), instance_name("b"), instance_name("c")]
    assert second.next_page_token == ""
    error = error_of(service.policies.ListAssociations, ListAssociationsRequest(parent=POLICY, page_size=-1))
    assert [each.field for each in error.violations] == ["page_size"]


@pytest.mark.rule("P16")
def test_negative_page_size_is_refused(service: PolicyService) -> None:
    error = error_of(listed, service, page_size=-1)
    assert (error.code, [each.field for each in error.violations]) == (Code.INVALID_ARGUMENT, ["page_size"])


@pytest.mark.rule("P16")
def test_page_token_of_another_query_or_damaged_is_refused(service: PolicyService) -> None:
    service.create("a")
    service.create("b")
    token = listed(service, page_size=1).next_page_token
    wrong: list[dict[str, object]] = [
        {"filter": PolicyFilter(states=[Policy.STATE_ENABLED]), "page_token": token},
        {"page_token": token[:-1]},
        {"page_token": "nonsense"},
    ]
    for fields in wrong:
        error = error_of(listed, service, **fields)
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    request = ListPoliciesRequest(parent="accounts/other/regions/cn-north-1", page_token=token)
    assert error_of(service.policies.ListPolicies, request).reason == "PAGE_TOKEN_INVALID"
    assert ids_of(listed(service, page_size=1, page_token=token)) == ["b"]
