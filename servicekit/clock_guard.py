"""Tells when product time is not to be trusted: when it leapt ahead of the machine's own uptime.

A machine's clock that is set wrong, by a person or by a bad time server, would make policies due that are not, and let
images be deleted that are young. Uptime can't be set, so the two gain on each other only when one of them is wrong.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
import structlog

from servicekit.clock import Clock
from servicekit.database import Database, Micros
from servicekit.errors import Unavailable
from servicekit.loop import Wake
from servicekit.retries import retried
from servicekit.sql import insert_or_update
from servicekit.timestamps import from_micros, to_micros

MOST_GAIN = timedelta(minutes=10)
"""How far product time may get ahead of uptime between two looks."""
_STORE_EVERY = timedelta(minutes=1)
_LOOK_AGAIN = timedelta(seconds=1)
_KEPT = timedelta(days=400)
_NEW_READING = {"product_micros": None, "uptime_micros": None}
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOG = structlog.get_logger("servicekit.clock_guard")


@dataclass(frozen=True)
class Uptime:
    """How long ago the machine was started, its sleep included, and which start that was."""

    boot_id: str
    elapsed: timedelta


@dataclass(frozen=True)
class Reading:
    """Both clocks at one moment."""

    product: datetime
    uptime: Uptime

    def gain_since(self, earlier: "Reading") -> timedelta:
        """How far product time got ahead of uptime; less than none if it fell behind, none if the machine restarted."""
        if self.uptime.boot_id != earlier.uptime.boot_id:
            return timedelta(0)
        return (self.product - earlier.product) - (self.uptime.elapsed - earlier.uptime.elapsed)


class ProductTimeDoubtful(Unavailable):
    """Nothing that depends on product time is done until it is trusted again."""

    def __init__(self) -> None:
        super().__init__(
            "PRODUCT_TIME_DOUBTFUL",
            "product time leapt ahead of the machine's uptime: set the clock right, or confirm it with "
            "`autoimage confirm-clock`",
            retry_after=_LOOK_AGAIN,
        )


class Guard(Protocol):
    def gain(self) -> timedelta | None:
        """How far product time got ahead of uptime since it was last trusted, if that is too far; None: it is trusted.

        Cheap enough to be asked at every poll, but not within a transaction.
        """

    def confirm(self) -> None:
        """Product time is right as it is, a person says: every replica is to trust it again."""


class NoGuard:
    """For product time that is stepped: it leaps because somebody wants it to."""

    def gain(self) -> timedelta | None:
        return None

    def confirm(self) -> None:
        pass


def require_product_time(guard: Guard) -> None:
    """Raises ProductTimeDoubtful unless product time is trusted."""
    if guard.gain() is not None:
        raise ProductTimeDoubtful


def trusted_time(guard: Guard, product: Clock) -> datetime:
    """Product time; while it is not trusted, what it would be by the machine's uptime."""
    return product.now() - (guard.gain() or timedelta(0))


def guarded(guard: Guard, step: Callable[[], Wake], operating: Clock) -> Callable[[], Wake]:
    """The step, which does nothing and looks again every second while product time is not trusted."""

    def run() -> Wake:
        return step() if guard.gain() is None else Wake(operating=operating.now() + _LOOK_AGAIN)

    return run


def product_guard(setting: str, database: Database, table: sa.Table, product: Clock) -> Guard:
    """The guard of the product clock that this setting names (see `clock.product_clock`)."""
    return UptimeGuard(database, table, product, machine_uptime) if setting == "wall" else NoGuard()


class UptimeGuard:
    """Compares product time with uptime whenever it is asked. Safe to share between threads.

    What it compares with is in the database too, so that a restart does not make a wrong time right. Once it has
    stopped trusting, it trusts again when the clocks agree with what they were, or when a person confirms through any
    replica.
    """

    def __init__(self, database: Database, table: sa.Table, product: Clock, uptime: Callable[[], Uptime]) -> None:
        self._database = database
        self._table = table
        self._product = product
        self._uptime = uptime
        self._mutex = threading.Lock()
        self._before: Reading | None = None
        self._stored_at: timedelta | None = None
        self._has_stopped = False

    def gain(self) -> timedelta | None:
        with self._mutex:
            now = Reading(self._product.now(), self._uptime())
            before = self._before or self._load(now.uptime.boot_id)
            if before is not None and now.gain_since(before) > MOST_GAIN and not self._is_confirmed(now):
                self._stop(before, now)
                return now.gain_since(before)
            self._trust(now)
            return None

    def confirm(self) -> None:
        with self._database.write() as connection:
            connection.execute(sa.delete(self._table))
        _LOG.warning("product_time_confirmed", product_time=self._product.now().isoformat())

    def _is_confirmed(self, now: Reading) -> bool:
        """Whether a person confirmed since it stopped: what it compared with is gone, or another replica's by now."""
        if not self._has_stopped:
            return False
        stored = self._load(now.uptime.boot_id)
        return stored is None or now.gain_since(stored) <= MOST_GAIN

    def _trust(self, now: Reading) -> None:
        if self._has_stopped:
            _LOG.warning("product_time_trusted_again", product_time=now.product.isoformat())
            self._has_stopped = False
            self._stored_at = None
        self._before = now
        if self._stored_at is None or now.uptime.elapsed - self._stored_at >= _STORE_EVERY:
            self._store(now)
            self._stored_at = now.uptime.elapsed

    def _stop(self, before: Reading, now: Reading) -> None:
        if self._has_stopped:
            return
        self._has_stopped = True
        self._before = before
        self._store(before)
        _LOG.error(
            "product_time_doubtful",
            product_time=now.product.isoformat(),
            gained_seconds=now.gain_since(before).total_seconds(),
            most_seconds=MOST_GAIN.total_seconds(),
        )

    def _load(self, boot_id: str) -> Reading | None:
        with self._database.read() as connection:
            row = connection.execute(sa.select(self._table).where(self._table.c.boot_id == boot_id)).one_or_none()
        if row is None:
            return None
        return Reading(from_micros(row.product_micros), Uptime(boot_id, timedelta(microseconds=row.uptime_micros)))

    def _store(self, reading: Reading) -> None:
        """Forgets old readings as well; other replicas may do the same at the same moment."""
        retried(lambda: self._write(reading))

    def _write(self, reading: Reading) -> None:
        row = {
            "boot_id": reading.uptime.boot_id,
            "product_micros": to_micros(reading.product),
            "uptime_micros": reading.uptime.elapsed // timedelta(microseconds=1),
        }
        is_old = self._table.c.product_micros < to_micros(reading.product - _KEPT)
        with self._database.write() as connection:
            connection.execute(sa.delete(self._table).where(is_old))
            insert_or_update(connection, self._table, [row], _NEW_READING)


def readings_table(metadata: sa.MetaData) -> sa.Table:
    """The table of a service's latest readings, one for each machine, or each start of it, that ran a replica."""
    return sa.Table(
        "clock_readings",
        metadata,
        sa.Column("boot_id", sa.Text, primary_key=True),
        sa.Column("product_micros", Micros, nullable=False),
        sa.Column("uptime_micros", sa.BigInteger, nullable=False),
    )


def machine_uptime() -> Uptime:
    """This machine's; on systems that do not tell, since an unknown moment before the process began."""
    try:
        boot_id = _BOOT_ID.read_text("ascii").strip()
        return Uptime(boot_id, timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME)))
    except (OSError, AttributeError):
        return Uptime("unknown", timedelta(seconds=time.monotonic()))
