"""Retention through all four services: what the policy says, compute loses, and the plan foretold."""

from datetime import timedelta
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from autoimage.compute.v1.compute_pb2 import Image
from autoimage.compute.v1.image_service_pb2 import UpdateImageRequest
from autoimage.policy.v1.policy_service_pb2 import DeletePolicyRequest
from autoimage.scheduler.v1.execution_service_pb2 import PlanRetentionRequest, RetentionVerdict
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.timestamps import from_proto
from tests.support.product import Product, running_product

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def verdicts(product: Product, policy: str, retention: Retention | None = None) -> dict[str, str]:
    request = PlanRetentionRequest(parent=policy, retention=retention)
    found = product.clients.executions.PlanRetention(request).retention_verdicts
    return {one.image: RetentionVerdict.Verdict.Name(one.verdict).removeprefix("VERDICT_") for one in found}


@pytest.mark.rule("X9", "X8", "P9")
def test_images_come_and_go_as_the_policy_says_also_after_it_is_deleted(tmp_path: Path) -> None:
    with running_product(tmp_path) as (clients, clock):
        product = Product(clients, clock, "acme")
        web = product.instance("web", "cloud", "cloud")
        policy = product.policy("p", retention=Retention(keep_days=30, keep_last=2)).name
        product.associate(policy, web)
        product.go_to(product.now + HOUR)
        first_time = product.now
        names: list[str] = []
        for day in range(3):
            product.go_to(first_time + day * DAY)
            product.finish_builds()
            names += [image.name for image in product.images() if image.name not in names]
        newest, older = names[2], names[1]
        assert {image.name for image in product.images()} == {older, newest}
        by_name = {image.name: image for image in product.images()}
        assert from_proto(by_name[newest].expire_time) == first_time + 32 * DAY
        assert (product.quota("images").used, product.quota("snapshots").used) == (2, 4)
        (task,) = product.tasks(product.executions(policy)[-1].name)
        assert (task.image, task.HasField("image_delete_time")) == (names[0], True)

        assert verdicts(product, policy) == dict.fromkeys([newest, older], "KEEP_WITHIN_LIMITS")
        assert verdicts(product, policy, Retention(keep_last=1))[older] == "DELETE_TOO_MANY"

        # A protected image outlives its policy's limits; the newest one stays in any case.
        product.clients.policies.DeletePolicy(DeletePolicyRequest(name=policy))
        protected = Image(name=older, deletion_protected=True)
        mask = FieldMask(paths=["deletion_protected"])
        product.clients.images.UpdateImage(UpdateImageRequest(image=protected, update_mask=mask))
        product.go_to(first_time + 40 * DAY)
        assert verdicts(product, policy) == {newest: "KEEP_NEWEST", older: "KEEP_PROTECTED"}
        protected.deletion_protected = False
        product.clients.images.UpdateImage(UpdateImageRequest(image=protected, update_mask=mask))
        product.go_to(first_time + 41 * DAY)
        assert [image.name for image in product.images()] == [newest]
        assert product.quota("snapshots").used == 2
