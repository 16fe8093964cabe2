"""Virtual time, and tasks that take turns on one thread: one runs until it waits, and nothing else does meanwhile."""

import heapq
from collections.abc import Callable
from typing import Any

from greenlet import getcurrent, greenlet

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
"""Virtual time is whole microseconds since the run began."""


class Crash(BaseException):
    """The process that the task belongs to dies here: nothing that the code catches or does comes after."""


class Owner:
    """What tasks belong to: it may stand still, and it may die with all of them."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}
        self.paused_until = 0


class Task:
    """One line of work. `activity` names it in the story and in the coverage; a `quiet` one makes no work."""

    def __init__(self, number: int, owner: Owner, activity: str, work: Callable[[], None]) -> None:
        self.number = number
        self.owner = owner
        self.activity = activity
        self.dead = False
        self.quiet = False
        self.turn = 0
        self.passed: dict[str, int] = {}
        self.greenlet = greenlet(self._run)
        self._work = work
        owner.tasks[number] = self

    def _run(self, _: Any) -> None:
        try:
            self._work()
        except Crash:
            pass
        finally:
            self.dead = True
            self.owner.tasks.pop(self.number, None)


class Kernel:
    """Runs events in the order of their times; those of one time in the order in which they were asked for."""

    def __init__(self) -> None:
        self.now = 0
        self.current: Task | None = None
        self._hub = getcurrent()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._sequence = 0

    def at(self, moment: int, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (max(moment, self.now), self._sequence, action))

    def spawn(self, owner: Owner, activity: str, work: Callable[[], None], moment: int | None = None) -> Task:
        """A new task, which begins at the moment, or as soon as others let it."""
        self._sequence += 1
        task = Task(self._sequence, owner, activity, work)
        self.at(self.now if moment is None else moment, lambda: self._resume(task, 0, woken=False))
        return task

    def sleep(self, duration: int) -> None:
        """The current task goes on so much later."""
        self.wait(self.now + duration)

    def wait(self, until: int | None) -> bool:
        """The current task waits until then (None: for ever) or until it is woken; whether it was."""
        task = self.current
        assert task is not None, "only tasks wait"
        task.turn += 1
        if until is not None:
            turn = task.turn
            self.at(until, lambda: self._resume(task, turn, woken=False))
        return bool(self._hub.switch())

    def wake(self, task: Task, after: int = 0) -> None:
        """The task's present wait ends now, or so much later."""
        turn = task.turn
        self.at(self.now + after, lambda: self._resume(task, turn, woken=True))

    def kill(self, owner: Owner) -> None:
        """All tasks of the owner die where they wait. If the caller is one of them, it has to raise Crash itself."""
        doomed = [task for task in owner.tasks.values() if task is not self.current]
        for task in doomed:
            task.dead = True
            owner.tasks.pop(task.number)
        self.at(self.now, lambda: _bury(doomed))

    def run(self, until: int) -> None:
        """All events up to and including that moment."""
        while self._events and self._events[0][0] <= until:
            self.now, _, action = heapq.heappop(self._events)
            action()
        self.now = max(self.now, until)

    def close(self) -> None:
        """Forgets what has not happened yet, so that nothing outlives the run."""
        self._events.clear()

    def _resume(self, task: Task, turn: int, *, woken: bool) -> None:
        if task.dead or task.turn != turn:
            return
        if task.owner.paused_until > self.now:
            self.at(task.owner.paused_until, lambda: self._resume(task, turn, woken=woken))
            return
        task.turn += 1
        self.current = task
        try:
            task.greenlet.switch(woken)
        finally:
            self.current = None


def _bury(tasks: list[Task]) -> None:
    """Unwinds tasks that will never go on: what they hold is let go as when a process ends."""
    for task in tasks:
        if task.greenlet:  # it has begun, and has not ended
            task.greenlet.throw(Crash())
