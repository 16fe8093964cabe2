"""SnapshotService and QuotaService, each method on a real server."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.compute.v1.compute_pb2 import Quota, Snapshot
from autoimage.compute.v1.quota_service_pb2 import GetQuotaRequest, ListQuotasRequest, UpdateQuotaRequest
from autoimage.compute.v1.snapshot_service_pb2 import GetSnapshotRequest, ListSnapshotsRequest, SnapshotFilter
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.compute_sim import BUILD, PLACE, Compute, facts

IMAGES = f"{PLACE}/quotas/images"


def listed(compute: Compute, **filter: object) -> set[str]:
    request = ListSnapshotsRequest(parent=PLACE, filter=SnapshotFilter(**filter))  # type: ignore[arg-type]
    return {snapshot.name for snapshot in compute.snapshots.ListSnapshots(request).snapshots}


def test_a_snapshot_tells_what_it_is_of(compute: Compute) -> None:
    disk = compute.create_instance().disks[1]
    image = compute.create_image()
    expected = Snapshot(
        name=image.disks[1].snapshot,
        image=image.name,
        source_disk=disk.disk,
        device_name="vdb",
        size_gib=20,
        state=Snapshot.STATE_CREATING,
        create_time=to_proto(START),
    )
    assert compute.call(GetSnapshotRequest(name=expected.name)) == expected
    compute.time.product.advance(BUILD)
    compute.delete_instance()
    expected.state = Snapshot.STATE_AVAILABLE
    assert compute.call(GetSnapshotRequest(name=expected.name)) == expected


def test_an_unknown_snapshot_is_not_found(compute: Compute) -> None:
    name = f"{PLACE}/snapshots/snapshot-1"
    error = error_of(compute.call, GetSnapshotRequest(name=name))
    assert (facts(error), error.metadata) == ((Code.NOT_FOUND, "RESOURCE_NOT_FOUND"), {"name": name})


def test_snapshots_are_listed_by_image_and_state(compute: Compute) -> None:
    compute.create_instance()
    first = compute.create_image()
    compute.time.product.advance(BUILD)
    second = compute.create_image()
    of_first, of_second = ({disk.snapshot for disk in image.disks} for image in (first, second))
    assert listed(compute) == of_first | of_second
    assert listed(compute, image=first.name) == of_first
    assert listed(compute, states=[Snapshot.STATE_CREATING]) == of_second
    assert listed(compute, image=first.name, states=[Snapshot.STATE_CREATING]) == set()
    assert listed(compute, image=f"{PLACE}/images/gone") == set()


def test_snapshots_are_listed_in_pages(compute: Compute) -> None:
    compute.create_instance()
    compute.create_image()
    first = compute.snapshots.ListSnapshots(ListSnapshotsRequest(parent=PLACE, page_size=2))
    request = ListSnapshotsRequest(parent=PLACE, page_size=2, page_token=first.next_page_token)
    second = compute.snapshots.ListSnapshots(request)
    assert [*first.snapshots, *second.snapshots] == compute.list_snapshots()
    assert [len(first.snapshots), len(second.snapshots), second.next_page_token] == [2, 1, ""]


def test_a_quota_can_be_read_before_its_first_use(compute: Compute) -> None:
    assert compute.call(GetQuotaRequest(name=IMAGES)) == Quota(name=IMAGES, limit=5, used=0)


def test_quotas_are_listed_in_the_order_of_their_ids(compute: Compute) -> None:
    first = compute.call(ListQuotasRequest(parent=PLACE, page_size=3))
    second = compute.call(ListQuotasRequest(parent=PLACE, page_size=3, page_token=first.next_page_token))
    names = [quota.name.rpartition("/")[2] for quota in [*first.quotas, *second.quotas]]
    assert names == ["disks", "images", "instances", "snapshots"]
    assert second.next_page_token == ""


@pytest.mark.parametrize("limit", [0, 7, 1_000_000])
@pytest.mark.parametrize("mask", [None, FieldMask(paths=["limit"])])
def test_a_limit_can_be_changed(compute: Compute, limit: int, mask: FieldMask | None) -> None:
    compute.create_instance()
    compute.create_image()
    expected = Quota(name=IMAGES, limit=limit, used=1)
    assert compute.call(UpdateQuotaRequest(quota=Quota(name=IMAGES, limit=limit), update_mask=mask)) == expected
    assert compute.call(GetQuotaRequest(name=IMAGES)) == expected
    assert compute.limits() == {"disks": 40, "images": limit, "instances": 20, "snapshots": 15}


@pytest.mark.parametrize(
    "request_message",
    [
        GetQuotaRequest(name=f"{PLACE}/quotas/policies"),
        UpdateQuotaRequest(quota=Quota(name=f"{PLACE}/quotas/policies", limit=1)),
    ],
)
def test_an_unknown_quota_is_not_found(compute: Compute, request_message: GetQuotaRequest | UpdateQuotaRequest) -> None:
    assert facts(error_of(compute.call, request_message)) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND")
