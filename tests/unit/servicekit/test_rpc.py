"""The boundary, under a real server, and under grpcio-testing, which knows less."""

import threading
from collections.abc import Callable
from typing import Any

import grpc
import grpc_testing
import pytest
from structlog.typing import EventDict

from servicekit import calls
from servicekit.errors import (
    Code,
    FieldViolation,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceRef,
    Unavailable,
)
from servicekit.rpc import is_rpc, rpc, violations
from servicekit.server import check_servicer
from tests.support import error_of, running_server
from tests.unit.servicekit.example import (
    DESCRIPTOR,
    NAME,
    PARENT,
    SERVICE,
    Book,
    Chapter,
    CreateBookRequest,
    GetBookRequest,
    ShelfServicer,
    ShelfStub,
    create_request,
    registration,
)


def _raise(error: Exception) -> Callable[[Any], Any]:
    def act(_request: Any) -> Any:
        raise error

    return act


def test_an_answer_passes_through() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        assert ShelfStub(channel).CreateBook(create_request()) == Book(name=NAME)


def test_a_service_error_arrives_as_it_was_raised() -> None:
    with running_server(registration(ShelfServicer(_raise(NotFound("book", NAME))))) as channel:
        error = error_of(ShelfStub(channel).GetBook, GetBookRequest(name=NAME))
    assert type(error) is NotFound
    assert (error.code, error.reason, error.metadata) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", {"name": NAME})
    assert error.resource == ResourceRef("book", NAME)


def test_a_bug_arrives_as_an_id_and_its_story_stays_in_the_log(logged: list[EventDict]) -> None:
    servicer = ShelfServicer(_raise(RuntimeError("the secret")))
    with running_server(registration(servicer)) as channel, pytest.raises(grpc.RpcError) as caught:
        ShelfStub(channel).GetBook(GetBookRequest(name=NAME))
    call: Any = caught.value
    error = error_of(_raise(caught.value), None)
    assert (call.code(), error.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert call.details() == f"internal error {error.metadata['error_id']}"
    assert "secret" not in str(call.trailing_metadata())
    (line,) = [line for line in logged if line["event"] == "internal_error"]
    assert line["error_id"] == error.metadata["error_id"]
    assert line["exc_info"]


def test_all_violations_are_told_at_once_and_the_method_does_not_run(logged: list[EventDict]) -> None:
    class Servicer(ShelfServicer):
        @rpc(lambda request: [FieldViolation("request_id", "wrong"), FieldViolation("book", "told already")])
        def CreateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            pytest.fail("ran")

    request = CreateBookRequest(parent="accounts/acme/regions/mars-1")
    with running_server(registration(Servicer())) as channel:
        error = error_of(ShelfStub(channel).CreateBook, request)
    assert isinstance(error, InvalidArgument)
    assert error.reason == "INVALID_ARGUMENT"
    assert error.violations == (
        FieldViolation("book", "is required"),
        FieldViolation("parent", "region mars-1 is not served here", "REGION_NOT_SERVED"),
        FieldViolation("request_id", "wrong"),
    )


def test_a_region_not_served_is_the_reason_when_nothing_else_is_wrong() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        error = error_of(ShelfStub(channel).CreateBook, create_request(parent="accounts/acme/regions/mars-1"))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "REGION_NOT_SERVED")
    assert error.metadata == {"regions": "cn-north-1"}


def test_the_items_of_a_batch_are_left_to_the_method() -> None:
    wrong = [FieldViolation("title", "told already"), FieldViolation("etag", "own")]

    class Servicer(ShelfServicer):
        @rpc(per_item="book")
        def CreateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            found = violations(request.book, lambda _: wrong, regions=self.regions, create=True, path="book.")
            raise InvalidArgument(found)

    book = Book(opening=Chapter(title="I"), copies=1, pages=1, authors=["A"], shelves=["accounts/a/regions/mars-1"])
    with running_server(registration(Servicer())) as channel:
        stub = ShelfStub(channel)
        error = error_of(stub.CreateBook, create_request(book=book))
        missing = error_of(stub.CreateBook, CreateBookRequest(parent=PARENT))
    assert [violation.field for violation in error.violations] == ["book.title", "book.shelves[0]", "book.etag"]
    assert [violation.field for violation in missing.violations] == ["book"]


def test_an_identifier_is_refused_in_a_create_method_only() -> None:
    with running_server(registration(ShelfServicer())) as channel:
        stub = ShelfStub(channel)
        request = create_request()
        request.book.name = NAME
        assert [violation.field for violation in error_of(stub.CreateBook, request).violations] == ["book.name"]
        assert stub.GetBook(GetBookRequest(name=NAME)).name == NAME


def test_a_mutation_leaves_one_audit_line_and_a_read_none(logged: list[EventDict]) -> None:
    with running_server(registration(ShelfServicer())) as channel:
        stub = ShelfStub(channel)
        stub.CreateBook(create_request(), metadata=(("x-request-id", "r-1"),))
        stub.GetBook(GetBookRequest(name=NAME))
    (line,) = [line for line in logged if line["event"] == "rpc"]
    assert line.pop("milliseconds") >= 0
    assert line == {
        "event": "rpc",
        "log_level": "info",
        "code": "OK",
        "method": "ShelfServicer/CreateBook",
        "account": "acme",
        "resource": NAME,
        "request_id": "r-1",
    }


@pytest.mark.parametrize(
    ("error", "level", "code", "reason"),
    [
        (NotFound("book", NAME), "info", "NOT_FOUND", "RESOURCE_NOT_FOUND"),
        (Unavailable("DATABASE_LOCKED"), "warning", "UNAVAILABLE", "DATABASE_LOCKED"),
        (RuntimeError("bug"), "error", "INTERNAL", "INTERNAL"),
    ],
)
def test_a_failure_leaves_one_line_even_of_a_read(
    logged: list[EventDict], error: Exception, level: str, code: str, reason: str
) -> None:
    with running_server(registration(ShelfServicer(_raise(error)))) as channel:
        error_of(ShelfStub(channel).GetBook, GetBookRequest(name=NAME))
    (line,) = [line for line in logged if line["event"] == "rpc"]
    told = {key: line[key] for key in ("log_level", "code", "reason", "resource", "account")}
    assert told == {"log_level": level, "code": code, "reason": reason, "resource": NAME, "account": "acme"}


def test_servicer_that_admits_accounts_is_asked_before_each_change_and_before_no_read(
    logged: list[EventDict],
) -> None:
    asked: list[str] = []

    class Servicer(ShelfServicer):
        def admit(self, account: str) -> None:
            asked.append(account)
            raise PermissionDenied("not you", reason="NOT_INVITED")

    with running_server(registration(Servicer())) as channel:
        stub = ShelfStub(channel)
        error = error_of(stub.CreateBook, create_request())
        malformed = error_of(stub.CreateBook, CreateBookRequest(parent=PARENT))
        stub.GetBook(GetBookRequest(name=NAME))
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "NOT_INVITED")
    assert (malformed.code, asked) == (Code.INVALID_ARGUMENT, ["acme"])
    assert [line["code"] for line in logged if line["event"] == "rpc"] == ["PERMISSION_DENIED", "INVALID_ARGUMENT"]


def test_the_log_names_methods_as_the_contract_does(logged: list[EventDict]) -> None:
    generated = type("ShelfServiceServicer", (), {"__module__": "autoimage.shelf.v1.shelf_pb2_grpc"})
    servicer: Any = type("Servicer", (ShelfServicer, generated), {})()
    with running_server(registration(servicer)) as channel:
        ShelfStub(channel).CreateBook(create_request())
    assert [line["method"] for line in logged if line["event"] == "rpc"] == ["ShelfService/CreateBook"]


def test_audit_can_be_told(logged: list[EventDict]) -> None:
    class Servicer(ShelfServicer):
        @rpc(audit=False)
        def CreateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            return Book()

        @rpc(audit=True)
        def GetBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            return Book()

    with running_server(registration(Servicer())) as channel:
        ShelfStub(channel).CreateBook(create_request())
        ShelfStub(channel).GetBook(GetBookRequest(name=NAME))
    assert [line["method"] for line in logged if line["event"] == "rpc"] == ["Servicer/GetBook"]


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, 'a"b'])
def test_a_request_id_that_is_not_sane_is_replaced(sent: str) -> None:
    seen: list[str | None] = []

    def act(_request: Any) -> Any:
        seen.append(calls.current_request_id())
        return Book()

    with running_server(registration(ShelfServicer(act))) as channel:
        ShelfStub(channel).GetBook(GetBookRequest(name=NAME), metadata=(("x-request-id", sent),))
    assert seen[0] not in (sent, None)
    assert len(seen[0] or "") == 36


def test_the_deadline_of_the_caller_is_known_inside() -> None:
    seen: list[float | None] = []

    def act(_request: Any) -> Any:
        seen.append(calls.remaining_seconds())
        return Book()

    with running_server(registration(ShelfServicer(act))) as channel:
        ShelfStub(channel).GetBook(GetBookRequest(name=NAME), timeout=60)
    assert seen[0] is not None
    assert 50 < seen[0] < 61  # grpc rounds timeouts up on their way
    assert calls.remaining_seconds() is None


def test_a_servicer_without_the_decorator_or_regions_cannot_be_served() -> None:
    class Bare(ShelfServicer):
        def CreateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            return Book()

    class Incomplete:
        regions = frozenset({"r"})

    class Everywhere(ShelfServicer):
        regions = None  # type: ignore[assignment]

    with pytest.raises(TypeError, match=r"Bare: without @rpc: CreateBook$"):
        check_servicer(Bare(), SERVICE)
    with pytest.raises(TypeError, match=r"Incomplete: without @rpc: CreateBook, GetBook$"):
        check_servicer(Incomplete(), SERVICE)
    with pytest.raises(TypeError, match="Everywhere has no frozenset `regions`"):
        check_servicer(Everywhere(), SERVICE)
    assert is_rpc(ShelfServicer.CreateBook)


class TestUnderGrpcTesting:
    """No interceptors, no `abort_with_status`, and trailers are dropped: code and message are what is left."""

    @staticmethod
    def _call(servicer: ShelfServicer, request: Any) -> tuple[Any, grpc.StatusCode, str]:
        server = grpc_testing.server_from_dictionary({DESCRIPTOR: servicer}, grpc_testing.strict_real_time())
        method = DESCRIPTOR.methods_by_name["CreateBook"]
        call = server.invoke_unary_unary(method, (("x-request-id", "r-1"),), request, None)
        response, _metadata, code, details = call.termination()
        return response, code, details

    def test_an_answer_passes_through(self) -> None:
        assert self._call(ShelfServicer(), create_request()) == (Book(name=NAME), grpc.StatusCode.OK, "")

    def test_an_error_has_its_code_and_message(self) -> None:
        _, code, details = self._call(ShelfServicer(_raise(NotFound("shelf", PARENT))), create_request())
        assert (code, details) == (grpc.StatusCode.NOT_FOUND, f"shelf {PARENT} does not exist")

    def test_a_bug_keeps_its_text(self) -> None:
        _, code, details = self._call(ShelfServicer(_raise(RuntimeError("secret"))), create_request())
        assert code is grpc.StatusCode.INTERNAL
        assert details.startswith("internal error ")

    def test_a_wrong_request_is_refused(self) -> None:
        _, code, details = self._call(ShelfServicer(), CreateBookRequest())
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert details == "invalid request: parent: is required; book: is required"


def test_a_deadline_that_passes_while_serving_does_not_disturb_the_next_call() -> None:
    inside, over = threading.Event(), threading.Event()

    def act(request: Any) -> Any:
        if request.name == NAME:
            inside.set()
            over.wait(60)
        return Book()

    with running_server(registration(ShelfServicer(act))) as channel:
        stub, deadline = ShelfStub(channel), 0.05
        while not inside.is_set():  # on a slow machine the deadline may pass before the call is served
            error = error_of(stub.GetBook, GetBookRequest(name=NAME), timeout=deadline)
            assert (error.reason, error.message.partition(":")[0]) == ("TRANSPORT", "DEADLINE_EXCEEDED")
            deadline *= 2
        over.set()
        assert stub.GetBook(GetBookRequest(name="other")) == Book()
