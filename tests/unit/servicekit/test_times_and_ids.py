import random
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from servicekit import timestamps
from servicekit.clock import ClockFileError, ManualClock, SteppedClock, WallClock, product_clock, write_clock
from servicekit.ids import Ids
from tests.support import START

moments = st.datetimes(timezones=st.just(UTC))


@given(moments)
def test_a_moment_survives_every_form(moment: datetime) -> None:
    assert timestamps.from_micros(timestamps.to_micros(moment)) == moment
    assert timestamps.from_proto(timestamps.to_proto(moment)) == moment
    assert timestamps.to_proto(moment).ToDatetime(tzinfo=UTC) == moment


def test_known_values() -> None:
    assert timestamps.to_micros(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert timestamps.to_micros(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1
    assert timestamps.to_micros(datetime(1970, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))) == 0
    assert timestamps.to_proto(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == Timestamp(
        seconds=-1, nanos=999_999_000
    )


def test_what_is_finer_than_a_microsecond_is_cut_off() -> None:
    assert timestamps.from_proto(Timestamp(seconds=5, nanos=1_999)) == timestamps.from_micros(5_000_001)


def test_the_ends_of_the_range() -> None:
    assert timestamps.from_proto(Timestamp(seconds=timestamps.MIN_SECONDS)) == datetime.min.replace(tzinfo=UTC)
    last = timestamps.from_proto(Timestamp(seconds=timestamps.MAX_SECONDS, nanos=999_999_999))
    assert last == datetime.max.replace(tzinfo=UTC)
    with pytest.raises(OverflowError):
        timestamps.from_proto(Timestamp(seconds=timestamps.MAX_SECONDS + 1))


def test_a_moment_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        timestamps.to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


def test_none_stays_none() -> None:
    assert timestamps.to_micros_or_none(None) is None
    assert timestamps.from_micros_or_none(None) is None
    assert timestamps.to_proto_or_none(None) is None
    assert timestamps.to_micros_or_none(START) == timestamps.to_micros(START)
    assert timestamps.from_micros_or_none(timestamps.to_micros(START)) == START
    assert timestamps.to_proto_or_none(START) == timestamps.to_proto(START)
    assert timestamps.to_duration_or_none(None) is None
    assert timestamps.to_duration_or_none(timedelta(0)) == Duration()


def test_lengths_of_time() -> None:
    assert timestamps.to_duration(timedelta(hours=1, microseconds=1)) == Duration(seconds=3600, nanos=1000)
    assert timestamps.to_duration(-timedelta(hours=5)) == Duration(seconds=-18_000)


@given(moments)
def test_a_clock_file_tells_what_was_written(moment: datetime) -> None:
    path = _CLOCK_FOLDER / "clock"
    write_clock(path, moment)
    assert SteppedClock(path).now() == moment


@pytest.fixture(autouse=True, scope="module")
def _clock_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _CLOCK_FOLDER  # noqa: PLW0603 - hypothesis refuses fixtures of one call in tests of many
    _CLOCK_FOLDER = tmp_path_factory.mktemp("clock")


_CLOCK_FOLDER = Path()


def test_the_file_is_rfc_3339_with_microseconds_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_clock(tmp_path / "clock", datetime(2026, 3, 2, 16, tzinfo=timezone(timedelta(hours=8))))
    assert (tmp_path / "clock").read_text() == "2026-03-02T08:00:00.000000Z\n"
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "cannot be read: No such file"),
        ("", "does not hold an RFC 3339 time"),
        ("soon", "does not hold an RFC 3339 time"),
        ("2026-13-01T00:00:00Z", "does not hold an RFC 3339 time"),
        ("二〇二六", "does not hold an RFC 3339 time"),
        ("2026-03-02T08:00:00", "without an offset from UTC"),
    ],
)
def test_a_clock_file_that_is_missing_or_garbled_is_told(tmp_path: Path, text: str | None, complaint: str) -> None:
    if text is not None:
        (tmp_path / "clock").write_text(text, encoding="utf-8")
    with pytest.raises(ClockFileError, match=complaint):
        SteppedClock(tmp_path / "clock").now()


def test_a_reader_never_sees_half_a_step(tmp_path: Path) -> None:
    clock = SteppedClock(tmp_path / "clock")
    steps = [START + timedelta(microseconds=number) for number in range(300)]
    write_clock(clock.path, steps[0])

    def write() -> None:
        for step in steps:
            write_clock(clock.path, step)

    writer = threading.Thread(target=write)
    writer.start()
    seen = [clock.now()]
    while writer.is_alive():
        seen.append(clock.now())
    writer.join()
    assert seen == sorted(seen)
    assert clock.now() == steps[-1]


def test_a_manual_clock_moves_when_told() -> None:
    clock = ManualClock(START)
    assert clock.now() == START
    clock.advance(timedelta(hours=1))
    assert clock.now() == START + timedelta(hours=1)
    clock.set(START.astimezone(timezone(timedelta(hours=8))))
    assert (clock.now(), clock.now().tzinfo) == (START, UTC)


def test_the_wall_clock_is_utc() -> None:
    assert WallClock().now().tzinfo is UTC


def test_a_setting_names_a_clock(tmp_path: Path) -> None:
    assert isinstance(product_clock("wall"), WallClock)
    write_clock(tmp_path / "clock", START)
    assert product_clock(str(tmp_path / "clock")).now() == START
    with pytest.raises(ClockFileError):
        product_clock(str(tmp_path / "missing"))


def test_ids_have_a_prefix_and_ten_letters_or_digits() -> None:
    made = [Ids().new("pol") for _ in range(100)]
    assert len(set(made)) == 100
    assert all(re.fullmatch(r"pol-[a-z0-9]{10}", one) for one in made)


def test_ids_follow_the_randomness_given() -> None:
    one, two = Ids(random.Random(7)), Ids(random.Random(7))
    assert [one.new("i"), one.uid()] == [two.new("i"), two.uid()]


def test_uids_are_uuids_of_version_four() -> None:
    uid = Ids().uid()
    assert str(uuid.UUID(uid)) == uid
    assert uuid.UUID(uid).version == 4
