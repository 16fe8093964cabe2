"""The single values of a fleet file: a function makes one of a text, or raises a ValueError saying what is wanted."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import regex

from servicekit.names import ACCOUNT_REGION, is_id
from servicekit.zones import is_zone
from suite.fleet.model import SYSTEM_DISK, Disk, Interval
from suite.fleet.starts import EARLIEST, LATEST, Start, StartAt, StartDaily, StartIn

_DELAYS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_INTERVALS = {"hour": (12, 8760), "day": (1, 365), "week": (1, 52)}
_RANGE = re.compile(r"(.*?)(\d{1,6})\.\.(\d{1,6})")
_MAX_RANGE = 10_000
_MAX_SPREAD = 60


def resource_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("must be 1 to 63 lower-case letters, digits or dashes, a letter first and no dash last")
    return text


def account(text: str) -> str:
    if ACCOUNT_REGION.match(f"accounts/{text}/regions/r") is None:
        raise ValueError("must be 1 to 63 lower-case letters, digits or dashes, no dash first or last")
    return text


def ids(text: str) -> list[str]:
    """An id, or a range of ids: `web-01..08` is web-01, web-02 … web-08, each number as wide as the first."""
    found = _RANGE.fullmatch(text)
    if not found:
        return [resource_id(text)]
    stem, first, last = found.groups()
    numbers = range(int(first), int(last) + 1)
    if not 0 < len(numbers) <= _MAX_RANGE:
        raise ValueError(f"must be a range that goes up, of at most {_MAX_RANGE:,} ids, such as web-01..08")
    return [resource_id(f"{stem}{number:0{len(first)}}") for number in numbers]


def integer(low: int, high: int) -> Callable[[str], int]:
    """A whole number, both ends allowed; thousands may be set apart by `_`."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d[\d_]{0,14}", text) or not low <= int(text.replace("_", "")) <= high:
            raise ValueError(f"must be a whole number from {low:,} to {high:,}")
        return int(text.replace("_", ""))

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return parse


def name(maximum: int, characters: str | None = None) -> Callable[[str], str]:
    """A display name of 1 to `maximum` characters: of any, or of Han characters, letters, digits and these."""
    wanted = f"must be 1 to {maximum} characters"
    pattern = regex.compile(rf"[^\x00]{{1,{maximum}}}", regex.DOTALL)
    if characters is not None:
        wanted += f": Han characters, A-Z, a-z, 0-9, {' '.join(characters)}"
        pattern = regex.compile(rf"[\p{{Han}}A-Za-z0-9{regex.escape(characters)}]{{1,{maximum}}}")

    def parse(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(wanted)
        return text

    return parse


def text(maximum: int) -> Callable[[str], str]:
    """Any text of at most `maximum` characters."""

    def parse(text: str) -> str:
        if len(text) > maximum or "\x00" in text:
            raise ValueError(f"must be at most {maximum} characters")
        return text

    return parse


def device(text: str) -> str:
    if not re.fullmatch(r"vd[a-z]", text):
        raise ValueError("must be a device name, vda to vdz")
    return text


def disk(device: str) -> Callable[[str], Disk]:
    """`cloud 40` or `local 100`: where the disk lives, and its size in GiB."""

    def parse(text: str) -> Disk:
        found = re.fullmatch(r"(cloud|local) +(\d{1,6})", text)
        if not found:
            raise ValueError("must be cloud or local and a size in GiB, such as cloud 40")
        is_cloud, size = found[1] == "cloud", int(found[2])
        low, high = 1, 16_000
        if is_cloud:
            low, high = (40, 500) if device == SYSTEM_DISK else (20, 16_000)
        if not low <= size <= high:
            raise ValueError(f"must have {low:,} to {high:,} GiB")
        return Disk(is_cloud, size)

    return parse


def interval(text: str) -> Interval:
    """`12 hours`, `1 day`, `2 weeks`."""
    found = re.fullmatch(r"(\d{1,6}) +(hour|day|week)s?", text)
    low, high = _INTERVALS[found[2]] if found else (0, 0)
    if not found or not low <= int(found[1]) <= high:
        raise ValueError("must be 12 to 8760 hours, 1 to 365 days, or 1 to 52 weeks, such as 1 day")
    return Interval(int(found[1]), found[2].upper())


def time_zone(text: str) -> str:
    if not is_zone(text):
        raise ValueError("must be a time zone such as Europe/Berlin")
    return text


def spread(text: str) -> timedelta:
    """`10 minutes`."""
    found = re.fullmatch(r"(\d{1,2}) +minutes?", text)
    if not found or int(found[1]) > _MAX_SPREAD:
        raise ValueError(f"must be 0 to {_MAX_SPREAD} minutes")
    return timedelta(minutes=int(found[1]))


def start(text: str) -> Start:
    """A time with its zone, a time of the day on the clocks of the policy's zone, or a delay."""
    if re.fullmatch(r"\d\d:\d\d", text):
        return StartDaily(_time_of_day(text))
    if delay := re.fullmatch(r"in +(\d{1,6}) +(minute|hour|day)s?", text):
        return StartIn(_delay(int(delay[1]) * _DELAYS[delay[2]]))
    return StartAt(_moment(text))


def _time_of_day(text: str) -> time:
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time of the day from 00:00 to 23:59") from None


def _delay(delay: timedelta) -> timedelta:
    if not EARLIEST <= delay <= LATEST:
        raise ValueError("must be 31 minutes to 365 days ahead: policies need 30, and loading takes its time")
    return delay


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a time with its zone (2026-12-01T02:00Z), of a day (02:00) or in 45 minutes")


def topic(text: str) -> tuple[str, str]:
    """`ops/images`: the ids of a log set and of a topic in it."""
    log_set, _, log_topic = text.partition("/")
    if not (is_id(log_set) and is_id(log_topic)):
        raise ValueError("must be a log set and a topic, such as ops/images")
    return log_set, log_topic
