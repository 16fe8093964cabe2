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
NESTED = frozenset({"title", "opening.title", "opening.length", "loose.parts", "authors"})


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


@pytest.mark.parametrize("paths", [["*"], ["opening"], ["opening.title"], ["loose", "loose.parts", "opening.length"]])
def test_a_mask_may_name_a_message_or_what_is_in_it(paths: list[str]) -> None:
    assert masks.violations(FieldMask(paths=paths), NESTED) == []


@pytest.mark.parametrize("wrong", [".title", "opening.parts", "opening.title.x", "opening.*", "loose.title"])
def test_every_path_into_a_message_that_cannot_be_changed_is_told(wrong: str) -> None:
    assert len(masks.violations(FieldMask(paths=["opening.title", wrong, "nothing"]), NESTED)) == 2


def test_a_mask_of_everything_means_messages_as_a_whole() -> None:
    assert masks.chosen(Book(), FieldMask(paths=["*"]), NESTED) == {"title", "opening", "loose", "authors"}


def test_without_a_mask_what_is_set_inside_messages_is_changed() -> None:
    book = Book(title="Emma", opening=Chapter(title="I"), loose=Chapter(title="II"))
    assert masks.chosen(book, FieldMask(), NESTED) == {"title", "opening.title"}
    assert masks.chosen(Book(opening=Chapter()), FieldMask(), NESTED) == frozenset()


@pytest.mark.parametrize(
    ("given", "paths", "expected"),
    [
        (Book(title="Persuasion", pages=7), ["title"], {"title": "Persuasion"}),
        (Book(), ["title", "pages", "authors"], {"title": "", "pages": None, "authors": []}),
        (Book(pages=0, authors=["Austen"]), ["pages", "authors"], {"pages": 0, "authors": ["Austen"]}),
        (Book(opening={"length": 2}), ["opening.length"], {"opening": {"title": "I", "length": 2}}),
        (Book(opening={"length": 2}), ["opening"], {"opening": {"length": 2}}),
        (Book(opening={"length": 2}), ["opening", "opening.length"], {"opening": {"length": 2}}),
        (Book(), ["opening.length"], {"opening": {"title": "I"}}),
        (Book(), ["opening"], {"opening": None}),
        (Book(loose={"title": "II"}), ["loose.title"], {"loose": {"title": "II"}}),
        (Book(), ["loose.title"], {}),
        (Book(title="Persuasion"), [], {}),
    ],
)
def test_what_is_chosen_is_replaced_and_the_rest_stays(
    given: Book, paths: list[str], expected: dict[str, object]
) -> None:
    before: dict[str, Any] = {
        "name": NAME,
        "title": "Emma",
        "pages": 5,
        "authors": ["A", "B"],
        "opening": {"title": "I", "length": 1},
    }
    stored = Book(**before)
    result = masks.merged(stored, given, paths)
    assert result == Book(**{**before, **expected})
    assert stored == Book(**before)


def test_an_update_may_leave_out_what_the_resource_requires_and_no_more() -> None:
    class Servicer(ShelfServicer):
        @rpc()
        def UpdateBook(self, request: Any, context: grpc.ServicerContext) -> Any:
            return Book(name=request.book.name)

        CreateBook: Any = UpdateBook

    with running_server(registration(Servicer())) as channel:
        update = ShelfStub(channel).CreateBook
        answer = update(CreateBookRequest(parent="x", book=Book(name=NAME, opening=Chapter())))
        error = error_of(update, CreateBookRequest(book=Book(chapters=[Chapter()], etag="x")))
        missing = error_of(update, CreateBookRequest(parent="x"))
    assert answer == Book(name=NAME)
    assert error.violations == (
        FieldViolation("parent", "is required"),
        FieldViolation("book.chapters[0].title", "is required"),
        FieldViolation("book.etag", "is set by the server; leave it out"),
    )
    assert missing.violations == (FieldViolation("book", "is required"),)
