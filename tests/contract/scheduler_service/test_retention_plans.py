"""PlanRetention on the wire, and when retention deleted an image."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from autoimage.scheduler.v1.execution_service_pb2 import (
    ListImageTasksRequest,
    PlanRetentionRequest,
    PlanRetentionResponse,
    RetentionVerdict,
)
from autoimage.type.v1 import retention_pb2
from scheduler_service.domain.retention import KeptImage, Retention
from scheduler_service.store import kept_images, series
from scheduler_service.store.schema import kept_images as kept_images_table
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.scheduler import World
from tests.support.scheduler_fakes import lost_request
from tests.support.scheduler_values import PLACE, a_kept_image, a_series, instance_name, uid

POLICY = f"{PLACE}/policies/daily"
DAILY = uid("daily")
DAY = timedelta(days=1)


def plan(stub: Any, policy: str = POLICY, **fields: Any) -> list[RetentionVerdict]:
    return list(stub.PlanRetention(PlanRetentionRequest(parent=policy, **fields)).retention_verdicts)


def told(verdicts: list[RetentionVerdict]) -> list[tuple[str, str]]:
    """Image and verdict of each."""
    return [
        (verdict.image, RetentionVerdict.Verdict.Name(verdict.verdict).removeprefix("VERDICT_")) for verdict in verdicts
    ]


def put(world: World, number: int, instance: str = "i-1", *, policy: str = "daily") -> list[KeptImage]:
    """Complete images of one a day that nobody's task asked for; newest first."""
    of = a_series(instance, policy, due_product=START + 1000 * DAY)
    images = [
        a_kept_image(f"img-{policy}-{instance}-{day:04}", START - 400 * DAY + day * DAY, of) for day in range(number)
    ]
    with world.database.write() as connection:
        series.ask(connection, [of])
        kept_images.add(connection, images)
    for image in images:
        world.compute.add(image.name, image.instance, image.request_id)
    return images[::-1]


@pytest.fixture(autouse=True)
def forget_what_was_put(world: World) -> Any:
    """Images without tasks are not for the world to judge."""
    yield
    with world.database.write() as connection:
        name = kept_images_table.c.image
        made = name.contains("img-daily-") | name.contains("img-weekly-")
        connection.execute(sa.delete(kept_images_table).where(made))


@pytest.mark.rule("X9")
def test_each_image_of_a_policy_has_a_verdict_by_instance_newest_first(world: World, stub: Any) -> None:
    second = world.make_image(START - 2 * DAY, instance="i-2")
    names = [world.make_image(START - days * DAY) for days in (5, 4, 3, 1)]
    world.make_image(START, policy="weekly")
    world.compute.protect(names[0])
    world.compute.remove(world.compute.named(names[2]))
    world.policies.retentions[DAILY] = Retention(keep_days=3, keep_last=9)
    found = plan(stub)
    assert told(found) == [
        (names[3], "KEEP_WITHIN_LIMITS"),
        (names[2], "GONE"),
        (names[1], "DELETE_TOO_OLD"),
        (names[0], "KEEP_PROTECTED"),
        (second, "KEEP_WITHIN_LIMITS"),
    ]
    assert found[0] == RetentionVerdict(
        image=names[3],
        source_instance=instance_name("i-1"),
        scheduled_time=to_proto(START - DAY),
        verdict=RetentionVerdict.VERDICT_KEEP_WITHIN_LIMITS,
        expire_time=to_proto(START + 2 * DAY),
    )
    assert world.compute.deletes == [], "a plan deletes nothing"
    assert [image.name for image in world.kept() if image.policy_uid == DAILY] == [*names[::-1], second]


@pytest.mark.rule("X9", "P9")
def test_every_verdict_is_told(world: World, stub: Any) -> None:
    images = [image.name for image in put(world, 2)]
    trials = [
        (retention_pb2.Retention(), "KEEP_FOREVER"),
        (retention_pb2.Retention(keep_last=1), "DELETE_TOO_MANY"),
        (retention_pb2.Retention(keep_days=400), "DELETE_TOO_OLD"),
    ]
    for retention, verdict in trials:
        assert told(plan(stub, retention=retention))[1] == (images[1], verdict)
    old = retention_pb2.Retention(keep_days=1)
    assert told(plan(stub, retention=old))[0] == (images[0], "KEEP_NEWEST")
    world.compute.named(images[0])
    world.compute.finish_at(world.compute.named(images[0]), START + DAY)
    assert told(plan(stub, retention=old)) == [(images[0], "KEEP_NOT_AVAILABLE"), (images[1], "KEEP_NEWEST")]
    old.may_delete_newest = True
    assert told(plan(stub, retention=old))[1] == (images[1], "DELETE_TOO_OLD")


@pytest.mark.rule("X9")
def test_another_retention_can_be_tried_without_the_policy_service(world: World, stub: Any) -> None:
    newest, oldest = put(world, 2)
    world.faults.always("look_up_retentions", lost_request())
    tried = plan(stub, retention=retention_pb2.Retention(keep_last=1))
    assert told(tried) == [(newest.name, "KEEP_WITHIN_LIMITS"), (oldest.name, "DELETE_TOO_MANY")]
    assert not any(verdict.HasField("expire_time") for verdict in tried)
    forever = plan(stub, retention=retention_pb2.Retention())
    assert [verdict for _, verdict in told(forever)] == ["KEEP_FOREVER"] * 2


@pytest.mark.rule("X9")
def test_a_deleted_policy_has_a_plan_and_one_that_nobody_knows_keeps_for_ever(world: World, stub: Any) -> None:
    put(world, 2)
    world.policies.retentions[DAILY] = Retention(keep_last=1)
    world.policies.delete_policy(DAILY)
    assert [verdict for _, verdict in told(plan(stub))] == ["KEEP_WITHIN_LIMITS", "DELETE_TOO_MANY"]
    del world.policies.retentions[DAILY]
    assert [verdict for _, verdict in told(plan(stub))] == ["KEEP_FOREVER"] * 2


@pytest.mark.rule("X9")
def test_policies_that_had_the_name_one_after_the_other_are_planned_each_for_itself(world: World, stub: Any) -> None:
    first = put(world, 2)
    later = a_series(policy_uid=uid("daily", "again"), due_product=START + 1000 * DAY)
    second = [a_kept_image(f"img-daily-again-{day}", START + day * DAY, later) for day in range(2)]
    with world.database.write() as connection:
        series.ask(connection, [later])
        kept_images.add(connection, second)
    for image in second:
        world.compute.add(image.name, image.instance, image.request_id)
    world.policies.retentions |= {DAILY: Retention(keep_last=1), later.policy_uid: Retention(keep_last=5)}
    verdicts = dict(told(plan(stub)))
    assert [verdicts[image.name] for image in first] == ["KEEP_WITHIN_LIMITS", "DELETE_TOO_MANY"]
    assert [verdicts[image.name] for image in second] == ["KEEP_WITHIN_LIMITS"] * 2


def test_a_policy_without_images_has_an_empty_plan(world: World, stub: Any) -> None:
    put(world, 1)
    for elsewhere in ("accounts/other/regions/cn-north-1", "accounts/acme/regions/cn-south-1"):
        assert plan(stub, f"{elsewhere}/policies/daily") == []
    empty = stub.PlanRetention(PlanRetentionRequest(parent=f"{PLACE}/policies/never-was"))
    assert empty == PlanRetentionResponse()
    assert world.policies.looked_up == []


@pytest.mark.rule("P16", "X9")
@pytest.mark.parametrize("last", [1, 10, 40])
@pytest.mark.parametrize(("size", "sizes"), [(0, [20, 20, 20, 15]), (30, [30, 30, 15]), (101, [75])])
def test_pages_neither_repeat_nor_leave_out_and_judge_as_one_page_does(
    world: World, stub: Any, size: int, sizes: list[int], last: int
) -> None:
    images = [*put(world, 60, "i-1"), *put(world, 15, "i-2")]
    for image in images[:3]:
        world.compute.remove(world.compute.named(image.name))
    world.policies.retentions[DAILY] = Retention(keep_last=last)
    pages: list[list[RetentionVerdict]] = []
    token = ""
    while token or not pages:
        response = stub.PlanRetention(PlanRetentionRequest(parent=POLICY, page_size=size, page_token=token))
        pages.append(list(response.retention_verdicts))
        token = response.next_page_token
    assert [len(page) for page in pages] == sizes
    kept, others = ["KEEP_WITHIN_LIMITS"], ["DELETE_TOO_MANY"]
    expected = ["GONE"] * 3 + kept * last + others * (57 - last) + kept * min(last, 15) + others * (15 - min(last, 15))
    found = [verdict for page in pages for verdict in told(page)]
    assert found == [(image.name, verdict) for image, verdict in zip(images, expected, strict=True)]


@pytest.mark.rule("P16")
def test_a_page_token_belongs_to_its_query(world: World, stub: Any) -> None:
    put(world, 3)
    token = stub.PlanRetention(PlanRetentionRequest(parent=POLICY, page_size=1)).next_page_token
    for request in (
        PlanRetentionRequest(parent=f"{PLACE}/policies/weekly", page_token=token),
        PlanRetentionRequest(parent=POLICY, page_token=token, retention=retention_pb2.Retention()),
        PlanRetentionRequest(parent=POLICY, page_token=token, retention=retention_pb2.Retention(keep_last=1)),
        PlanRetentionRequest(parent=POLICY, page_token=token[:-2]),
    ):
        error = error_of(stub.PlanRetention, request)
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    assert len(plan(stub, page_token=token)) == 2


@pytest.mark.rule("P16")
def test_a_full_last_page_has_no_token(world: World, stub: Any) -> None:
    put(world, 20)
    response = stub.PlanRetention(PlanRetentionRequest(parent=POLICY))
    assert (len(response.retention_verdicts), response.next_page_token) == (20, "")


@pytest.mark.parametrize("call", ["look_up_retentions", "look_at"])
def test_while_others_are_away_there_is_no_plan(world: World, stub: Any, call: str) -> None:
    put(world, 1)
    world.faults.next(call, lost_request())
    assert error_of(stub.PlanRetention, PlanRetentionRequest(parent=POLICY)).code is Code.UNAVAILABLE
    assert len(plan(stub)) == 1


@pytest.mark.rule("X9")
def test_a_task_tells_when_retention_deleted_its_image(world: World, stub: Any) -> None:
    world.make_image(START - DAY)
    world.policies.retentions[DAILY] = Retention(keep_last=1)
    world.make_image(START)
    first, second = world.executions()
    (deleted,) = stub.ListImageTasks(ListImageTasksRequest(parent=first.name)).image_tasks
    (kept,) = stub.ListImageTasks(ListImageTasksRequest(parent=second.name)).image_tasks
    assert deleted.image_delete_time == to_proto(world.time.product.now())
    assert not kept.HasField("image_delete_time")
