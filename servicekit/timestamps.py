"""A moment in three forms: aware UTC datetime in the domain, microseconds in the database, Timestamp on the wire.

A length of time has two here: timedelta, and Duration on the wire.
"""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
MIN_SECONDS = -62_135_596_800
"""0001-01-01T00:00:00Z, the earliest Timestamp."""
MAX_SECONDS = 253_402_300_799
"""9999-12-31T23:59:59Z, the latest Timestamp in whole seconds."""


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC. A datetime without a zone raises TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def to_proto(moment: datetime) -> Timestamp:
    seconds, micros = divmod(to_micros(moment), 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1000)


def from_proto(timestamp: Timestamp) -> datetime:
    """Truncates to microseconds. A Timestamp out of its own range raises OverflowError; `@rpc` refuses those before."""
    return from_micros(timestamp.seconds * 1_000_000 + timestamp.nanos // 1000)


def to_micros_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def from_micros_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def to_proto_or_none(moment: datetime | None) -> Timestamp | None:
    """None leaves a message field unset when given to a constructor."""
    return None if moment is None else to_proto(moment)


def to_duration(length: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(length)
    return duration


def to_duration_or_none(length: timedelta | None) -> Duration | None:
    """None leaves a message field unset when given to a constructor."""
    return None if length is None else to_duration(length)
