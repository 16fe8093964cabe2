"""Time zones as the package tzdata ships them: it does not matter which zone files a machine has."""

import functools
import importlib.resources
from zoneinfo import ZoneInfo

from tzdata import IANA_VERSION

VERSION: str = IANA_VERSION
"""The version of the IANA time zone database, such as `2026b`."""
_DATA = importlib.resources.files("tzdata")
_NO_PLACE = "Factory"
"""What the database calls the zone of a machine that was never set up."""


def is_zone(name: str) -> bool:
    """Whether the database has a zone of exactly this name; upper and lower case matter."""
    return name in _names()


@functools.cache
def zone(name: str) -> ZoneInfo:
    """The zone, always the same object. A name that is none raises ValueError."""
    if not is_zone(name):
        raise ValueError(f"no time zone {name[:63]!r}")
    with _DATA.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@functools.cache
def _names() -> frozenset[str]:
    return frozenset(_DATA.joinpath("zones").read_text("utf-8").split()) - {_NO_PLACE}
