"""Product time that leaps ahead of the machine's uptime is not trusted."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import structlog

from servicekit.clock import ManualClock
from servicekit.clock_guard import MOST_GAIN, Uptime, UptimeGuard, machine_uptime, readings_table
from servicekit.database import Database, new_metadata

START = datetime(2030, 1, 1, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
_METADATA = new_metadata()
_TABLE = readings_table(_METADATA)


class Machine:
    """Clocks that a test moves, and the guards of the replicas that run there."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(f"sqlite:///{folder / 'guard.db'}")
        with self.database.write() as connection:
            _METADATA.create_all(connection)
        self.product = ManualClock(START)
        self.uptime = Uptime("boot-1", timedelta(hours=1))

    def guard(self) -> UptimeGuard:
        return UptimeGuard(self.database, _TABLE, self.product, lambda: self.uptime)

    def live(self, time: timedelta, gain: timedelta = timedelta(0)) -> None:
        """Time passes, and product time gains on it."""
        self.uptime = Uptime(self.uptime.boot_id, self.uptime.elapsed + time)
        self.product.advance(time + gain)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.database.dispose()


@pytest.mark.parametrize(
    ("gain", "expected"), [(MOST_GAIN, True), (MOST_GAIN + SECOND, False), (-365 * 24 * 60 * MINUTE, True)]
)
def test_a_leap_of_more_than_ten_minutes_is_not_trusted(machine: Machine, gain: timedelta, expected: bool) -> None:
    guard = machine.guard()
    assert guard.gain() is None
    machine.live(SECOND, gain)
    assert (guard.gain() is None) is expected


def test_time_that_passes_for_both_is_trusted_however_much_it_is(machine: Machine) -> None:
    guard = machine.guard()
    assert guard.gain() is None
    machine.live(timedelta(days=30))
    assert guard.gain() is None


def test_many_small_corrections_are_trusted(machine: Machine) -> None:
    guard = machine.guard()
    for _ in range(100):
        assert guard.gain() is None
        machine.live(SECOND, MINUTE)


def test_it_trusts_again_once_the_clock_is_set_back(machine: Machine) -> None:
    guard = machine.guard()
    guard.gain()
    machine.live(SECOND, 60 * MINUTE)
    with structlog.testing.capture_logs() as logs:
        assert guard.gain() is not None
        machine.live(10 * MINUTE)
        assert guard.gain() is not None
        machine.live(SECOND, -60 * MINUTE)
        assert guard.gain() is None
    assert [entry["event"] for entry in logs] == ["product_time_doubtful", "product_time_trusted_again"]
    assert (logs[0]["log_level"], logs[0]["gained_seconds"]) == ("error", 3600)


def test_a_person_confirms_for_every_replica(machine: Machine) -> None:
    first, second = machine.guard(), machine.guard()
    assert first.gain() is None
    assert second.gain() is None
    machine.live(SECOND, 60 * MINUTE)
    assert first.gain() is not None
    assert second.gain() is not None
    first.confirm()
    assert first.gain() is None
    assert second.gain() is None
    machine.live(SECOND, 60 * MINUTE)
    assert first.gain() is not None


def test_a_restart_does_not_make_a_wrong_time_right(machine: Machine) -> None:
    machine.guard().gain()
    machine.live(SECOND, 60 * MINUTE)
    assert machine.guard().gain() is not None
    restarted = machine.guard()
    assert restarted.gain() is not None
    assert restarted.gain() is not None


def test_after_a_start_of_the_machine_there_is_nothing_to_compare_with(machine: Machine) -> None:
    machine.guard().gain()
    machine.live(SECOND, 60 * MINUTE)
    machine.uptime = Uptime("boot-2", SECOND)
    assert machine.guard().gain() is None


def test_uptime_of_this_machine_moves_on() -> None:
    earlier, later = machine_uptime(), machine_uptime()
    assert earlier.boot_id == later.boot_id
    assert earlier.elapsed <= later.elapsed
