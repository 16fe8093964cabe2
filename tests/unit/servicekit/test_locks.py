import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from servicekit.locks import FairLock


def test_it_is_held_by_one_at_a_time() -> None:
    lock = FairLock()
    assert lock.acquire(0)
    assert not lock.acquire(0.001)
    lock.release()
    assert lock.acquire(0)


def test_one_who_gave_up_is_not_waited_for() -> None:
    lock = FairLock()
    lock.acquire(0)
    assert not lock.acquire(0.001)
    lock.release()
    assert lock.acquire(0)
    lock.release()


def test_a_turn_that_comes_just_as_patience_ends_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = FairLock()
    lock.acquire(0)

    class LateTurn:
        """Handed over in the very moment in which its waiter gives up."""

        def acquire(self, timeout: float | None = None) -> bool:
            if timeout is not None:
                lock.release()
            return timeout is None

        def release(self) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", LateTurn)
        assert lock.acquire(0)
    assert not lock.acquire(0)


def test_turns_come_in_the_order_of_asking() -> None:
    lock = FairLock()
    lock.acquire(0)
    order: list[int] = []

    def take(number: int) -> None:
        assert lock.acquire(30)
        order.append(number)
        lock.release()

    with ThreadPoolExecutor(5) as pool:
        for number in range(5):
            pool.submit(take, number)
            while len(lock._waiting) <= number:
                pass
        lock.release()
    assert order == [0, 1, 2, 3, 4]
