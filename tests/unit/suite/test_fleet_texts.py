"""The single values of a fleet file."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from suite.fleet import texts
from suite.fleet.model import Disk, Interval
from suite.fleet.starts import StartAt, StartDaily, StartIn

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    (texts.resource_id, "a", "a"),
    (texts.resource_id, "a" * 63, "a" * 63),
    (texts.account, "1a", "1a"),
    (texts.ids, "web-1", ["web-1"]),
    (texts.ids, "web-08..11", ["web-08", "web-09", "web-10", "web-11"]),
    (texts.ids, "web-9..10", ["web-9", "web-10"]),
    (texts.ids, "web1..1", ["web1"]),
    (texts.integer(0, 1_000_000), "0", 0),
    (texts.integer(0, 1_000_000), "1_000_000", 1_000_000),
    (texts.name(32, "_-"), "每日-Backup_1", "每日-Backup_1"),
    (texts.name(32, "_-"), "x" * 32, "x" * 32),
    (texts.name(64), "any thing!", "any thing!"),
    (texts.text(256), "", ""),
    (texts.text(256), "x" * 256, "x" * 256),
    (texts.device, "vda", "vda"),
    (texts.disk("vda"), "cloud 40", Disk(True, 40)),
    (texts.disk("vda"), "cloud 500", Disk(True, 500)),
    (texts.disk("vdb"), "cloud 20", Disk(True, 20)),
    (texts.disk("vdb"), "cloud  16000", Disk(True, 16_000)),
    (texts.disk("vda"), "local 1", Disk(False, 1)),
    (texts.interval, "12 hours", Interval(12, "HOUR")),
    (texts.interval, "8760 hours", Interval(8760, "HOUR")),
    (texts.interval, "1 day", Interval(1, "DAY")),
    (texts.interval, "365 days", Interval(365, "DAY")),
    (texts.interval, "52 weeks", Interval(52, "WEEK")),
    (texts.start, "02:00", StartDaily(time(2, 0))),
    (texts.start, "in 31 minutes", StartIn(timedelta(minutes=31))),
    (texts.start, "in 365 days", StartIn(timedelta(days=365))),
    (texts.start, "2026-12-01T02:00:00Z", StartAt(datetime(2026, 12, 1, 2, tzinfo=UTC))),
    (texts.start, "2026-12-01 02:00+08:00", StartAt(datetime(2026, 11, 30, 18, tzinfo=UTC))),
    (texts.topic, "ops/images", ("ops", "images")),
    (texts.time_zone, "Europe/Berlin", "Europe/Berlin"),
    (texts.spread, "0 minutes", timedelta(0)),
    (texts.spread, "1 minute", timedelta(minutes=1)),
    (texts.spread, "60 minutes", timedelta(hours=1)),
]

BAD: list[tuple[Callable[[str], Any], tuple[str, ...]]] = [
    (texts.resource_id, ("", "A", "1a", "a-", "a" * 64, "a b")),
    (texts.account, ("", "-", "A", "a/b")),
    (texts.ids, ("web-8..1", "web-1..", "..3", "1..3", "web-00001..20000", "Web-1..3", "web-1..3-a")),
    (texts.integer(0, 10), ("", "-1", "11", "1.5", "1e1", "ten", "_1")),
    (texts.name(32, "_-"), ("", "x" * 33, "a b", "a.b", "é")),
    (texts.name(64), ("", "x" * 65, "a\x00b")),
    (texts.text(256), ("x" * 257, "\x00")),
    (texts.one_of("a", "b"), ("", "c", "A")),
    (texts.device, ("", "vd", "vd1", "sda", "vdaa")),
    (texts.disk("vda"), ("", "40", "cloud", "cloud 39", "cloud 501", "cloud 40 GiB", "ssd 40")),
    (texts.disk("vdb"), ("cloud 19", "cloud 16001", "local 0", "local 16001")),
    (texts.interval, ("", "day", "11 hours", "8761 hours", "0 days", "366 days", "53 weeks", "1 month")),
    (texts.start, ("", "24:00", "2:00", "in 30 minutes", "in 366 days", "in 2 weeks", "tomorrow")),
    (texts.start, ("2026-12-01", "2026-12-01T02:00:00", "2026-02-30T02:00:00Z", "0001-01-01T00:00+08:00")),
    (texts.time_zone, ("", "Berlin", "europe/berlin", "Factory", "+01:00", "../UTC")),
    (texts.spread, ("", "10", "61 minutes", "1 hour", "-1 minutes")),
    (texts.topic, ("", "ops", "ops/", "/images", "ops/images/x", "Ops/images")),
]


@pytest.mark.parametrize(("parse", "text", "expected"), GOOD)
def test_a_right_text_is_read(parse: Callable[[str], Any], text: str, expected: object) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, wrong in BAD for text in wrong])
def test_a_wrong_text_is_refused(parse: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse(text)
