"""Loops are driven by their own thread here; a queue tells when a step ran, so that nothing sleeps."""

import queue
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.typing import EventDict

from servicekit import loop as loop_module
from servicekit.clock import Clocks, SteppedClock, WallClock, write_clock
from servicekit.errors import Unavailable
from servicekit.loop import Loop, Wake, pause_seconds
from tests.support import START, ManualClocks, clocks

LONG = timedelta(hours=1)
SOON = 20.0
"""Seconds: far more than anything here takes, far less than LONG."""


class Steps:
    """A step that answers what it is told to, and tells of each run."""

    def __init__(self, *answers: Wake | Exception) -> None:
        self._answers = iter(answers)
        self._ran: queue.Queue[int] = queue.Queue()
        self.count = 0

    def __call__(self) -> Wake:
        self.count += 1
        self._ran.put(self.count)
        answer = next(self._answers, Wake())
        if isinstance(answer, Exception):
            raise answer
        return answer

    def wait(self) -> int:
        return self._ran.get(timeout=SOON)


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[], Wake], Clocks], Loop]]:
    started: list[Loop] = []

    def begin(step: Callable[[], Wake], clocks: Clocks, idle: timedelta = LONG) -> Loop:
        made = Loop("work", step, clocks, idle)
        started.append(made)
        made.start()
        return made

    yield begin
    for made in started:
        made.stop()


@pytest.fixture
def time() -> ManualClocks:
    return clocks()


def test_it_runs_at_the_start_and_then_sleeps_until_woken(start: Callable[..., Loop], time: ManualClocks) -> None:
    steps = Steps()
    loop = start(steps, time)
    assert steps.wait() == 1
    loop.wake()
    assert steps.wait() == 2
    loop.stop()
    assert steps.count == 2


def test_a_step_that_wants_more_at_once_gets_it(start: Callable[..., Loop], time: ManualClocks) -> None:
    steps = Steps(Wake(at_once=True), Wake(at_once=True))
    start(steps, time)
    assert [steps.wait() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("wish", [Wake(product=START + LONG), Wake(operating=START + LONG)])
def test_it_comes_back_when_the_clock_reaches_the_wish(
    start: Callable[..., Loop], time: ManualClocks, wish: Wake
) -> None:
    steps = Steps(wish)
    start(steps, time)
    steps.wait()
    (time.product if wish.product else time.operating).advance(LONG)
    assert steps.wait() == 2


def test_the_other_clock_does_not_bring_it_back(time: ManualClocks) -> None:
    looks: list[str] = []

    class Watched:
        def now(self) -> object:
            looks.append("look")
            if len(looks) == 5:
                loop.ask_to_stop()
            return START

    steps = Steps(Wake(product=START + LONG))
    time.operating.advance(2 * LONG)
    loop = Loop("work", steps, Clocks(Watched(), time.operating), LONG)  # type: ignore[arg-type]
    loop.start()
    loop._thread.join(SOON)
    assert (steps.count, len(looks)) == (1, 5)


def test_a_step_of_the_clock_file_is_seen(start: Callable[..., Loop], tmp_path: Path) -> None:
    write_clock(tmp_path / "clock", START)
    steps = Steps(Wake(product=START + LONG))
    start(steps, Clocks(SteppedClock(tmp_path / "clock"), WallClock()))
    steps.wait()
    write_clock(tmp_path / "clock", START + LONG)
    assert steps.wait() == 2


def test_a_step_of_the_clock_file_is_seen_whatever_was_wished_for(start: Callable[..., Loop], tmp_path: Path) -> None:
    write_clock(tmp_path / "clock", START)
    steps = Steps(Wake(product=START + LONG), Wake())
    start(steps, Clocks(SteppedClock(tmp_path / "clock"), WallClock()))
    assert steps.wait() == 1

    write_clock(tmp_path / "clock", START + timedelta(minutes=1))
    assert steps.wait() == 2
    write_clock(tmp_path / "clock", START + timedelta(minutes=2))
    assert steps.wait() == 3


def test_the_wall_clock_brings_it_back(start: Callable[..., Loop]) -> None:
    wall = Clocks(WallClock(), WallClock())
    steps = Steps(Wake(product=WallClock().now() + timedelta(milliseconds=30)), Wake(operating=WallClock().now()))
    start(steps, wall)
    assert [steps.wait() for _ in range(3)] == [1, 2, 3]


def test_without_a_wish_it_comes_when_idle_is_over(start: Callable[..., Loop], time: ManualClocks) -> None:
    steps = Steps()
    start(steps, time, timedelta(milliseconds=5))
    assert [steps.wait() for _ in range(3)] == [1, 2, 3]


def test_a_wake_during_a_step_is_not_lost(start: Callable[..., Loop], time: ManualClocks) -> None:
    inside, go_on = threading.Event(), threading.Event()
    runs: queue.Queue[None] = queue.Queue()

    def step() -> Wake:
        inside.set()
        go_on.wait(SOON)
        runs.put(None)
        return Wake()

    loop = start(step, time)
    assert inside.wait(SOON)
    loop.wake()
    go_on.set()
    runs.get(timeout=SOON)
    runs.get(timeout=SOON)


def test_stopping_waits_for_the_step_in_progress(time: ManualClocks) -> None:
    inside, go_on = threading.Event(), threading.Event()
    finished: list[bool] = []

    def step() -> Wake:
        inside.set()
        go_on.wait(SOON)
        finished.append(True)
        return Wake(at_once=True)

    loop = Loop("work", step, time)
    loop.start()
    assert inside.wait(SOON)
    loop.ask_to_stop()
    assert not finished
    go_on.set()
    loop.stop()
    assert finished == [True]


def test_a_loop_that_never_started_can_be_stopped(time: ManualClocks) -> None:
    Loop("work", Steps(), time).stop()


def test_a_step_that_fails_is_logged_and_repeated_until_it_recovers(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., Loop], time: ManualClocks, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(loop_module, "_FIRST_PAUSE_SECONDS", 0.001)
    bug, away = RuntimeError("bug"), Unavailable("TRANSPORT", "gone")
    steps = Steps(bug, away, Wake(at_once=True))
    loop = start(steps, time)
    assert [steps.wait() for _ in range(4)] == [1, 2, 3, 4]
    loop.stop()
    assert logged == [
        {
            "event": "step_failed",
            "log_level": "error",
            "loop": "work",
            "error": "RuntimeError",
            "retry_seconds": 0.001,
            "exc_info": bug,
        },
        {
            "event": "step_failed",
            "log_level": "warning",
            "loop": "work",
            "reason": "TRANSPORT",
            "message": "gone",
            "retry_seconds": 0.002,
        },
        {"event": "step_recovered", "log_level": "info", "loop": "work", "failures": 2},
    ]


class ClockThatFailsAtFirst(SteppedClock):
    """Its file is missing the first two times."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._looks = 0

    def now(self) -> datetime:
        self._looks += 1
        if self._looks == 3:
            write_clock(self.path, START)
        return super().now()


def test_a_clock_that_fails_does_not_end_the_loop(
    monkeypatch: pytest.MonkeyPatch, start: Callable[..., Loop], tmp_path: Path, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(loop_module, "_FIRST_PAUSE_SECONDS", 0.001)
    steps = Steps()
    start(steps, Clocks(ClockThatFailsAtFirst(tmp_path / "clock"), WallClock()))
    assert steps.wait() == 1
    assert [line["error"] for line in logged[:2]] == ["ClockFileError", "ClockFileError"]


def test_pauses_double_from_a_fifth_of_a_second_to_thirty() -> None:
    assert [pause_seconds(failures) for failures in (0, 1, 2, 7, 8, 10_000)] == [0.2, 0.4, 0.8, 25.6, 30.0, 30.0]


def test_stopping_does_not_wait_for_a_pause(
    monkeypatch: pytest.MonkeyPatch, time: ManualClocks, logged: list[EventDict]
) -> None:
    monkeypatch.setattr(loop_module, "pause_seconds", lambda _failures: LONG.total_seconds())
    steps = Steps(*[RuntimeError("bug")] * 3)
    loop = Loop("work", steps, time)
    loop.start()
    steps.wait()
    loop.stop()
    assert steps.count == 1
