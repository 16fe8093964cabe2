"""Points of generated schedules are those of a second implementation, which watches clocks and walks through dates."""

import itertools
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policy_service.domain import preview
from policy_service.domain.schedule import MICROSECOND, MIN_DISTANCE, Anchor, Grid, Points, Schedule, Unit
from policy_service.domain.wall_clock import read, wall_at
from tests.support import slow_schedule as slow
from tests.support.schedules import long_intervals, minutes, near_changes, odd, schedules, short_intervals, zones

PATIENT = [HealthCheck.too_slow]
"""A slow machine is no failure."""


@st.composite
def spans(draw: st.DrawFn) -> tuple[Schedule, datetime]:
    """A schedule, and a moment after its start that is not too many points away."""
    intervals = st.one_of(short_intervals, short_intervals, long_intervals)
    schedule = draw(schedules(intervals, before=6))
    distance = draw(st.integers(0, 18)) * schedule.interval.length
    return schedule, schedule.start_time + distance + draw(minutes) + draw(odd)


@pytest.mark.timeout(600)
@settings(max_examples=3000, suppress_health_check=PATIENT)
@given(spans())
def test_points_are_those_of_watched_clocks(case: tuple[Schedule, datetime]) -> None:
    schedule, now = case
    grid = Grid.of(schedule)
    walked = slow.grid_of(schedule.start_time, schedule.interval, schedule.time_zone).until(now)
    *due, following = [point.moment for point in walked]
    assert grid.first_after(now) == following
    assert grid.due(schedule.start_time, now) == (Points(due[0], due[-1], len(due)) if due else None)
    for index, point in enumerate(due):
        assert grid.first_after(point - MICROSECOND) == point
        assert grid.due(point, now) == Points(point, due[-1], len(due) - index)
        assert grid.anchor_at(point).moment == point
    for point, after in itertools.pairwise([*due, following]):
        assert grid.first_after(point) == after
        assert after - point >= MIN_DISTANCE
        assert grid.due(point, after - MICROSECOND) == Points(point, point, 1)
    previewed = preview.of_schedule(schedule, len(walked))
    assert [(each.moment, each.shift.name) for each in previewed] == [(each.moment, each.shift) for each in walked]
    offsets = [slow.offset_at(each.moment, schedule.time_zone) for each in walked]
    assert [each.local.utcoffset() for each in previewed] == offsets
    changed = [before != after for before, after in itertools.pairwise(offsets)]
    assert [each.offset_changed for each in previewed] == [False, *changed]


@pytest.mark.timeout(600)
@settings(max_examples=1000, suppress_health_check=PATIENT)
@given(spans(), st.data())
def test_other_intervals_counted_from_a_point_keep_what_the_clocks_should_have_shown_there(
    case: tuple[Schedule, datetime], data: st.DataObject
) -> None:
    schedule, until = case
    walked = slow.grid_of(schedule.start_time, schedule.interval, schedule.time_zone).until(until)
    point = data.draw(st.sampled_from(walked))
    interval = data.draw(short_intervals)
    anchor = Grid.of(schedule).anchor_at(point.moment)
    assert anchor == Anchor(point.moment, point.wall)
    if (interval.unit is Unit.HOUR) != (schedule.interval.unit is Unit.HOUR):
        return
    zone_name = "UTC" if interval.unit is Unit.HOUR else schedule.time_zone
    again = slow.SlowGrid(point.moment, point.wall, interval, zone_name)
    points = [each.moment for each in itertools.islice(again.points(), 12)]
    grid = Grid.of(Schedule(schedule.start_time, interval, time_zone=schedule.time_zone), anchor)
    assert grid.due(point.moment, points[-1]) == Points(points[0], points[-1], 12)
    assert [grid.first_after(each) for each in points[:-1]] == points[1:]


@pytest.mark.timeout(600)
@settings(max_examples=1000, suppress_health_check=PATIENT)
@given(zones.flatmap(lambda zone_name: st.tuples(st.just(zone_name), near_changes(zone_name))))
def test_walls_are_read_as_watched_clocks_show_them(case: tuple[str, datetime]) -> None:
    zone_name, moment = case
    wall = moment.replace(tzinfo=None)
    reading = read(wall, zone_name)
    assert (reading.moment, reading.shift.name) == slow.read(wall, zone_name)
    assert wall_at(moment, zone_name) == slow.show(moment, zone_name)
