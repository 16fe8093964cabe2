"""A schedule in columns of policies, or in a line of the ledger under the same names."""

from collections.abc import Mapping
from typing import Any

from policy_service.domain.schedule import SECOND, CatchUp, Interval, Schedule, Unit
from servicekit.timestamps import from_micros, to_micros


def to_columns(schedule: Schedule) -> dict[str, Any]:
    window = schedule.catch_up_window
    return {
        "start_micros": to_micros(schedule.start_time),
        "interval_count": schedule.interval.count,
        "interval_unit": schedule.interval.unit.value,
        "time_zone": schedule.time_zone,
        "execution_limit": schedule.execution_limit,
        "catch_up": schedule.catch_up.value,
        "catch_up_window_seconds": window // SECOND if window is not None else None,
        "spread_seconds": schedule.spread // SECOND,
    }


def from_columns(columns: Mapping[str, Any]) -> Schedule:
    window = columns["catch_up_window_seconds"]
    return Schedule(
        start_time=from_micros(columns["start_micros"]),
        interval=Interval(columns["interval_count"], Unit(columns["interval_unit"])),
        time_zone=columns["time_zone"],
        execution_limit=columns["execution_limit"],
        catch_up=CatchUp(columns["catch_up"]),
        catch_up_window=window * SECOND if window is not None else None,
        spread=columns["spread_seconds"] * SECOND,
    )
