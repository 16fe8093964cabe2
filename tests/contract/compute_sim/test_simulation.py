"""SimulationService, each method on a real server, and what it does to calls and builds."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from autoimage.compute.v1 import image_service_pb2, instance_service_pb2, quota_service_pb2, snapshot_service_pb2
from autoimage.compute.v1.compute_pb2 import Image, Quota
from autoimage.compute.v1.image_service_pb2 import (
    BatchCreateImagesRequest,
    BatchGetImagesRequest,
    DeleteImageRequest,
    GetImageRequest,
    ImageRequestReference,
    ListImagesRequest,
    ResolveImageRequestsRequest,
    UpdateImageRequest,
)
from autoimage.compute.v1.instance_service_pb2 import (
    AttachDiskRequest,
    BatchCreateInstancesRequest,
    BatchGetInstancesRequest,
    CreateInstanceRequest,
    DeleteInstanceRequest,
    DetachDiskRequest,
    GetInstanceRequest,
    ListInstancesRequest,
    StartInstanceRequest,
    StopInstanceRequest,
)
from autoimage.compute.v1.quota_service_pb2 import GetQuotaRequest, ListQuotasRequest, UpdateQuotaRequest
from autoimage.compute.v1.snapshot_service_pb2 import DeleteSnapshotRequest, GetSnapshotRequest, ListSnapshotsRequest
from autoimage.simulation.v1.simulation_pb2 import CallConduct, Simulation
from autoimage.simulation.v1.simulation_service_pb2 import (
    GetSimulationRequest,
    ResetSimulationRequest,
    UpdateSimulationRequest,
)
from servicekit.errors import Code, ServiceError
from tests.support import at_once, error_of
from tests.support.compute_sim import (
    BUILD,
    INSTANCE,
    MICROSECOND,
    PLACE,
    REQUEST_ID,
    Compute,
    cloud,
    facts,
    image_request,
    instance,
    running_compute,
)

GET = GetSimulationRequest(name="simulation")
RESET = ResetSimulationRequest(name="simulation")
DEFAULT = Simulation(
    name="simulation",
    seed=1,
    build_duration=Duration(seconds=2),
    build_duration_per_gib=Duration(nanos=100_000_000),
    etag='"0"',
)
CHANGED: dict[str, Any] = {
    "seed": 2**63 - 1,
    "build_duration": Duration(seconds=86_400),
    "build_duration_per_gib": Duration(nanos=1000),
    "snapshot_failure_probability": 0.125,
    "slow_build_probability": 0.1,
    "stalled_build_probability": 0.2,
    "busy_instance_probability": 1.0,
    "calls": [
        CallConduct(method="ImageService/CreateImage", latency=Duration(seconds=10), refusal_probability=0.3),
        CallConduct(
            method="ImageService/*", throttling_probability=0.4, answer_loss_probability=0.5, latency=Duration()
        ),
    ],
}
REFUSED = (Code.UNAVAILABLE, "DATABASE_UNAVAILABLE")
THROTTLED = (Code.UNAVAILABLE, "OVERLOADED")


def changed(**fields: Any) -> Simulation:
    """The default with these fields changed."""
    simulation = Simulation.FromString(DEFAULT.SerializeToString())
    for field in fields:
        simulation.ClearField(field)  # type: ignore[arg-type]
    simulation.MergeFrom(Simulation(**fields))
    return simulation


def fates(compute: Compute, calls: int, call: Callable[[Compute], object]) -> list[str]:
    """The reason for which each of these calls, one after another, was refused; `OK` if it was not."""
    outcomes = [at_once([partial(call, compute)])[0] for _ in range(calls)]
    return [outcome.reason if isinstance(outcome, ServiceError) else "OK" for outcome in outcomes]


# Get, update, reset


def test_until_it_is_changed_it_is_as_the_settings_say(compute: Compute) -> None:
    assert compute.call(GET) == DEFAULT


@pytest.mark.parametrize("field", CHANGED)
@pytest.mark.parametrize("mask", [True, False])
def test_each_field_is_changed_by_itself(compute: Compute, field: str, mask: bool) -> None:
    value = {field: CHANGED[field]}
    request = UpdateSimulationRequest(
        simulation=Simulation(name="simulation", **value), update_mask=FieldMask(paths=[field] if mask else [])
    )
    expected = changed(**value, etag='"1"')
    assert compute.call(request) == expected
    assert compute.call(GET) == expected


def test_all_is_changed_and_emptied_by_a_star(compute: Compute) -> None:
    def update(**fields: Any) -> Any:
        simulation = Simulation(name="simulation", **fields)
        return compute.call(UpdateSimulationRequest(simulation=simulation, update_mask=FieldMask(paths=["*"])))

    assert update(**CHANGED) == Simulation(name="simulation", etag='"1"', **CHANGED)
    nothing = Simulation(name="simulation", build_duration=Duration(), build_duration_per_gib=Duration(), etag='"2"')
    assert update() == nothing


def test_a_change_to_what_is_so_already_leaves_the_etag(compute: Compute) -> None:
    assert compute.simulate(seed=1).etag == '"0"'
    assert compute.simulate(seed=2).etag == '"1"'
    assert compute.simulate(seed=2).etag == '"1"'


def test_a_reset_undoes_all_changes_and_changes_the_etag(compute: Compute) -> None:
    compute.simulate(**CHANGED)
    assert compute.call(RESET) == compute.call(GET) == changed(etag='"2"')
    assert compute.call(RESET) == changed(etag='"3"')


@pytest.mark.parametrize("call", ["update", "reset"])
def test_an_old_etag_changes_nothing(compute: Compute, call: str) -> None:
    before = compute.simulate(seed=2)
    requests = {
        "update": UpdateSimulationRequest(simulation=Simulation(name="simulation", seed=3, etag=DEFAULT.etag)),
        "reset": ResetSimulationRequest(name="simulation", etag=DEFAULT.etag),
    }
    error = error_of(compute.call, requests[call])
    assert (facts(error), error.metadata) == ((Code.ABORTED, "STALE_ETAG"), {"name": "simulation"})
    assert compute.call(GET) == before
    assert compute.simulate(seed=3, etag=before.etag).seed == 3


def test_a_change_holds_after_a_restart_and_in_all_replicas(tmp_path: Path) -> None:
    with running_compute(tmp_path) as first, running_compute(tmp_path, failure_probability=1.0) as second:
        assert second.call(GET).snapshot_failure_probability == 1.0
        expected = first.simulate(**CHANGED)
        assert second.call(GET) == expected
    with running_compute(tmp_path) as restarted:
        assert restarted.call(GET) == expected


# Builds


@pytest.mark.rule("C4")
@pytest.mark.parametrize(
    ("fields", "duration"),
    [
        ({"build_duration": Duration(seconds=60)}, timedelta(seconds=72)),
        ({"build_duration_per_gib": Duration(seconds=1)}, timedelta(seconds=122)),
        ({"build_duration": Duration(), "build_duration_per_gib": Duration()}, timedelta(0)),
        ({"slow_build_probability": 1.0}, 10 * BUILD),
    ],
)
def test_builds_take_as_long_as_is_said_when_they_are_accepted(
    compute: Compute, fields: dict[str, Any], duration: timedelta
) -> None:
    compute.create_instance()
    compute.simulate(**fields)
    name = compute.create_image().name
    compute.call(RESET)
    if duration:
        compute.time.product.advance(duration - MICROSECOND)
        assert compute.get_image(name).state == Image.STATE_CREATING
        compute.time.product.advance(MICROSECOND)
    assert compute.get_image(name).state == Image.STATE_AVAILABLE


@pytest.mark.rule("C4", "Q1")
def test_a_stalled_build_keeps_instance_and_quota_until_it_is_given_up(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(stalled_build_probability=1.0)
    name = compute.create_image().name
    compute.call(RESET)
    compute.time.product.advance(timedelta(days=36_500))
    image = compute.get_image(name)
    assert (image.state, image.progress_percent, image.HasField("finish_time")) == (Image.STATE_CREATING, 1, False)
    assert facts(error_of(compute.create_image)) == (Code.FAILED_PRECONDITION, "INSTANCE_BUSY")
    assert compute.used() == compute.exists() == {"disks": 3, "images": 1, "instances": 1, "snapshots": 3}
    compute.delete_image(name)
    assert compute.create_image().state == Image.STATE_CREATING
    assert compute.used() == compute.exists()


@pytest.mark.rule("C4", "Q1")
def test_snapshots_fail_as_is_said_when_their_build_is_accepted(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(snapshot_failure_probability=1.0)
    doomed = compute.create_image().name
    compute.simulate(snapshot_failure_probability=0.0)
    compute.time.product.advance(BUILD)
    assert compute.get_image(doomed).state == Image.STATE_ERROR
    sound = compute.create_image().name
    compute.time.product.advance(BUILD)
    assert compute.get_image(sound).state == Image.STATE_AVAILABLE
    assert compute.used() == compute.exists() == {"disks": 3, "images": 1, "instances": 1, "snapshots": 3}


@pytest.mark.rule("C3")
def test_an_instance_in_transition_is_busy_for_whole_minutes(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(busy_instance_probability=0.5, seed=3)
    fate = []
    for _ in range(20):
        (outcome,) = at_once([compute.create_image])
        compute.time.product.advance(timedelta(minutes=1) - MICROSECOND)
        if isinstance(outcome, Image):
            compute.delete_image(outcome.name)
            compute.delete_image(compute.create_image().name)
        else:
            assert (
                facts(outcome) == facts(error_of(compute.create_image)) == (Code.FAILED_PRECONDITION, "INSTANCE_BUSY")
            )
            assert outcome.precondition is not None
            assert outcome.precondition.subject == INSTANCE
        fate.append(isinstance(outcome, Image))
        compute.time.product.advance(MICROSECOND)
    assert 5 < sum(fate) < 15
    assert compute.used() == compute.exists() == {"disks": 3, "images": 0, "instances": 1, "snapshots": 0}


# Calls


@pytest.mark.parametrize("method", ["QuotaService/GetQuota", "QuotaService/*", "*"])
def test_calls_of_the_methods_that_are_named_take_longer(compute: Compute, method: str) -> None:
    compute.simulate(calls=[CallConduct(method=method, latency=Duration(seconds=1, nanos=500_000_000))])
    compute.call(GetQuotaRequest(name=f"{PLACE}/quotas/images"))
    assert compute.slept == [1.5]
    compute.list_images()
    compute.call(GET)
    assert compute.slept == ([1.5, 1.5] if method == "*" else [1.5])


def test_the_first_that_fits_a_method_is_taken(compute: Compute) -> None:
    calls = [CallConduct(method=method, latency=Duration(seconds=seconds)) for method, seconds in (("*", 1), ("*", 2))]
    calls.insert(0, CallConduct(method="QuotaService/ListQuotas"))
    compute.simulate(calls=calls)
    compute.limits()
    compute.list_images()
    assert compute.slept == [1.0]


def test_a_refused_call_does_nothing(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(calls=[CallConduct(method="ImageService/CreateImage", refusal_probability=1.0)])
    error = error_of(compute.create_image)
    assert (facts(error), error.retry_after) == (REFUSED, timedelta(seconds=1))
    assert compute.used()["images"] == compute.exists()["images"] == 0


def test_every_method_of_the_compute_contract_meets_faults(compute: Compute) -> None:
    compute.simulate(calls=[CallConduct(method="*", refusal_probability=1.0)])
    image, snapshot, quota = (f"{PLACE}/{kind}/a" for kind in ("images", "snapshots", "quotas"))
    create = CreateInstanceRequest(parent=PLACE, instance=instance())
    reference = ImageRequestReference(source_instance=INSTANCE, request_id=REQUEST_ID)
    requests: list[Message] = [
        create,
        BatchCreateInstancesRequest(parent=PLACE, requests=[create]),
        BatchGetInstancesRequest(parent=PLACE, names=[INSTANCE]),
        ListInstancesRequest(parent=PLACE),
        *(
            kind(name=INSTANCE)
            for kind in (GetInstanceRequest, DeleteInstanceRequest, StartInstanceRequest, StopInstanceRequest)
        ),
        AttachDiskRequest(name=INSTANCE, disk=cloud()),
        DetachDiskRequest(name=INSTANCE, device_name="vdb"),
        image_request(),
        BatchCreateImagesRequest(parent=PLACE, requests=[image_request()]),
        GetImageRequest(name=image),
        BatchGetImagesRequest(parent=PLACE, names=[image]),
        ListImagesRequest(parent=PLACE),
        UpdateImageRequest(image=Image(name=image)),
        DeleteImageRequest(name=image),
        ResolveImageRequestsRequest(requests=[reference]),
        GetSnapshotRequest(name=snapshot),
        ListSnapshotsRequest(parent=PLACE),
        DeleteSnapshotRequest(name=snapshot),
        GetQuotaRequest(name=quota),
        ListQuotasRequest(parent=PLACE),
        UpdateQuotaRequest(quota=Quota(name=quota, limit=1)),
    ]
    assert {facts(error_of(compute.call, request)) for request in requests} == {REFUSED}
    modules = (instance_service_pb2, image_service_pb2, snapshot_service_pb2, quota_service_pb2)
    services = [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]
    of_the_contract = {method.input_type.full_name for service in services for method in service.methods}
    assert {request.DESCRIPTOR.full_name for request in requests} == of_the_contract


def test_a_throttled_call_does_nothing_and_is_told_when_to_come_again(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(calls=[CallConduct(method="ImageService/BatchCreateImages", throttling_probability=1.0)])
    error = error_of(compute.call, BatchCreateImagesRequest(parent=PLACE, requests=[image_request()]))
    assert (facts(error), error.retry_after) == (THROTTLED, timedelta(seconds=2))
    assert compute.used()["images"] == compute.exists()["images"] == 0


@pytest.mark.rule("C5")
def test_a_lost_answer_is_found_by_repeating_the_request(compute: Compute) -> None:
    compute.create_instance()
    compute.simulate(calls=[CallConduct(method="ImageService/CreateImage", answer_loss_probability=1.0)])
    error = error_of(compute.create_image, request_id=REQUEST_ID)
    assert (facts(error), error.retry_after) == (REFUSED, timedelta(seconds=1))
    (image,) = compute.list_images()
    compute.call(RESET)
    assert compute.create_image(request_id=REQUEST_ID) == image
    assert compute.used() == compute.exists() == {"disks": 3, "images": 1, "instances": 1, "snapshots": 3}


def test_a_wrong_request_meets_no_fault(compute: Compute) -> None:
    compute.simulate(calls=[CallConduct(method="*", refusal_probability=1.0, latency=Duration(seconds=1))])
    assert facts(error_of(compute.call, GetInstanceRequest(name="x"))) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert compute.slept == []


def test_no_fault_befalls_the_calls_that_end_them(compute: Compute) -> None:
    compute.simulate(calls=[CallConduct(method="*", refusal_probability=1.0)])
    assert facts(error_of(compute.list_images)) == REFUSED
    compute.call(RESET)
    assert compute.list_images() == []


HALF = [CallConduct(method="*", refusal_probability=0.3, throttling_probability=0.4, answer_loss_probability=0.5)]
CALLS: list[Callable[[Compute], object]] = [
    lambda compute: compute.call(GetInstanceRequest(name=INSTANCE)),
    lambda compute: compute.call(BatchGetImagesRequest(parent=PLACE, names=[f"{PLACE}/images/img-1"])),
    lambda compute: compute.create_image(request_id=REQUEST_ID),
    lambda compute: compute.attach(cloud("vde"), request_id=REQUEST_ID),
    lambda compute: compute.call(
        BatchCreateImagesRequest(parent=PLACE, requests=[image_request(request_id=REQUEST_ID)])
    ),
]


@pytest.mark.parametrize("call", CALLS)
def test_repeats_of_a_call_have_fates_of_their_own_and_the_same_after_a_reset(
    compute: Compute, call: Callable[[Compute], object]
) -> None:
    compute.create_instance()
    compute.simulate(calls=HALF)
    first = fates(compute, 20, call)
    assert {"OK", "DATABASE_UNAVAILABLE", "OVERLOADED"} == set(first)
    compute.call(RESET)
    compute.simulate(calls=HALF)
    assert fates(compute, 20, call) == first
    compute.simulate(seed=2)
    assert fates(compute, 20, call) != first


def test_the_fate_of_a_call_does_not_depend_on_what_comes_between(tmp_path: Path) -> None:
    """16 instances, asked for 5 times each: one after another, and by 16 at once."""
    names = [f"{PLACE}/instances/i-{number}" for number in range(16)]

    def ask(compute: Compute, name: str) -> list[str]:
        return fates(compute, 5, lambda compute: compute.call(GetInstanceRequest(name=name)))

    with running_compute(tmp_path) as compute:
        compute.simulate(calls=HALF)
        in_turn = [ask(compute, name) for name in names]
        compute.call(RESET)
        compute.simulate(calls=HALF)
        assert at_once([partial(ask, compute, name) for name in names]) == in_turn
