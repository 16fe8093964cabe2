"""A whole service, for test_main.py: its calls and steps tell on standard output, and wait for standard input.

A book called `slow` is created when a line comes in; so does the loop's step end, when SHELF_STEP is `slow`.
"""

import sys
from dataclasses import dataclass
from typing import Any

from servicekit import server
from servicekit.clock import Clocks, WallClock, product_clock
from servicekit.config import ServerSettings, listen_setting, one_of, setting
from servicekit.database import Database
from servicekit.errors import DatabaseUnavailable
from servicekit.loop import Loop, Wake
from servicekit.migrations import DatabaseTooNew
from servicekit.server import Server, Service
from tests.unit.servicekit.example import NAME, Book, ShelfServicer, registration


@dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings):
    listen: str = listen_setting(0)
    step: str = setting("quick", "how steps are", one_of("quick", "slow", "too_new", "locked"))


def _tell_and_wait(what: str) -> None:
    print(what, flush=True)
    print(sys.stdin.readline().strip(), flush=True)


def _act(request: Any) -> Any:
    if "book" in request.DESCRIPTOR.fields_by_name and request.book.title == "slow":
        _tell_and_wait("call")
    return Book(name=NAME)


def compose(settings: Settings) -> Service:
    database = Database(settings.database_url)
    if settings.step == "too_new":
        raise DatabaseTooNew("0009", "0002")
    if settings.step == "locked":
        raise DatabaseUnavailable("DATABASE_LOCKED", "the database is locked")
    database.ping(WallClock())

    def step() -> Wake:
        if settings.step == "slow":
            _tell_and_wait("step")
        return Wake()

    loop = Loop("shelf", step, Clocks(product_clock(settings.product_clock), WallClock()))
    shelf = Server(settings, [registration(ShelfServicer(_act))], lambda: database.ping(WallClock()))
    return Service(shelf, [loop], [database.dispose, lambda: print("closed", flush=True)])


if __name__ == "__main__":
    sys.exit(server.main("shelf", Settings, compose))
