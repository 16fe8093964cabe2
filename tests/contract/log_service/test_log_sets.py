"""Log sets: create, get, list, delete."""

import uuid
from datetime import timedelta
from functools import partial
from pathlib import Path

from autoimage.log.v1.log_pb2 import LogSet
from autoimage.log.v1.log_service_pb2 import (
    CreateLogSetRequest,
    DeleteLogSetRequest,
    GetLogSetRequest,
    ListLogSetsRequest,
    ListLogSetsResponse,
)
from servicekit.errors import Code
from servicekit.timestamps import to_proto
from tests.support import START, at_once, error_of
from tests.support.log_service import LOG_SET, PLACE, LogService, log_set, running_log_service


def create_request(**fields: object) -> CreateLogSetRequest:
    defaults = {"parent": PLACE, "log_set_id": "backups", "log_set": log_set(), "request_id": str(uuid.uuid4())}
    return CreateLogSetRequest(**{**defaults, **fields})  # type: ignore[arg-type]


def ids(logs: LogService, parent: str = PLACE) -> list[str]:
    return [found.name for found in logs.stub.ListLogSets(ListLogSetsRequest(parent=parent, page_size=100)).log_sets]


def test_a_log_set_is_created_as_asked_and_read_back_the_same(logs: LogService) -> None:
    created = logs.stub.CreateLogSet(create_request(log_set=log_set(display_name="备份", retention_days=30)))
    assert created == LogSet(name=LOG_SET, display_name="备份", retention_days=30, create_time=to_proto(START))
    assert logs.stub.GetLogSet(GetLogSetRequest(name=LOG_SET)) == created
    assert logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE)).log_sets == [created]


def test_a_log_set_without_id_gets_one(logs: LogService) -> None:
    created = logs.stub.CreateLogSet(create_request(log_set_id=""))
    prefix, _, made = created.name.rpartition("-")
    assert prefix == f"{PLACE}/logSets/ls"
    assert len(made) == 10
    assert logs.stub.GetLogSet(GetLogSetRequest(name=created.name)) == created


def test_the_same_request_again_answers_the_same_log_set_for_24_hours(logs: LogService) -> None:
    request = create_request(log_set_id="")
    created = logs.stub.CreateLogSet(request)
    logs.time.product.advance(timedelta(hours=24) - timedelta(microseconds=1))
    assert logs.stub.CreateLogSet(request) == created
    logs.time.product.advance(timedelta(microseconds=1))
    error = error_of(logs.stub.CreateLogSet, request)
    assert error.metadata == {"parent": PLACE, "display_name": "Backups"}, "not remembered, so the name is taken"


def test_the_same_request_answers_the_same_log_set_also_after_a_restart(tmp_path: Path) -> None:
    request = create_request(log_set_id="")
    other = create_request(log_set_id="", request_id=request.request_id, log_set=log_set(display_name="Other"))
    with running_log_service(tmp_path) as before:
        created = before.stub.CreateLogSet(request)
    with running_log_service(tmp_path) as after:
        assert after.stub.CreateLogSet(request) == created
        error = error_of(after.stub.CreateLogSet, other)
        assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
        assert ids(after) == [created.name]


def test_a_request_repeated_by_16_callers_at_once_makes_one_log_set(logs: LogService) -> None:
    request = create_request(log_set_id="")
    outcomes = at_once([partial(logs.stub.CreateLogSet, request)] * 16)
    (name,) = ids(logs)
    assert [outcome.name for outcome in outcomes if isinstance(outcome, LogSet)] == [name] * 16


def test_an_answer_tells_the_log_set_as_it_is_now(logs: LogService) -> None:
    request = create_request()
    logs.stub.CreateLogSet(request)
    changed = logs.change_log_set(retention_days=30)
    assert logs.stub.CreateLogSet(request) == changed
    logs.stub.DeleteLogSet(DeleteLogSetRequest(name=LOG_SET))
    error = error_of(logs.stub.CreateLogSet, request)
    assert (error.code, error.metadata) == (Code.NOT_FOUND, {"name": LOG_SET}), "and makes no second one"
    assert ids(logs) == []


def test_a_request_id_with_another_body_is_refused(logs: LogService) -> None:
    request = create_request()
    logs.stub.CreateLogSet(request)
    request.log_set.retention_days = 15
    error = error_of(logs.stub.CreateLogSet, request)
    assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert error.metadata == {"request_id": request.request_id}
    assert logs.stub.GetLogSet(GetLogSetRequest(name=LOG_SET)).retention_days == 7


def test_a_taken_id_is_refused(logs: LogService) -> None:
    logs.create_log_set()
    error = error_of(logs.stub.CreateLogSet, create_request(log_set=log_set(display_name="Other")))
    assert (error.code, error.reason, error.metadata) == (Code.ALREADY_EXISTS, "RESOURCE_EXISTS", {"name": LOG_SET})
    assert [found.display_name for found in logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE)).log_sets] == [
        "backups"
    ]


def test_get_and_delete_of_an_unknown_log_set_are_not_found(logs: LogService) -> None:
    elsewhere = LOG_SET.replace("acme", "globex")
    logs.create_log_set()
    for error in (
        error_of(logs.stub.GetLogSet, GetLogSetRequest(name=elsewhere)),
        error_of(logs.stub.DeleteLogSet, DeleteLogSetRequest(name=elsewhere)),
    ):
        assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": elsewhere})
    assert ids(logs) == [LOG_SET]


def test_a_deleted_log_set_is_gone_and_its_id_and_name_are_free(logs: LogService) -> None:
    logs.create_log_set()
    logs.stub.DeleteLogSet(DeleteLogSetRequest(name=LOG_SET))
    assert error_of(logs.stub.GetLogSet, GetLogSetRequest(name=LOG_SET)).code == Code.NOT_FOUND
    logs.create_log_set()
    assert ids(logs) == [LOG_SET]


def test_a_list_shows_one_place_in_the_order_of_ids_in_pages(logs: LogService) -> None:
    for log_set_id in ("c", "a", "b"):
        logs.create_log_set(log_set_id=log_set_id)
    logs.create_log_set(parent="accounts/acme/regions/cn-south-1", log_set_id="elsewhere")
    logs.create_log_set(parent="accounts/globex/regions/cn-north-1", log_set_id="foreign")
    first = logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE, page_size=2))
    second = logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE, page_size=2, page_token=first.next_page_token))
    assert [found.name.rpartition("/")[2] for page in (first, second) for found in page.log_sets] == ["a", "b", "c"]
    assert len(first.log_sets) == 2
    assert second.next_page_token == ""


def test_a_place_without_log_sets_lists_none(logs: LogService) -> None:
    assert logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE)) == ListLogSetsResponse()


def test_a_page_token_of_another_place_is_refused(logs: LogService) -> None:
    for log_set_id in ("a", "b"):
        logs.create_log_set(log_set_id=log_set_id)
    token = logs.stub.ListLogSets(ListLogSetsRequest(parent=PLACE, page_size=1)).next_page_token
    elsewhere = "accounts/globex/regions/cn-north-1"
    error = error_of(logs.stub.ListLogSets, ListLogSetsRequest(parent=elsewhere, page_token=token))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
