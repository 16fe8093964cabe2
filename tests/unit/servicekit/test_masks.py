from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import masks
from servicekit.errors import FieldViolation
from servicekit.rpc import rpc
from tests.support import error_of, running_server
from tests.unit.servicekit.example import NAME, Book, Chapter, CreateBookRequest, ShelfServicer, ShelfStub, registration

FIELDS = frozenset({"title", "lent", "chapters", "publish_time", "pages"})


@pytest.mark.parametrize("paths", [[], ["*"], ["title"], ["title", "lent", "title"]])
def test_a_mask_of_what_can_be_changed_is_right(paths: list[str]) -> None:
    assert masks.violations(FieldMask(paths=paths), FIELDS) == []


@pytest.mark.parametrize("wrong", ["", "Title", "name", "title.x", "*", "x" * 100])
def test_every_path_that_cannot_be_changed_is_told(wrong: str) -> None:
    (told,) = masks.violations(FieldMask(paths=["title", wrong]), FIELDS)
    assert (told.field, told.reason) == ("update_mask", "UPDATE_MASK_INVALID")
    assert len(masks.violations(FieldMask(paths=[wrong, wrong]), FIELDS)) == 2


def test_the_mask_says_what_is_changed_whatever_is_set() -> None:
    assert masks.chosen(Book(title="Emma"), FieldMask(paths=["lent"]), FIELDS) == {"lent"}
    assert masks.chosen(Book(title="Emma"), FieldMask(paths=["*"]), FIELDS) == FIELDS


def test_without_a_mask_what_is_set_is_changed() -> None:
    assert masks.chosen(Book(name=NAME, copies=1), FieldMask(), FIELDS) == frozenset()
    book = Book(title="Emma", lent=True, pages=0, chapters=[Chapter()], publish_time=Timestamp())
    assert masks.chosen(book, FieldMask(), FIELDS) == FIELDS


def test_an_update_may_leave_out_what_the_resource_requires_and_no_more() -> None:
    class Servicer(ShelfServicer):
        @rpc()
        def UpdateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            return Book(name=request.book.name)

        CreateBook: Any = UpdateBook

    with running_server(registration(Servicer())) as channel:
        update = ShelfStub(channel).CreateBook
        answer = update(CreateBookRequest(parent="x", book=Book(name=NAME)))
        error = error_of(update, CreateBookRequest(book=Book(chapters=[Chapter()], etag="x")))
        missing = error_of(update, CreateBookRequest(parent="x"))
    assert answer == Book(name=NAME)
    assert error.violations == (
        FieldViolation("parent", "is required"),
        FieldViolation("book.chapters[0].title", "is required"),
        FieldViolation("book.etag", "is set by the server; leave it out"),
    )
    assert missing.violations == (FieldViolation("book", "is required"),)
