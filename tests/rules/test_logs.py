"""Rules L1 (log sets and topics) and L3 (each entry exactly once), through the public RPCs."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from autoimage.log.v1.log_pb2 import LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    CreateLogSetRequest,
    CreateLogTopicRequest,
    DeleteLogSetRequest,
    DeleteLogTopicRequest,
    GetLogSetRequest,
    GetLogTopicRequest,
    ListLogSetsRequest,
    ListLogTopicsRequest,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
)
from log_service.commands.purge import purge
from servicekit.errors import Code, ServiceError
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.log_service import LOG_SET, PLACE, TOPIC, LogService, entry, log_set, running_log_service, topic

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[LogService]:
    with running_log_service(tmp_path) as service:
        yield service


@pytest.fixture
def with_topic(logs: LogService) -> LogService:
    logs.create_log_set()
    logs.create_topic()
    return logs


def new_log_set(log_set_id: str, **fields: object) -> CreateLogSetRequest:
    return CreateLogSetRequest(parent=PLACE, log_set_id=log_set_id, log_set=log_set(**fields))


def new_topic(log_topic_id: str, **fields: object) -> CreateLogTopicRequest:
    return CreateLogTopicRequest(parent=LOG_SET, log_topic_id=log_topic_id, log_topic=topic(**fields))


def log_set_ids(logs: LogService) -> list[str]:
    found = logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE, page_size=100)).log_sets
    return [each.name.rpartition("/")[2] for each in found]


def topic_ids(logs: LogService) -> list[str]:
    found = logs.stub.ListLogTopics(ListLogTopicsRequest(parent=LOG_SET, page_size=100)).log_topics
    return [each.name.rpartition("/")[2] for each in found]


def get_log_set(logs: LogService, name: str = LOG_SET) -> LogSet:
    return logs.stub.GetLogSet(GetLogSetRequest(name=name))


def facts(outcome: object) -> tuple[Code, str]:
    """Code and reason of a refusal."""
    assert isinstance(outcome, ServiceError), outcome
    return outcome.code, outcome.reason


def sequences(logs: LogService) -> dict[str, int]:
    return {found.insert_id: found.sequence for found in logs.entries()}


@pytest.mark.rule("L1")
def test_a_display_name_is_unique_in_its_account_and_region_only(logs: LogService) -> None:
    logs.create_log_set(log_set_id="first", display_name="Same")
    error = error_of(logs.stub.CreateLogSet, new_log_set("second", display_name="Same"))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.metadata == {"parent": PLACE, "display_name": "Same"}
    assert log_set_ids(logs) == ["first"]
    logs.create_log_set(log_set_id="third", display_name="same")
    logs.create_log_set("accounts/acme/regions/cn-south-1", display_name="Same")
    logs.create_log_set("accounts/globex/regions/cn-north-1", display_name="Same")


@pytest.mark.rule("L1")
def test_a_log_set_cannot_take_the_display_name_of_another(logs: LogService) -> None:
    first = logs.create_log_set(log_set_id="first", display_name="Same", retention_days=15)
    second = logs.create_log_set(log_set_id="second", display_name="Other")
    foreign = logs.create_log_set("accounts/globex/regions/cn-north-1", display_name="Foreign")
    change = UpdateLogSetRequest(log_set=LogSet(name=second.name, display_name="Same", retention_days=30))
    error = error_of(logs.stub.UpdateLogSet, change)
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.metadata == {"parent": PLACE, "display_name": "Same"}
    assert get_log_set(logs, second.name) == second, "and not even its retention has changed"
    assert logs.change_log_set(first.name, display_name="Same") == first, "its own is no other's"
    assert logs.change_log_set(foreign.name, display_name="Same").display_name == "Same"
    logs.change_log_set(first.name, display_name="Free")
    assert logs.change_log_set(second.name, display_name="Same").display_name == "Same"


@pytest.mark.rule("L1")
def test_of_16_log_sets_that_take_the_same_display_name_at_once_one_gets_it(logs: LogService) -> None:
    names = [logs.create_log_set(log_set_id=f"set-{number}").name for number in range(16)]
    outcomes = at_once([partial(logs.change_log_set, name, display_name="Same") for name in names])
    assert len([outcome for outcome in outcomes if isinstance(outcome, LogSet)]) == 1
    refused = [outcome for outcome in outcomes if not isinstance(outcome, LogSet)]
    assert {facts(outcome) for outcome in refused} == {(Code.ALREADY_EXISTS, "RESOURCE_EXISTS")}
    found = [get_log_set(logs, name).display_name for name in names]
    assert found.count("Same") == 1


@pytest.mark.rule("L1")
@pytest.mark.parametrize("days", [7, 15, 30])
def test_retention_may_be_7_15_or_30_days(logs: LogService, days: int) -> None:
    assert logs.create_log_set(retention_days=days).retention_days == days


@pytest.mark.rule("L1")
def test_retention_is_7_days_unless_given(logs: LogService) -> None:
    assert logs.create_log_set().retention_days == 7


@pytest.mark.rule("L1")
@pytest.mark.parametrize("days", [-7, 1, 6, 8, 14, 16, 29, 31, 2**31 - 1])
def test_any_other_retention_is_refused(logs: LogService, days: int) -> None:
    error = error_of(logs.stub.CreateLogSet, new_log_set("backups", retention_days=days))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [violation.field for violation in error.violations] == ["log_set.retention_days"]
    assert log_set_ids(logs) == []


@pytest.mark.rule("L1")
@pytest.mark.parametrize("days", [7, 15, 30])
def test_retention_may_be_changed_to_7_15_or_30_days(logs: LogService, days: int) -> None:
    logs.create_log_set(retention_days=15)
    assert logs.change_log_set(retention_days=days).retention_days == days
    assert get_log_set(logs).retention_days == days


@pytest.mark.rule("L1")
@pytest.mark.parametrize("days", [-7, 1, 6, 8, 14, 16, 29, 31, 2**31 - 1])
def test_a_change_to_any_other_retention_is_refused(logs: LogService, days: int) -> None:
    created = logs.create_log_set(retention_days=15)
    change = UpdateLogSetRequest(log_set=LogSet(name=LOG_SET, display_name="New", retention_days=days))
    error = error_of(logs.stub.UpdateLogSet, change)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert [violation.field for violation in error.violations] == ["log_set.retention_days"]
    assert get_log_set(logs) == created


@pytest.mark.rule("L1")
def test_a_shorter_retention_takes_entries_away_at_once_and_for_good(logs: LogService) -> None:
    logs.create_log_set(retention_days=30)
    logs.create_topic()
    week_ago = START - timedelta(days=7)
    logs.write(entry("gone", event_time=to_proto(week_ago - MICROSECOND)), entry("kept", event_time=to_proto(week_ago)))
    logs.change_log_set(retention_days=7)
    assert list(sequences(logs)) == ["kept"]
    logs.change_log_set(retention_days=30)
    assert list(sequences(logs)) == ["kept"]
    logs.time.product.advance(timedelta(days=23))
    assert list(sequences(logs)) == ["kept"], "for 30 days again"
    logs.time.product.advance(MICROSECOND)
    assert list(sequences(logs)) == []


@pytest.mark.rule("L1")
def test_a_place_has_at_most_20_log_sets(logs: LogService) -> None:
    for number in range(20):
        logs.create_log_set(log_set_id=f"set-{number}")
    error = error_of(logs.stub.CreateLogSet, new_log_set("one-more"))
    assert (error.code, error.reason, error.metadata) == (Code.RESOURCE_EXHAUSTED, "LOG_SET_LIMIT", {"limit": "20"})
    assert error.quota is not None
    assert error.quota.subject == PLACE
    assert len(log_set_ids(logs)) == 20
    logs.create_log_set("accounts/globex/regions/cn-north-1")
    logs.stub.DeleteLogSet(DeleteLogSetRequest(name=f"{PLACE}/logSets/set-0"))
    logs.create_log_set(log_set_id="one-more")
    assert error_of(logs.stub.CreateLogSet, new_log_set("another")).reason == "LOG_SET_LIMIT"


@pytest.mark.rule("L1")
def test_the_last_place_for_a_log_set_goes_to_one_of_16_writers(logs: LogService) -> None:
    for number in range(19):
        logs.create_log_set(log_set_id=f"set-{number}")
    calls = [partial(logs.create_log_set, log_set_id=f"last-{number}") for number in range(16)]
    outcomes = at_once(calls)
    assert len([outcome for outcome in outcomes if isinstance(outcome, LogSet)]) == 1
    refused = [outcome for outcome in outcomes if not isinstance(outcome, LogSet)]
    assert {facts(outcome) for outcome in refused} == {(Code.RESOURCE_EXHAUSTED, "LOG_SET_LIMIT")}
    assert len(log_set_ids(logs)) == 20


@pytest.mark.rule("L1")
def test_places_for_log_sets_are_given_back_by_16_writers_at_once(logs: LogService) -> None:
    """Each deletes one and makes another: no place is lost, and none is won."""
    for number in range(20):
        logs.create_log_set(log_set_id=f"set-{number}")

    def replace(number: int) -> LogSet:
        logs.stub.DeleteLogSet(DeleteLogSetRequest(name=f"{PLACE}/logSets/set-{number}"))
        return logs.create_log_set(log_set_id=f"new-{number}")

    outcomes = at_once([partial(replace, number) for number in range(16)])
    assert all(isinstance(outcome, LogSet) for outcome in outcomes), outcomes
    assert len(log_set_ids(logs)) == 20
    assert error_of(logs.stub.CreateLogSet, new_log_set("one-more")).reason == "LOG_SET_LIMIT"


@pytest.mark.rule("L1")
def test_a_topic_s_display_name_is_unique_in_its_log_set_only(with_topic: LogService) -> None:
    error = error_of(with_topic.stub.CreateLogTopic, new_topic("second", display_name="executions"))
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.metadata == {"parent": LOG_SET, "display_name": "executions"}
    assert topic_ids(with_topic) == ["executions"]
    other = with_topic.create_log_set(log_set_id="other")
    with_topic.create_topic(parent=other.name, display_name="executions")


@pytest.mark.rule("L1")
def test_a_log_set_has_at_most_20_topics(logs: LogService) -> None:
    logs.create_log_set()
    for number in range(20):
        logs.create_topic(log_topic_id=f"topic-{number}")
    error = error_of(logs.stub.CreateLogTopic, new_topic("one-more"))
    assert (error.code, error.reason, error.metadata) == (Code.RESOURCE_EXHAUSTED, "LOG_TOPIC_LIMIT", {"limit": "20"})
    assert error.quota is not None
    assert error.quota.subject == LOG_SET
    assert len(topic_ids(logs)) == 20
    logs.stub.DeleteLogTopic(DeleteLogTopicRequest(name=f"{LOG_SET}/logTopics/topic-0"))
    logs.create_topic(log_topic_id="one-more")
    assert error_of(logs.stub.CreateLogTopic, new_topic("another")).reason == "LOG_TOPIC_LIMIT"


@pytest.mark.rule("L1")
def test_a_topic_cannot_take_the_display_name_of_another_of_its_log_set(logs: LogService) -> None:
    logs.create_log_set()
    other_set = logs.create_log_set(log_set_id="other").name
    first = logs.create_topic(log_topic_id="first", display_name="Same")
    second = logs.create_topic(log_topic_id="second", display_name="Other")
    elsewhere = logs.create_topic(parent=other_set, log_topic_id="first", display_name="Elsewhere")
    change = UpdateLogTopicRequest(log_topic=LogTopic(name=second.name, display_name="Same"))
    error = error_of(logs.stub.UpdateLogTopic, change)
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS")
    assert error.metadata == {"parent": LOG_SET, "display_name": "Same"}
    assert logs.stub.GetLogTopic(GetLogTopicRequest(name=second.name)) == second
    assert logs.change_topic(first.name, display_name="Same") == first, "its own is no other's"
    assert logs.change_topic(elsewhere.name, display_name="Same").display_name == "Same"
    logs.stub.DeleteLogTopic(DeleteLogTopicRequest(name=first.name))
    assert logs.change_topic(second.name, display_name="Same").display_name == "Same"


@pytest.mark.rule("L1")
def test_the_last_place_for_a_topic_goes_to_one_of_16_writers(logs: LogService) -> None:
    logs.create_log_set()
    for number in range(19):
        logs.create_topic(log_topic_id=f"topic-{number}")
    calls = [partial(logs.create_topic, log_topic_id=f"last-{number}") for number in range(16)]
    outcomes = at_once(calls)
    assert len([outcome for outcome in outcomes if isinstance(outcome, LogTopic)]) == 1
    refused = [outcome for outcome in outcomes if not isinstance(outcome, LogTopic)]
    assert {facts(outcome) for outcome in refused} == {(Code.RESOURCE_EXHAUSTED, "LOG_TOPIC_LIMIT")}
    assert (len(topic_ids(logs)), get_log_set(logs).topic_count) == (20, 20)


@pytest.mark.rule("L1")
def test_a_log_set_is_deleted_or_gets_a_topic_but_never_both(logs: LogService) -> None:
    """Eight writers delete it while eight give it a topic."""
    for _ in range(5):
        logs.create_log_set()
        delete = partial(logs.stub.DeleteLogSet, DeleteLogSetRequest(name=LOG_SET))
        create = [partial(logs.create_topic, log_topic_id=f"topic-{number}") for number in range(8)]
        calls: list[Callable[[], object]] = [*[delete] * 8, *create]
        outcomes = at_once(calls)
        deleted = [outcome for outcome in outcomes[:8] if not isinstance(outcome, ServiceError)]
        if deleted:
            assert len(deleted) == 1
            assert {facts(outcome) for outcome in outcomes[8:]} == {(Code.NOT_FOUND, "RESOURCE_NOT_FOUND")}
        else:
            assert {facts(outcome) for outcome in outcomes[:8]} == {(Code.FAILED_PRECONDITION, "LOG_SET_NOT_EMPTY")}
            assert get_log_set(logs).topic_count == len(topic_ids(logs)) == 8
            for topic_id in topic_ids(logs):
                logs.stub.DeleteLogTopic(DeleteLogTopicRequest(name=f"{LOG_SET}/logTopics/{topic_id}"))
            delete()
        assert log_set_ids(logs) == []


@pytest.mark.rule("L1")
def test_a_log_set_with_topics_cannot_be_deleted(with_topic: LogService) -> None:
    error = error_of(with_topic.stub.DeleteLogSet, DeleteLogSetRequest(name=LOG_SET))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LOG_SET_NOT_EMPTY")
    assert error.precondition is not None
    assert (error.precondition.type, error.precondition.subject) == ("LOG_SET_NOT_EMPTY", LOG_SET)
    assert topic_ids(with_topic) == ["executions"]
    with_topic.write(entry())
    with_topic.stub.DeleteLogTopic(DeleteLogTopicRequest(name=TOPIC))
    with_topic.stub.DeleteLogSet(DeleteLogSetRequest(name=LOG_SET))
    assert error_of(with_topic.stub.GetLogSet, GetLogSetRequest(name=LOG_SET)).code == Code.NOT_FOUND


@pytest.mark.rule("L1")
@pytest.mark.parametrize("days", [7, 15, 30])
def test_an_entry_is_listed_as_long_as_the_log_set_keeps_entries(logs: LogService, days: int) -> None:
    logs.create_log_set(retention_days=days)
    logs.create_topic()
    logs.write(entry("old", event_time=to_proto(START)), entry("newer", event_time=to_proto(START + MICROSECOND)))
    logs.time.product.set(START + timedelta(days=days))
    assert list(sequences(logs)) == ["old", "newer"]
    logs.time.product.advance(MICROSECOND)
    assert list(sequences(logs)) == ["newer"]


@pytest.mark.rule("L3")
@pytest.mark.parametrize("days", [7, 15, 30])
def test_an_entry_past_its_retention_is_refused_for_itself(logs: LogService, days: int) -> None:
    logs.create_log_set(retention_days=days)
    logs.create_topic()
    kept_since = START - timedelta(days=days)
    statuses = logs.write(
        entry("old", event_time=to_proto(kept_since - MICROSECOND)),
        entry("kept", event_time=to_proto(kept_since)),
        entry("new"),
    )
    assert [status.code for status in statuses] == [Code.FAILED_PRECONDITION.value, 0, 0]
    error = from_status(statuses[0])
    assert (error.reason, error.metadata) == ("PAST_RETENTION", {"kept_since": kept_since.isoformat()})
    assert sequences(logs) == {"kept": 1, "new": 2}


@pytest.mark.rule("L3")
def test_an_entry_written_again_after_its_retention_is_not_there_again(with_topic: LogService) -> None:
    """A scheduler that was restored from an older copy delivers what was delivered long ago."""
    with_topic.write(entry("a"))
    with_topic.time.product.advance(timedelta(days=8))
    assert [status.code for status in with_topic.write(entry("a"))] == [0], "still on disk, and so known"
    purge(with_topic.deps)
    assert [status.code for status in with_topic.write(entry("a"))] == [Code.FAILED_PRECONDITION.value]
    assert sequences(with_topic) == {}


@pytest.mark.rule("L3")
def test_an_entry_that_a_shorter_retention_took_away_does_not_come_back(logs: LogService) -> None:
    logs.create_log_set(retention_days=30)
    logs.create_topic()
    old = entry("old", event_time=to_proto(START - timedelta(days=7) - MICROSECOND))
    for days in (7, 30):
        logs.change_log_set(retention_days=days)
        assert from_status(logs.write(old)[0]).reason == "PAST_RETENTION"
    assert sequences(logs) == {}


@pytest.mark.rule("L3")
def test_entries_are_numbered_in_the_order_in_which_they_were_accepted(with_topic: LogService) -> None:
    late = to_proto(START + timedelta(hours=1))
    with_topic.write(entry("a", event_time=late), entry("b"))
    with_topic.write(entry("c"))
    assert sequences(with_topic) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.rule("L3")
def test_an_entry_written_again_counts_as_written_and_is_there_once(with_topic: LogService) -> None:
    with_topic.write(entry("a", message="first"))
    with_topic.time.product.advance(timedelta(hours=1))
    statuses = with_topic.write(entry("a", message="again"), entry("b"), entry("b", message="repeated"), entry("c"))
    assert [status.code for status in statuses] == [0, 0, 0, 0]
    assert sequences(with_topic) == {"a": 1, "b": 2, "c": 3}, "no gaps for those that were there"
    found = {each.insert_id: each for each in with_topic.entries()}
    assert found["a"].message == "first"
    assert found["a"].receive_time == to_proto(START)
    assert found["b"].message == ""


@pytest.mark.rule("L3")
def test_the_same_insert_id_in_another_topic_is_another_entry(with_topic: LogService) -> None:
    other = with_topic.create_topic(log_topic_id="other").name
    with_topic.write(entry("a"), entry("a", log_topic=other))
    assert [each.sequence for each in with_topic.entries()] == [1]
    assert [each.sequence for each in with_topic.entries(other)] == [1]


@pytest.mark.rule("L3")
def test_each_entry_stands_or_falls_alone(with_topic: LogService) -> None:
    gone = f"{LOG_SET}/logTopics/gone"
    wrong = entry("wrong", policy="accounts/globex/regions/cn-north-1/policies/daily")
    statuses = with_topic.write(entry("a"), entry("lost", log_topic=gone), wrong, entry("b"))
    assert [status.code for status in statuses] == [0, Code.NOT_FOUND.value, Code.INVALID_ARGUMENT.value, 0]
    assert from_status(statuses[1]).metadata == {"name": gone}
    assert [each.field for each in from_status(statuses[2]).violations] == ["entries[2].policy"]
    assert sequences(with_topic) == {"a": 1, "b": 2}


@pytest.mark.rule("L3")
def test_writers_at_the_same_time_neither_lose_nor_double_an_entry_nor_leave_a_gap(with_topic: LogService) -> None:
    """Sixteen writers, each twice with the same entries, of which half are everyone's."""

    def write(writer: int) -> None:
        for _ in range(2):
            for number in range(0, 4, 2):
                own = [entry(f"own-{writer}-{number + offset}") for offset in range(2)]
                shared = [entry(f"shared-{number + offset}") for offset in range(2)]
                assert all(status.code == 0 for status in with_topic.write(*own, *shared))

    assert at_once([partial(write, writer) for writer in range(16)]) == [None] * 16
    expected = {f"own-{writer}-{number}" for writer in range(16) for number in range(4)}
    expected |= {f"shared-{number}" for number in range(4)}
    found = sequences(with_topic)
    assert found.keys() == expected
    assert sorted(found.values()) == list(range(1, 69))


@pytest.mark.rule("L3")
def test_numbering_goes_on_after_entries_are_purged(with_topic: LogService) -> None:
    with_topic.write(entry("a"), entry("b"))
    with_topic.time.product.advance(timedelta(days=8))
    purge(with_topic.deps)
    with_topic.write(entry("c", event_time=to_proto(with_topic.time.product.now())))
    assert sequences(with_topic) == {"c": 3}
