"""The harness does what it says: time, turns, deaths, and messages that go astray."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from autoimage.log.v1 import log_pb2, log_service_pb2
from autoimage.log.v1.log_service_pb2_grpc import LogServiceStub
from servicekit.errors import AlreadyExists, InvalidArgument, NotFound, ServiceError, Unavailable
from tests.simulation.kernel import SECOND, Crash, Kernel, Owner
from tests.simulation.ledger import Span
from tests.simulation.network import Ambush, SimulatedClient, Trouble
from tests.simulation.simulate import surroundings
from tests.simulation.world import LOG, Snare, World

PLACE = "accounts/acme/regions/cn-north-1"
LOG_SET = f"{PLACE}/logSets/backups"


class Someone:
    """Calls the log service, and remembers what came of it and when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = SimulatedClient(world.network, "someone")
        self.logs: Any = self.client.stub(LogServiceStub)
        self.came: list[tuple[int, str]] = []

    def create(self, log_set_id: str = "backups") -> None:
        request = log_service_pb2.CreateLogSetRequest(
            parent=PLACE, log_set_id=log_set_id, log_set=log_pb2.LogSet(display_name="backups")
        )
        self._begin(lambda: self.client.call(self.logs.CreateLogSet, request))

    def get(self) -> None:
        request = log_service_pb2.GetLogSetRequest(name=LOG_SET)
        self._begin(lambda: self.client.call(self.logs.GetLogSet, request))

    def _begin(self, call: Callable[[], Any]) -> None:
        def work() -> None:
            try:
                answer = call().name
            except ServiceError as error:
                answer = f"{type(error).__name__} {error.reason}"
            self.came.append((self.world.kernel.now // SECOND, answer))

        self.world.kernel.spawn(Owner(), "call", work)
        self.world.kernel.run(self.world.kernel.now + 20 * SECOND)


@pytest.fixture
def someone() -> Iterator[Someone]:
    with surroundings() as path, closing(World(0, path)) as world:
        world.machine(LOG).start()
        yield Someone(world)


def test_tasks_take_turns_in_the_order_of_their_times() -> None:
    kernel, told = Kernel(), list[str]()

    def work(name: str, pause: int) -> Callable[[], None]:
        def run() -> None:
            for _ in range(2):
                kernel.sleep(pause)
                told.append(f"{name} {kernel.now}")

        return run

    kernel.spawn(Owner(), "a", work("a", 20))
    kernel.spawn(Owner(), "b", work("b", 15))
    kernel.run(100)
    assert told == ["b 15", "a 20", "b 30", "a 40"]


def test_what_belongs_to_a_paused_owner_goes_on_later() -> None:
    kernel, owner, told = Kernel(), Owner(), list[int]()

    def work() -> None:
        kernel.sleep(10)
        told.append(kernel.now)

    kernel.spawn(owner, "task", work)
    owner.paused_until = 50
    kernel.run(100)
    assert told == [60]


def test_a_task_that_dies_lets_go_of_what_it_holds_and_does_nothing_more() -> None:
    kernel, owner, told = Kernel(), Owner(), list[str]()

    def work() -> None:
        try:
            kernel.sleep(10)
            told.append("went on")
        finally:
            told.append("let go")

    kernel.spawn(owner, "task", work)
    kernel.at(5, lambda: kernel.kill(owner))
    kernel.run(100)
    assert told == ["let go"]
    assert owner.tasks == {}


def test_errors_come_over_the_wire_with_their_details(someone: Someone) -> None:
    someone.get()
    someone.create("Not an id!")
    someone.create()
    someone.create()
    assert [answer for _, answer in someone.came] == [
        f"{NotFound.__name__} RESOURCE_NOT_FOUND",
        f"{InvalidArgument.__name__} INVALID_ARGUMENT",
        LOG_SET,
        f"{AlreadyExists.__name__} RESOURCE_EXISTS",
    ]


@pytest.mark.parametrize("trouble", [Trouble.LOST_REQUEST, Trouble.LOST_ANSWER, Trouble.DELAYED_REQUEST])
def test_a_caller_gives_up_and_cannot_know_what_became_of_the_call(someone: Someone, trouble: Trouble) -> None:
    someone.world.network.ambushes.append(Ambush(trouble, "CreateLogSet", 1, 15 * SECOND))
    someone.create()
    someone.get()
    assert someone.came == [
        (10, f"{Unavailable.__name__} TRANSPORT"),
        (20, f"{NotFound.__name__} RESOURCE_NOT_FOUND" if trouble is Trouble.LOST_REQUEST else LOG_SET),
    ]


def test_a_duplicate_is_served_twice(someone: Someone) -> None:
    someone.world.network.ambushes.append(Ambush(Trouble.DUPLICATE, "CreateLogSet", 1, SECOND))
    someone.create()
    assert someone.came == [(0, LOG_SET)]
    assert someone.world.coverage.places["CreateLogSet: COMMIT"] == 1
    assert someone.world.coverage.places["CreateLogSet: INSERT log_sets"] == 2


@pytest.mark.parametrize("reached", range(1, 12))
def test_a_process_dies_before_or_after_a_statement_and_leaves_all_or_nothing(someone: Someone, reached: int) -> None:
    someone.world.snares.append(Snare("CreateLogSet", reached, SECOND))
    someone.create()
    someone.get()
    (_, created), (_, found) = someone.came
    died = someone.world.coverage.deaths
    survived = "CreateLogSet: after COMMIT" in died
    assert (created == LOG_SET) == (not died)
    assert (found == LOG_SET) == (survived or not died)


def test_nothing_catches_a_crash() -> None:
    assert not issubclass(Crash, Exception)


def test_a_run_begins_without_the_files_of_the_last() -> None:
    with surroundings() as path:
        World(0, path).close()
        assert list(path.iterdir())
    with surroundings() as path:
        assert list(path.iterdir()) == []


def test_a_process_leaves_no_file_behind() -> None:
    program = "from tests.simulation.databases import folder; print(folder())"
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()
    assert told
    assert not Path(told).exists()


@pytest.mark.parametrize(
    ("opened", "start", "possible"),
    [(14, 0, [15, 27, 39]), (15, 0, [27, 39]), (2, 0, [3, 15, 27, 39]), (2, 15, [15, 27, 39]), (2, 27, [27, 39])],
)
def test_an_answer_may_be_younger_than_what_it_tells_of(opened: int, start: int, possible: list[int]) -> None:
    """A policy was enabled at once, but its user learned so only from a repeated call, after a point of it."""
    span = Span(first_time=27, interval=12, opened=opened, start_time=start)
    assert [*span.points(40)] == [27, 39]
    assert [*span.possible_points(opened, 40)] == possible
