"""Each field of each request, wrong in each way: what the refusal says, and that nothing was written."""

from collections.abc import Iterable
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from autoimage.log.v1 import log_service_pb2
from autoimage.log.v1.log_pb2 import LogEntry, LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    BatchGetLogTopicsRequest,
    CreateLogSetRequest,
    CreateLogTopicRequest,
    DeleteLogSetRequest,
    DeleteLogTopicRequest,
    GetLogSetRequest,
    GetLogTopicRequest,
    ListLogEntriesRequest,
    ListLogSetsRequest,
    ListLogTopicsRequest,
    LogEntryFilter,
    TailLogEntriesRequest,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
    WriteLogEntriesRequest,
)
from autoimage.type.v1.disks_pb2 import LeftOutDisk
from autoimage.type.v1.missed_pb2 import MissedPoints
from servicekit.errors import Code, ServiceError
from servicekit.status import from_status
from servicekit.timestamps import to_proto
from tests.support import START, error_of
from tests.support.log_service import LOG_SET, PLACE, TOPIC, LogService, entry, log_set, topic

FOREIGN = "accounts/globex/regions/cn-north-1"
ELSEWHERE = "accounts/acme/regions/cn-south-1"
UNSERVED = "accounts/acme/regions/mars"
NOT_A_UUID = "123e4567-e89b-42d3-a456-42661417400"
BAD_IDS = ("A", "1a", "-a", "a-", "a_b", "a" * 64, "a/b", "ä")
BAD_TIME = Timestamp(seconds=253_402_300_800)
BEFORE_YEAR_1 = Timestamp(seconds=-62_135_596_801)
BAD_TIMES = (BAD_TIME, BEFORE_YEAR_1, Timestamp(seconds=1, nanos=-1), Timestamp(nanos=1_000_000_000))
BEFORE_1970 = Timestamp(seconds=-1, nanos=999_999_999)


def create_log_set(**fields: Any) -> CreateLogSetRequest:
    return CreateLogSetRequest(**{"parent": PLACE, "log_set": log_set(), **fields})


def create_topic(**fields: Any) -> CreateLogTopicRequest:
    return CreateLogTopicRequest(**{"parent": LOG_SET, "log_topic": topic(), **fields})


def list_entries(**filter: Any) -> ListLogEntriesRequest:
    return ListLogEntriesRequest(parent=TOPIC, filter=LogEntryFilter(**filter))


OF_OTHER_KINDS = {"accounts/acme", PLACE, LOG_SET, TOPIC, f"{PLACE}/policies/daily", "accounts/-/regions/-/logSets/-"}


def change_set(*paths: str, **fields: Any) -> UpdateLogSetRequest:
    return UpdateLogSetRequest(log_set=LogSet(**{"name": LOG_SET, **fields}), update_mask=FieldMask(paths=paths))


def change_topic(*paths: str, **fields: Any) -> UpdateLogTopicRequest:
    return UpdateLogTopicRequest(log_topic=LogTopic(**{"name": TOPIC, **fields}), update_mask=FieldMask(paths=paths))


def tail(**fields: Any) -> TailLogEntriesRequest:
    return TailLogEntriesRequest(**{"parent": TOPIC, **fields})


def names_wrong(kind: type[Message], field: str, good: str) -> Iterable[tuple[Message, set[str]]]:
    """Requests whose name or parent is missing, malformed, of another kind."""
    for wrong in ("", "nonsense", good + "/", "\n" + good, good.upper(), "\x00" + good, *OF_OTHER_KINDS - {good}):
        yield kind(**{field: wrong}), {field}


CASES: list[tuple[Message, set[str]]] = [
    *names_wrong(GetLogSetRequest, "name", LOG_SET),
    *names_wrong(DeleteLogSetRequest, "name", LOG_SET),
    *names_wrong(GetLogTopicRequest, "name", TOPIC),
    *names_wrong(DeleteLogTopicRequest, "name", TOPIC),
    *names_wrong(ListLogSetsRequest, "parent", PLACE),
    *names_wrong(ListLogTopicsRequest, "parent", LOG_SET),
    *names_wrong(ListLogEntriesRequest, "parent", TOPIC),
    *((create_log_set(parent=wrong), {"parent"}) for wrong in ("", "nonsense", LOG_SET, "accounts/-/regions/-")),
    *((create_log_set(log_set_id=wrong), {"log_set_id"}) for wrong in BAD_IDS),
    (CreateLogSetRequest(parent=PLACE), {"log_set"}),
    (create_log_set(log_set=LogSet()), {"log_set.display_name"}),
    (create_log_set(log_set=log_set(display_name="x" * 65)), {"log_set.display_name"}),
    (create_log_set(log_set=log_set(display_name="a\x00b")), {"log_set.display_name"}),
    (create_log_set(log_set=log_set(name=LOG_SET)), {"log_set.name"}),
    (create_log_set(log_set=log_set(topic_count=1)), {"log_set.topic_count"}),
    (create_log_set(log_set=log_set(create_time=to_proto(START))), {"log_set.create_time"}),
    (create_log_set(request_id=NOT_A_UUID), {"request_id"}),
    (create_log_set(request_id="00000000-0000-0000-0000-000000000000"), {"request_id"}),
    (
        CreateLogSetRequest(log_set_id="A", log_set=LogSet(name="x", retention_days=1), request_id="y"),
        {"parent", "log_set_id", "log_set.name", "log_set.display_name", "log_set.retention_days", "request_id"},
    ),
    *((create_topic(parent=wrong), {"parent"}) for wrong in ("", "nonsense", PLACE, TOPIC)),
    *((create_topic(log_topic_id=wrong), {"log_topic_id"}) for wrong in BAD_IDS),
    (CreateLogTopicRequest(parent=LOG_SET), {"log_topic"}),
    (create_topic(log_topic=LogTopic()), {"log_topic.display_name", "log_topic.source"}),
    (create_topic(log_topic=topic(display_name="x" * 65)), {"log_topic.display_name"}),
    (create_topic(log_topic=topic(name=TOPIC)), {"log_topic.name"}),
    (create_topic(log_topic=topic(create_time=to_proto(START))), {"log_topic.create_time"}),
    (create_topic(log_topic=topic(source=99)), {"log_topic.source"}),
    (create_topic(log_topic=topic(product=99)), {"log_topic.product"}),
    (create_topic(log_topic=topic(log_type=99)), {"log_topic.log_type"}),
    (create_topic(log_topic=topic(product=0)), {"log_topic.product"}),
    (create_topic(log_topic=topic(log_type=0)), {"log_topic.log_type"}),
    (
        create_topic(log_topic=topic(source=LogTopic.SOURCE_INSTANCE)),
        {"log_topic.product", "log_topic.log_type"},
    ),
    (create_topic(request_id=NOT_A_UUID), {"request_id"}),
    (ListLogSetsRequest(parent=PLACE, page_size=-1), {"page_size"}),
    (ListLogTopicsRequest(parent=LOG_SET, page_size=-1), {"page_size"}),
    (ListLogEntriesRequest(parent=TOPIC, page_size=-1), {"page_size"}),
    (BatchGetLogTopicsRequest(names=[TOPIC]), {"parent"}),
    (BatchGetLogTopicsRequest(parent=LOG_SET), {"names"}),
    (BatchGetLogTopicsRequest(parent="accounts/acme/regions/-/logSets/-", names=[TOPIC]), {"parent"}),
    (BatchGetLogTopicsRequest(parent=PLACE, names=[TOPIC] * 501), {"parent", "names"}),
    (WriteLogEntriesRequest(), {"entries"}),
    (WriteLogEntriesRequest(entries=[entry()] * 501), {"entries"}),
    (WriteLogEntriesRequest(entries=[entry()] * 1000), {"entries"}),
    (WriteLogEntriesRequest(entries=[entry(insert_id="")] * 1000), {"entries"}),
    (BatchGetLogTopicsRequest(parent=LOG_SET, names=[TOPIC] * 1000), {"names"}),
    *((list_entries(start_time=wrong), {"filter.start_time"}) for wrong in BAD_TIMES),
    *((list_entries(end_time=wrong), {"filter.end_time"}) for wrong in BAD_TIMES),
    (list_entries(start_time=to_proto(START), end_time=Timestamp(seconds=1)), {"filter.end_time"}),
    (
        list_entries(policy="nonsense", execution="x", instance="y"),
        {f"filter.{f}" for f in ("policy", "execution", "instance")},
    ),
    (list_entries(policy=f"{FOREIGN}/policies/daily"), {"filter.policy"}),
    (list_entries(policy=f"{ELSEWHERE}/policies/daily"), {"filter.policy"}),
    (list_entries(execution=f"{FOREIGN}/policies/daily/executions/e"), {"filter.execution"}),
    (list_entries(instance=f"{FOREIGN}/instances/web"), {"filter.instance"}),
    (list_entries(minimum_severity=99), {"filter.minimum_severity"}),
    (list_entries(text="x" * 257), {"filter.text"}),
    *((change_set(name=wrong), {"log_set.name"}) for wrong in ("", "nonsense", PLACE, TOPIC, LOG_SET + "\n")),
    (UpdateLogSetRequest(), {"log_set", "log_set.name"}),
    (change_set(display_name="x" * 65), {"log_set.display_name"}),
    (change_set("display_name"), {"log_set.display_name"}),
    (change_set("*"), {"log_set.display_name"}),
    (change_set(display_name="a\x00b"), {"log_set.display_name"}),
    (change_set(topic_count=1), {"log_set.topic_count"}),
    (change_set(create_time=to_proto(START)), {"log_set.create_time"}),
    (
        change_set("display_name", "retention_days", "name", name="x", retention_days=8, topic_count=1),
        {f"log_set.{f}" for f in ("name", "display_name", "retention_days", "topic_count")} | {"update_mask"},
    ),
    *((change_topic(name=wrong), {"log_topic.name"}) for wrong in ("", "nonsense", LOG_SET, TOPIC + "\n")),
    (UpdateLogTopicRequest(), {"log_topic", "log_topic.name"}),
    (change_topic(display_name="x" * 65), {"log_topic.display_name"}),
    (change_topic("*"), {"log_topic.display_name"}),
    (change_topic(create_time=to_proto(START)), {"log_topic.create_time"}),
    (change_topic(source=99), {"log_topic.source"}),
    (
        change_topic("display_name", "source", name="x", create_time=to_proto(START)),
        {"log_topic.name", "log_topic.display_name", "log_topic.create_time", "update_mask"},
    ),
    *((tail(parent=wrong), {"parent"}) for wrong in ("", "nonsense", LOG_SET, f"{PLACE}/policies/daily")),
    *((tail(filter=LogEntryFilter(start_time=wrong)), {"filter.start_time"}) for wrong in BAD_TIMES),
    (
        tail(parent="x", filter=LogEntryFilter(text="x" * 257, end_time=BAD_TIME, policy="y")),
        {"parent", "filter.text", "filter.end_time", "filter.policy"},
    ),
]


@pytest.mark.parametrize(("request_message", "fields"), CASES, ids=lambda each: None)
def test_a_wrong_request_is_refused_with_every_wrong_field(
    logs: LogService, request_message: Message, fields: set[str]
) -> None:
    error = refused(logs, request_message)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT")
    assert sorted(violation.field for violation in error.violations) == sorted(fields)
    assert logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE)).log_sets == []


@pytest.mark.parametrize(
    "request_message",
    [
        create_log_set(parent=UNSERVED),
        create_topic(parent=f"{UNSERVED}/logSets/backups"),
        GetLogSetRequest(name=f"{UNSERVED}/logSets/backups"),
        DeleteLogSetRequest(name=f"{UNSERVED}/logSets/backups"),
        GetLogTopicRequest(name=f"{UNSERVED}/logSets/backups/logTopics/executions"),
        DeleteLogTopicRequest(name=f"{UNSERVED}/logSets/backups/logTopics/executions"),
        ListLogSetsRequest(parent=UNSERVED),
        ListLogTopicsRequest(parent=f"{UNSERVED}/logSets/backups"),
        UpdateLogSetRequest(log_set=LogSet(name=f"{UNSERVED}/logSets/backups", display_name="New")),
        UpdateLogTopicRequest(
            log_topic=LogTopic(name=f"{UNSERVED}/logSets/backups/logTopics/executions", display_name="New")
        ),
        ListLogEntriesRequest(parent=f"{UNSERVED}/logSets/backups/logTopics/executions"),
        TailLogEntriesRequest(parent=f"{UNSERVED}/logSets/backups/logTopics/executions"),
        BatchGetLogTopicsRequest(parent=f"{UNSERVED}/logSets/backups", names=[TOPIC]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_region_that_is_not_served_is_refused(logs: LogService, request_message: Message) -> None:
    error = refused(logs, request_message)
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")


ENTRIES: list[tuple[dict[str, Any], str]] = [
    ({"log_topic": ""}, "log_topic"),
    ({"log_topic": LOG_SET}, "log_topic"),
    ({"log_topic": "accounts/-/regions/-/logSets/-/logTopics/-"}, "log_topic"),
    ({"log_topic": f"{UNSERVED}/logSets/backups/logTopics/executions"}, "log_topic"),
    ({"insert_id": ""}, "insert_id"),
    ({"insert_id": "x" * 129}, "insert_id"),
    ({"insert_id": "a\x00b"}, "insert_id"),
    ({"sequence": 1}, "sequence"),
    ({"event_time": None}, "event_time"),
    *(({"event_time": wrong}, "event_time") for wrong in BAD_TIMES),
    ({"receive_time": to_proto(START)}, "receive_time"),
    ({"severity": 0}, "severity"),
    ({"severity": 99}, "severity"),
    ({"event": 0}, "event"),
    ({"event": 99}, "event"),
    ({"message": "x" * 1025}, "message"),
    ({"message": "a\x00b"}, "message"),
    ({"region": "cn-south-1"}, "region"),
    ({"policy": "nonsense"}, "policy"),
    ({"policy": f"{FOREIGN}/policies/daily"}, "policy"),
    ({"policy": f"{ELSEWHERE}/policies/daily"}, "policy"),
    ({"policy_type": "x" * 65}, "policy_type"),
    ({"execution": f"{PLACE}/policies/daily"}, "execution"),
    ({"execution": f"{FOREIGN}/policies/daily/executions/e"}, "execution"),
    ({"scheduled_time": BAD_TIME}, "scheduled_time"),
    ({"start_time": BAD_TIME}, "start_time"),
    ({"end_time": BAD_TIME}, "end_time"),
    ({"instance_count": -1}, "instance_count"),
    ({"task_state": "x" * 65}, "task_state"),
    ({"reason": 9999}, "reason"),
    ({"instance": f"{FOREIGN}/instances/web"}, "instance"),
    ({"image": f"{FOREIGN}/images/img"}, "image"),
    ({"included_disks": ["sda"]}, "included_disks"),
    ({"included_disks": ["vda"] * 26}, "included_disks"),
    ({"left_out_disks": [LeftOutDisk(device_name="vd1")]}, "left_out_disks"),
    ({"missed": MissedPoints(count=-1)}, "missed.count"),
]


@pytest.mark.parametrize(("fields", "wrong"), ENTRIES)
def test_a_wrong_entry_is_its_own_error_and_is_not_written(
    logs: LogService, fields: dict[str, Any], wrong: str
) -> None:
    logs.create_log_set()
    logs.create_topic()
    statuses = logs.write(entry("good"), entry(**{"insert_id": "bad", **fields}))
    assert statuses[0].code == 0
    error = from_status(statuses[1])
    assert error.code == Code.INVALID_ARGUMENT
    assert [violation.field for violation in error.violations] == [f"entries[1].{wrong}"]
    assert [found.insert_id for found in logs.entries()] == ["good"]


def test_an_entry_that_is_wrong_all_over_has_every_field_told(logs: LogService) -> None:
    (status,) = logs.write(LogEntry(message="x" * 1025))
    fields = [violation.field.removeprefix("entries[0].") for violation in from_status(status).violations]
    assert sorted(fields) == ["event", "event_time", "insert_id", "log_topic", "message", "severity"]


def test_an_entry_from_before_1970_is_past_every_retention(logs: LogService) -> None:
    logs.create_log_set(retention_days=30)
    logs.create_topic()
    (status,) = logs.write(entry(event_time=BEFORE_1970))
    assert (status.code, from_status(status).reason) == (Code.FAILED_PRECONDITION.value, "PAST_RETENTION")
    assert logs.entries() == []


def test_a_filter_may_reach_back_before_1970_and_on_to_the_end_of_9999(logs: LogService) -> None:
    logs.create_log_set()
    logs.create_topic()
    logs.write(entry("a"))
    last = Timestamp(seconds=BAD_TIME.seconds - 1, nanos=999_999_999)
    first = Timestamp(seconds=BEFORE_YEAR_1.seconds + 1)
    assert [found.insert_id for found in logs.entries(start_time=first, end_time=last)] == ["a"]
    assert logs.entries(end_time=BEFORE_1970) == []
    assert logs.entries(start_time=last) == []


def test_page_tokens_of_other_lists_and_other_parents_are_refused(logs: LogService) -> None:
    """Each list's token, given to each other one."""
    for log_set_id in ("backups", "other"):
        logs.create_log_set(log_set_id=log_set_id)
        for number in range(2):
            logs.create_topic(f"{PLACE}/logSets/{log_set_id}", f"topic-{number}")
    here, there = f"{LOG_SET}/logTopics/topic-0", f"{LOG_SET}/logTopics/topic-1"
    logs.write(*(entry(f"{number}", log_topic=parent) for number in range(2) for parent in (here, there)))
    lists: list[ListLogSetsRequest | ListLogTopicsRequest | ListLogEntriesRequest] = [
        ListLogSetsRequest(parent=PLACE, page_size=1),
        ListLogTopicsRequest(parent=LOG_SET, page_size=1),
        ListLogTopicsRequest(parent=f"{PLACE}/logSets/other", page_size=1),
        ListLogEntriesRequest(parent=here, page_size=1),
        ListLogEntriesRequest(parent=there, page_size=1),
    ]
    tokens = [next_page_token(logs, request) for request in lists]
    for request in lists:
        for token in {*tokens, tokens[0][:-2], "nonsense", "\x00"} - {next_page_token(logs, request)}:
            request.page_token = token
            error = refused(logs, request)
            assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
            assert [violation.field for violation in error.violations] == ["page_token"]
            request.page_token = ""


def next_page_token(logs: LogService, request: Message) -> str:
    token = getattr(logs.stub, request.DESCRIPTOR.name.removesuffix("Request"))(request).next_page_token
    assert token
    return str(token)


def refused(logs: LogService, request: Message) -> ServiceError:
    method = request.DESCRIPTOR.name.removesuffix("Request")
    assert method in log_service_pb2.DESCRIPTOR.services_by_name["LogService"].methods_by_name
    call = getattr(logs.stub, method)
    return error_of(lambda: list(call(request)) if method.startswith("Tail") else call(request))
