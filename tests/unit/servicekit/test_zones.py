"""Time zones come from the package, whatever the machine has."""

import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from servicekit.zones import VERSION, is_zone, zone


@pytest.mark.parametrize("name", ["UTC", "Asia/Shanghai", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "EST5EDT"])
def test_zone_of_the_database_is_one(name: str) -> None:
    assert is_zone(name)
    assert zone(name) is zone(name)
    assert zone(name).key == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " UTC",
        "utc",
        "UTC\0",
        "asia/shanghai",
        "Asia",
        "Asia/",
        "Asia/Nowhere",
        "Asia/Shanghai/",
        "Asia/../UTC",
        "../zones",
        "/etc/localtime",
        "localtime",
        "posixrules",
        "Factory",
        "posix/UTC",
        "right/UTC",
        "UTC+8",
        "+08:00",
        "tzdata.zi",
        "__init__.py",
        "x" * 10_000,
    ],
)
def test_whatever_else_is_none(name: str) -> None:
    assert not is_zone(name)
    with pytest.raises(ValueError, match="no time zone"):
        zone(name)


@pytest.fixture
def machine_without_zones(tmp_path: Path) -> Iterator[None]:
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([tmp_path])
    zone.cache_clear()
    yield
    zoneinfo.reset_tzpath(before)


@pytest.mark.usefixtures("machine_without_zones")
def test_zone_files_of_the_machine_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / "Asia").mkdir()
    (tmp_path / "Asia" / "Shanghai").write_bytes(b"not a zone")
    summer = datetime(2026, 7, 1, tzinfo=UTC)
    assert summer.astimezone(zone("Asia/Shanghai")).utcoffset() == timedelta(hours=8)
    assert summer.astimezone(zone("Europe/Dublin")).utcoffset() == timedelta(hours=1)


def test_version_is_that_of_the_database() -> None:
    assert re.fullmatch(r"20\d\d[a-z]", VERSION)
