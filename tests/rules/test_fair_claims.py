"""Rules of claims: no account holds up another, and no more is built at a time than may be (X7)."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from scheduler_service.commands.claim_tasks import claim_tasks
from scheduler_service.domain.executions import Kind
from scheduler_service.domain.tasks import Phase, Task
from scheduler_service.steps.claims import BATCH
from scheduler_service.steps.follow import follow
from scheduler_service.steps.send import send
from scheduler_service.steps.take_up import take_up
from scheduler_service.store import executions as execution_store
from scheduler_service.store import tasks as task_store
from scheduler_service.store.schema import image_tasks
from servicekit.loop import Wake
from tests.support import START
from tests.support.scheduler import TASK_LEASE, World, scheduler_world
from tests.support.scheduler_fakes import BUSY, NO_IMAGE_QUOTA, lost_answer, lost_request
from tests.support.scheduler_values import a_task, an_execution, instance_name, uid

SECOND = timedelta(seconds=1)
WINDOW = timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with scheduler_world(tmp_path) as world:
        yield world


@pytest.fixture
def unchecked(tmp_path: Path) -> Iterator[World]:
    """A world with tasks that no trigger brought: its promises are not checked."""
    world = World(tmp_path)
    yield world
    world.database.dispose()


def put(world: World, account: str, count: int, **changes: Any) -> None:
    """So many tasks of an account, all due; the longest due has the lowest number."""
    execution = an_execution(f"of-{account}", account=account)
    first = a_task(
        "i",
        execution,
        instance=instance_name("i", account),
        request_id=account,
        due_product=START - timedelta(days=1),
        **changes,
    )
    with world.database.write() as connection:
        execution_store.insert(connection, [execution], {execution.place: 1})
        task_store.insert(connection, [first] if count else [])
        _multiply(connection, count)


def _multiply(connection: sa.Connection, count: int) -> None:
    """Makes so many of the task that has no number yet, each due a microsecond after the one before it."""
    numbers = sa.select(sa.literal(1).label("number")).cte("numbers", recursive=True)
    numbers = numbers.union_all(sa.select(numbers.c.number + 1).where(numbers.c.number < count - 1))
    suffix = "-" + sa.cast(numbers.c.number, sa.Text)
    changed = {
        "instance_id": image_tasks.c.instance_id + suffix,
        "instance": image_tasks.c.instance + suffix,
        "request_id": image_tasks.c.request_id + suffix,
        "due_product": image_tasks.c.due_product + numbers.c.number,
    }
    names = [column.name for column in image_tasks.columns]
    more = (
        sa.select(*(changed.get(name, image_tasks.c[name]) for name in names))
        .join_from(image_tasks, numbers, numbers.c.number < count)
        .where(image_tasks.c.instance_id == "i")
    )
    connection.execute(sa.insert(image_tasks).from_select(names, more))
    connection.execute(
        sa.update(image_tasks)
        .where(image_tasks.c.instance_id == "i")
        .values(instance_id="i-0", instance=image_tasks.c.instance + "-0", request_id=image_tasks.c.request_id + "-0")
    )


def claim(world: World, limit: int = BATCH, *phases: Phase) -> list[Task]:
    with world.database.write() as connection:
        lease_end = world.time.operating.now() + TASK_LEASE
        return claim_tasks(world.deps, connection, phases or (Phase.SEND,), lease_end, limit)


def accounts(tasks: list[Task]) -> dict[str, int]:
    return dict(Counter(task.instance.split("/")[1] for task in tasks))


# Round-robin between accounts


@pytest.mark.rule("X7")
@pytest.mark.parametrize("first", ["big", "small"])
def test_100_000_due_tasks_of_an_account_do_not_hold_up_the_one_of_another(unchecked: World, first: str) -> None:
    unchecked.random.share = {"big": 0.0, "small": 0.5}[first]
    put(unchecked, "big", 100_000)
    put(unchecked, "small", 1)
    assert accounts(claim(unchecked)) == {"big": BATCH - 1, "small": 1}


@pytest.mark.rule("X7")
def test_a_claim_reads_what_it_takes_and_not_all_that_is_due(unchecked: World) -> None:
    put(unchecked, "big", 2_000)
    put(unchecked, "small", 1)
    read: list[int] = []
    due = task_store.due

    def counting(*arguments: object, **keywords: object) -> list[Task]:
        found = due(*arguments, **keywords)  # type: ignore[arg-type]
        read.append(len(found))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(task_store, "due", counting)
        assert len(claim(unchecked)) == BATCH
    assert sum(read) == BATCH


@pytest.mark.rule("X7")
def test_accounts_share_a_batch_and_what_one_does_not_need_goes_to_the_others(unchecked: World) -> None:
    for account, count in (("a", 100), ("b", 3), ("c", 100), ("d", 0)):
        put(unchecked, account, count)
    assert accounts(claim(unchecked, 27)) == {"a": 12, "b": 3, "c": 12}
    assert accounts(claim(unchecked, 24)) == {"a": 12, "c": 12}


@pytest.mark.rule("X7")
def test_more_accounts_than_fit_a_batch_have_their_turns(unchecked: World) -> None:
    for number in range(10):
        put(unchecked, f"a{number}", 5)
    seen: Counter[str] = Counter()
    for share in (0.0, 0.3, 0.6, 0.9):
        unchecked.random.share = share
        batch = accounts(claim(unchecked, 3))
        assert set(batch.values()) == {1}
        seen.update(batch)
    assert len(seen) == 10


@pytest.mark.rule("X7")
def test_within_an_account_the_longest_due_is_first_whatever_its_region(unchecked: World) -> None:
    put(unchecked, "a", 4)
    south = an_execution("south", account="a", region="cn-south-1")
    due = START - timedelta(days=1) + timedelta(microseconds=1)
    with unchecked.database.write() as connection:
        execution_store.insert(connection, [south], {south.place: 1})
        instance = "accounts/a/regions/cn-south-1/instances/i-south"
        task_store.insert(connection, [a_task("i-south", south, instance=instance, due_product=due)])
    assert {task.instance_id for task in claim(unchecked, 3)} == {"i-0", "i-1", "i-south"}
    assert {task.instance_id for task in claim(unchecked, 3)} == {"i-2", "i-3"}


@pytest.mark.rule("X7")
def test_builds_in_flight_are_followed_in_turn_too(unchecked: World) -> None:
    put(unchecked, "big", 1_000, phase=Phase.FOLLOW)
    put(unchecked, "small", 2, phase=Phase.LATE)
    assert accounts(claim(unchecked, 100, Phase.FOLLOW, Phase.LATE)) == {"big": 98, "small": 2}


# Builds in flight


def in_states(world: World) -> Counter[str]:
    return Counter(task.state.value for task in world.tasks())


@pytest.mark.rule("X7")
@pytest.mark.parametrize(("limit", "begun"), [(1, 1), (2, 2), (3, 3), (4, 3), (0, 3)])
def test_no_more_are_built_at_a_time_than_may_be(world: World, limit: int, begun: int) -> None:
    world.limit_builds(limit)
    world.add_trigger("i-1", "i-2", "i-3")
    world.run_until_idle()
    world.check()
    assert (in_states(world)["BUILDING"], len(world.compute.creates)) == (begun, begun)
    world.settle()
    assert in_states(world) == {"SUCCEEDED": 3}


@pytest.mark.rule("X7")
def test_each_account_and_region_has_a_limit_of_its_own(world: World) -> None:
    world.limit_builds(1)
    world.add_trigger("i-1", "i-2")
    world.add_trigger("i-3", "i-4", policy="other", account="other")
    world.run_until_idle()
    assert in_states(world) == {"BUILDING": 2, "PENDING": 2}
    assert {task.place.split("/")[1] for task in world.tasks() if task.in_flight} == {"acme", "other"}
    world.settle()


@pytest.mark.rule("X7")
def test_what_waits_for_a_place_is_no_work_and_writes_nothing(world: World) -> None:
    world.limit_builds(1)
    world.compute.build_time = WINDOW
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    before = world.faults.reached
    # When the start window is over it ends.
    assert send(world.deps) == Wake(product=START + WINDOW + timedelta(microseconds=1))
    assert world.faults.reached == before


@pytest.mark.rule("X7", "X5")
def test_what_gets_no_place_within_its_start_window_fails(world: World) -> None:
    world.limit_builds(1)
    world.compute.build_time = 2 * WINDOW
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    world.pass_time(WINDOW)
    world.run_until_idle()
    assert in_states(world) == {"BUILDING": 1, "PENDING": 1}
    world.pass_time(timedelta(microseconds=1))
    world.run_until_idle()
    assert in_states(world) == {"BUILDING": 1, "FAILED": 1}
    world.pass_time(WINDOW)
    world.settle()
    assert sorted(outcome[1:] for outcome in world.outcomes()) == [("FAILED", "START_WINDOW_PASSED"), ("SUCCEEDED", "")]


@pytest.mark.rule("X7")
def test_a_build_in_doubt_keeps_its_place_and_is_sent_again_although_all_are_taken(world: World) -> None:
    world.limit_builds(1)
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    send(world.deps)
    (held,) = [task for task in world.tasks() if task.in_flight]
    assert held.attempt_count == 1
    world.pass_time(SECOND)
    send(world.deps)
    assert {request_id for request_id, _ in world.compute.creates} == {held.request_id}
    world.settle()
    assert in_states(world) == {"SUCCEEDED": 2}


@pytest.mark.rule("X7", "X4")
def test_a_busy_instance_leaves_its_place_to_others_while_it_waits(world: World) -> None:
    world.limit_builds(1)
    world.compute.refusals["i-1"] = BUSY
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    assert [(task.instance_id, task.in_flight) for task in world.tasks()] == [("i-1", False), ("i-2", True)]
    world.compute.refusals.clear()
    world.settle()
    assert in_states(world) == {"SUCCEEDED": 2}


@pytest.mark.rule("X7", "X3", "X6")
def test_every_way_out_gives_the_place_back(world: World) -> None:
    world.limit_builds(1)
    world.compute.refusals["i-1"] = NO_IMAGE_QUOTA
    world.compute.failing.add("i-2")
    world.add_trigger("i-1", "i-2", "i-3", "i-4", "i-5")
    world.disassociate("i-3")
    world.settle()
    assert sorted(outcome[1:] for outcome in world.outcomes()) == [
        ("CANCELLED", "DISASSOCIATED"),
        ("FAILED", "SNAPSHOT_FAILED"),
        ("SKIPPED", "IMAGE_QUOTA_EXCEEDED"),
        ("SUCCEEDED", ""),
        ("SUCCEEDED", ""),
    ]


@pytest.mark.rule("X7", "X5")
def test_a_build_that_times_out_is_in_flight_no_more(world: World) -> None:
    world.compute.build_time = timedelta(hours=30)
    world.add_trigger("i-1")
    world.run_until_idle()
    world.pass_time(timedelta(hours=24))
    world.run_until_idle()
    assert (world.task().phase, world.task().in_flight) == (Phase.LATE, False)


@pytest.mark.rule("X7", "X6")
def test_an_image_that_turns_up_is_counted_even_above_the_limit(world: World) -> None:
    """It is there, whoever else has the place by now: it is counted as what it is, and given back once."""
    world.faults.next("create_images", lost_answer())
    world.add_trigger("i-1", "i-2")
    take_up(world.deps)
    send(world.deps)
    world.limit_builds(1)
    world.pass_time(SECOND)
    send(world.deps)
    assert [task.in_flight for task in world.tasks()] == [True, True]
    world.max_builds_in_flight = 0  # two are more than one: the check would say so
    world.settle()
    assert in_states(world) == {"SUCCEEDED": 2}


@pytest.mark.rule("X7")
def test_a_claim_that_runs_out_takes_no_second_place(world: World) -> None:
    world.limit_builds(2)
    world.add_trigger("i-1", "i-2", "i-3")
    take_up(world.deps)
    first = claim(world)
    assert claim(world) == []
    world.time.operating.advance(TASK_LEASE)
    assert [task.instance_id for task in claim(world)] == [task.instance_id for task in first]
    world.check()
    world.time.operating.advance(TASK_LEASE)
    world.settle()


@pytest.mark.rule("X7")
def test_while_the_policy_service_is_away_nothing_is_leaked(world: World) -> None:
    world.limit_builds(1)
    world.faults.always("filter_associated", lost_request())
    world.add_trigger("i-1", "i-2")
    world.run_until_idle()
    world.check()
    world.faults.clear("filter_associated")
    world.settle()
    assert in_states(world) == {"SUCCEEDED": 2}


@pytest.mark.rule("X7", "X4")
def test_a_task_that_is_superseded_gives_its_place_to_the_next(world: World) -> None:
    world.limit_builds(1)
    world.faults.always("filter_associated", lost_request())
    world.add_trigger("i-1")
    world.run_until_idle()
    world.faults.clear("filter_associated")
    world.add_trigger("i-1", kind=Kind.RUN_NOW, run_id=uid("run"), scheduled=START + SECOND)
    world.settle()
    assert [outcome[1:] for outcome in world.outcomes()] == [("SKIPPED", "SUPERSEDED"), ("SUCCEEDED", "")]


@pytest.mark.rule("X7")
def test_a_place_that_is_given_back_is_taken_by_the_task_that_waited_longest(world: World) -> None:
    world.limit_builds(1)
    for number in range(3):
        scheduled = START - number * SECOND
        world.add_trigger(f"i-{number}", policy=f"p-{number}", scheduled=scheduled)
    order = []
    for _ in range(3):
        world.run_until_idle()
        order += [task.instance_id for task in world.tasks() if task.state.value == "BUILDING"]
        world.pass_time(timedelta(minutes=1))
        follow(world.deps)
    assert order == ["i-2", "i-1", "i-0"]


def test_more_tasks_than_one_batch_are_sent_in_batches_of_500(world: World) -> None:
    world.compute.build_time = timedelta(0)
    for number in range(12):
        world.add_trigger(*(f"i-{number}-{index}" for index in range(100)), policy=f"policy-{number}", topic="")
    world.settle()
    assert [len(asked) for asked in world.policies.asked] == [500, 500, 200]
    assert [len(names) for names in world.compute.gets] == [500, 500, 200]
    assert {execution.counts for execution in world.executions()} == {
        replace(world.executions()[0].counts, total=100, open=0, succeeded=100)
    }
