"""UpdatePolicy: masks, what changes, what stays, and what is refused."""

from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from autoimage.policy.v1.policy_pb2 import DiskSelection, Interval, Logging, Policy, Schedule
from policy_service.commands import update_policy as command
from servicekit.errors import Code, Unavailable
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.policy_service import FULL_SCHEDULE, PLACE, POLICY, TOPIC, PolicyService, policy_name, schedule

OTHER_TOPIC = f"{PLACE}/logSets/backups/logTopics/other"
MINUTE = timedelta(minutes=1)
DAYS = Interval(count=3, unit=Interval.UNIT_DAY)
FULL: dict[str, Any] = {
    "display_name": "weekly",
    "description": "All of it.",
    "schedule": FULL_SCHEDULE,
    "disks": DiskSelection(devices=["vda", "vdb"]),
    "logging": Logging(log_topic=TOPIC, state=Logging.STATE_ENABLED),
}


def created(service: PolicyService) -> Policy:
    service.logs.add()
    service.logs.add(OTHER_TOPIC)
    return service.create(**FULL)


def with_schedule(**fields: Any) -> Schedule:
    """The full one, but for these; None clears."""
    changed = Schedule()
    changed.CopyFrom(FULL_SCHEDULE)
    for name, value in fields.items():
        changed.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            changed.MergeFrom(Schedule(**{name: value}))
    return changed


@pytest.mark.parametrize(
    ("paths", "given", "expected"),
    [
        (["display_name"], {"display_name": "x", "description": "y"}, {"display_name": "x"}),
        (["description"], {}, {"description": ""}),
        ([], {"description": "y"}, {"description": "y"}),
        ([], {"display_name": "x", "disks": DiskSelection(all=True)}, {"display_name": "x", "disks": {"all": True}}),
        (["disks"], {"disks": DiskSelection(devices=["vdc"])}, {"disks": {"devices": ["vda", "vdc"]}}),
        (["disks"], {}, {"disks": {"all": True}}),
        (["schedule.interval"], {"schedule": {"interval": DAYS}}, {"schedule": with_schedule(interval=DAYS)}),
        ([], {"schedule": {"interval": DAYS}}, {"schedule": with_schedule(interval=DAYS)}),
        (["schedule.time_zone"], {}, {"schedule": with_schedule(time_zone="UTC")}),
        (
            ["schedule.catch_up", "schedule.catch_up_window"],
            {"schedule": {"spread": {"seconds": 5}}},
            {"schedule": with_schedule(catch_up=Schedule.CATCH_UP_LATEST, catch_up_window=None)},
        ),
        (
            ["schedule.execution_limit", "schedule.spread"],
            {},
            {"schedule": with_schedule(execution_limit=0, spread=None)},
        ),
        (
            ["schedule"],
            {"schedule": schedule()},
            {"schedule": schedule(time_zone="UTC", catch_up=Schedule.CATCH_UP_LATEST)},
        ),
        (["logging"], {}, {"logging": None}),
        (
            ["logging.state"],
            {"logging": {"state": Logging.STATE_DISABLED}},
            {"logging": {"log_topic": TOPIC, "state": 2}},
        ),
        (
            ["logging.log_topic"],
            {"logging": {"log_topic": OTHER_TOPIC}},
            {"logging": {"log_topic": OTHER_TOPIC, "state": 1}},
        ),
        ([], {"logging": {"state": Logging.STATE_DISABLED}}, {"logging": {"log_topic": TOPIC, "state": 2}}),
        (
            ["*"],
            {"display_name": "x", "schedule": schedule()},
            {
                "display_name": "x",
                "description": "",
                "schedule": schedule(time_zone="UTC", catch_up=Schedule.CATCH_UP_LATEST),
                "disks": {"all": True},
                "logging": None,
            },
        ),
    ],
)
def test_mask_chooses_what_changes_and_the_rest_stays(
    service: PolicyService, paths: list[str], given: dict[str, Any], expected: dict[str, Any]
) -> None:
    before = created(service)
    service.time.product.advance(MINUTE)
    updated = service.update(*paths, **given)
    wanted = Policy(**{**FULL, **expected})
    for field in FULL:
        assert getattr(updated, field) == getattr(wanted, field), field
    assert updated.HasField("logging") == wanted.HasField("logging")
    assert updated.update_time == to_proto(START + MINUTE)
    assert updated.etag != before.etag
    for field in ("name", "uid", "state", "create_time", "instance_count", "execution_count"):
        assert getattr(updated, field) == getattr(before, field)
    assert service.get() == updated


@pytest.mark.parametrize(
    ("paths", "given"),
    [
        ([], {}),
        ([], FULL),
        (["*"], FULL),
        (["description"], {"description": "All of it."}),
        (["schedule.start_time"], {"schedule": FULL_SCHEDULE}),
        (["disks"], {"disks": DiskSelection(devices=["vdb"])}),
    ],
)
def test_change_to_what_is_so_already_makes_no_revision(
    service: PolicyService, paths: list[str], given: dict[str, Any]
) -> None:
    before = created(service)
    service.time.product.advance(MINUTE)
    assert service.update(*paths, **given) == before == service.get()


def test_etag_of_the_policy_as_it_is_lets_the_update_pass(service: PolicyService) -> None:
    stale = created(service).etag
    fresh = service.update(etag=stale, description="x")
    error = error_of(service.update, etag=stale, description="y")
    assert (error.code, error.reason, error.metadata["name"]) == (Code.ABORTED, "STALE_ETAG", POLICY)
    assert service.get() == fresh
    assert service.update(etag=fresh.etag, description="y").description == "y"


def test_unknown_policy_is_not_found(service: PolicyService) -> None:
    error = error_of(service.update, policy_id="unknown", description="x")
    assert (error.code, error.reason) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert error.resource is not None
    assert error.resource.name == policy_name("unknown")


@pytest.mark.parametrize(
    ("paths", "given", "fields"),
    [
        (["display_name"], {}, ["policy.display_name"]),
        (["schedule"], {}, ["policy.schedule"]),
        (["*"], {}, ["policy.display_name", "policy.schedule"]),
        (["schedule.start_time"], {}, ["policy.schedule.start_time"]),
        (["schedule.interval"], {"schedule": {}}, ["policy.schedule.interval"]),
        (["schedule"], {"schedule": {"interval": DAYS}}, ["policy.schedule.start_time"]),
        (["schedule.interval"], {"schedule": {"interval": {"count": 3}}}, ["policy.schedule.interval.unit"]),
        (["logging.log_topic"], {"logging": {"state": 1}}, ["policy.logging.log_topic"]),
        (["logging"], {"logging": {"state": 1}}, ["policy.logging.log_topic"]),
    ],
)
def test_what_a_policy_must_have_cannot_be_cleared(
    service: PolicyService, paths: list[str], given: dict[str, Any], fields: list[str]
) -> None:
    before = created(service)
    error = error_of(service.update, *paths, **given)
    assert (error.code, [each.field for each in error.violations]) == (Code.INVALID_ARGUMENT, fields)
    assert service.get() == before


def test_fields_outside_the_mask_are_passed_over(service: PolicyService) -> None:
    before = created(service)
    wrong: dict[str, Any] = {"display_name": "a b", "schedule": {"time_zone": "nowhere"}, "state": 2}
    updated = service.update("description", description="x", **wrong)
    assert (updated.description, updated.display_name, updated.state) == ("x", before.display_name, before.state)
    wrong_window = Schedule(catch_up=Schedule.CATCH_UP_LATEST, catch_up_window=Duration(seconds=1))
    updated = service.update("schedule.catch_up", schedule=wrong_window)
    assert updated.schedule == with_schedule(catch_up=Schedule.CATCH_UP_LATEST)


@pytest.mark.parametrize("paths", [[], ["*"]])
def test_state_is_not_changed_by_an_update(service: PolicyService, paths: list[str]) -> None:
    before = created(service)
    error = error_of(service.update, *paths, **{**FULL, "state": Policy.STATE_DISABLED})
    assert [each.field for each in error.violations] == ["policy.state"]
    assert service.get() == before


def test_every_path_that_is_none_and_every_wrong_value_is_told_at_once(service: PolicyService) -> None:
    before = created(service)
    paths = [
        "state",
        "uid",
        "schedule.end_time",
        "schedule.interval.count",
        "",
        "display_name",
        "schedule.time_zone",
        "disks",
    ]
    wrong: dict[str, Any] = {"display_name": "a b", "disks": {"devices": ["x"]}, "schedule": {"time_zone": "nowhere"}}
    error = error_of(service.update, *paths, **wrong)
    told = [each.field for each in error.violations]
    assert told == [
        *["update_mask"] * 5,
        "policy.display_name",
        "policy.schedule.time_zone",
        "policy.disks.devices[0]",
    ]
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    only_mask = error_of(service.update, "state", "etag")
    assert (only_mask.reason, len(only_mask.violations)) == ("UPDATE_MASK_INVALID", 2)
    assert service.get() == before


@pytest.mark.parametrize(
    ("paths", "given"),
    [
        (["description"], {"description": "x"}),
        (["logging.state"], {"logging": {"state": Logging.STATE_DISABLED}}),
        (["logging"], {}),
        ([], {"logging": {"log_topic": TOPIC}, "description": "x"}),
    ],
)
def test_log_service_is_not_asked_while_logging_stays_or_goes(
    service: PolicyService, paths: list[str], given: dict[str, Any]
) -> None:
    created(service)
    service.logs.error = Unavailable("OVERLOADED")
    service.update(*paths, **given)


@pytest.mark.rule("P7")
@pytest.mark.parametrize(
    ("state", "given"),
    [
        (Logging.STATE_ENABLED, {"log_topic": OTHER_TOPIC}),
        (Logging.STATE_DISABLED, {"log_topic": OTHER_TOPIC}),
        (Logging.STATE_DISABLED, {"state": Logging.STATE_ENABLED}),
    ],
)
def test_another_topic_or_logging_enabled_again_needs_a_suitable_topic(
    service: PolicyService, state: Logging.State.ValueType, given: dict[str, Any]
) -> None:
    service.logs.add()
    before = service.create(logging=Logging(log_topic=TOPIC, state=state))
    service.logs.topics.clear()
    error = error_of(service.update, logging=given, description="x")
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LOG_TOPIC_NOT_FOUND")
    assert error.metadata["log_topic"] == given.get("log_topic", TOPIC)
    service.logs.error = Unavailable("OVERLOADED")
    assert error_of(service.update, logging=given).reason == "OVERLOADED"
    assert service.get() == before
    service.logs.error = None
    service.logs.add(given.get("log_topic", TOPIC))
    assert service.update(logging=given).logging == Logging(**{"log_topic": TOPIC, "state": state, **given})


@pytest.mark.rule("P7")
def test_topic_of_another_place_is_refused(service: PolicyService) -> None:
    before = created(service)
    elsewhere = TOPIC.replace("acme", "other")
    service.logs.add(elsewhere)
    error = error_of(service.update, logging=Logging(log_topic=elsewhere))
    assert [each.field for each in error.violations] == ["policy.logging.log_topic"]
    assert service.get() == before


@pytest.mark.rule("P7")
def test_topic_that_came_between_look_and_change_is_looked_at(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.logs.add()
    service.create(logging=Logging(log_topic=TOPIC, state=Logging.STATE_DISABLED))
    service.logs.add(OTHER_TOPIC)
    see_to_needs = command._see_to_needs

    def interrupted(*arguments: Any) -> object:
        monkeypatch.undo()
        needs = see_to_needs(*arguments)
        service.update(logging=Logging(log_topic=OTHER_TOPIC))
        service.logs.topics.pop(OTHER_TOPIC)
        return needs

    monkeypatch.setattr(command, "_see_to_needs", interrupted)
    error = error_of(service.update, "logging.state", logging={"state": Logging.STATE_ENABLED})
    assert (error.reason, error.metadata["log_topic"]) == ("LOG_TOPIC_NOT_FOUND", OTHER_TOPIC)
    assert service.get().logging == Logging(log_topic=OTHER_TOPIC, state=Logging.STATE_DISABLED)


def test_update_gives_way_to_others_after_some_attempts(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = created(service)
    monkeypatch.setattr(command, "_update", lambda *_: None)
    error = error_of(service.update, description="x")
    assert (error.code, error.reason) == (Code.UNAVAILABLE, "DATABASE_LOCKED")
    assert service.get() == before


def test_what_was_triggered_before_keeps_what_the_policy_was_then(service: PolicyService) -> None:
    service.create()
    service.link("web")
    run = service.execute()
    service.update(display_name="other", disks=DiskSelection(devices=["vdb"]))
    (trigger,) = service.lease().triggers
    assert (trigger.run_id, trigger.policy_display_name, trigger.disks.all) == (run.run_id, "nightly", True)
    assert service.linked() == ["web"]
