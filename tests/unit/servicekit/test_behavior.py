import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from servicekit import behavior
from servicekit.errors import FieldViolation
from servicekit.timestamps import MAX_SECONDS, MIN_SECONDS
from tests.unit.servicekit.example import Book, Chapter, CreateBookRequest, GetBookRequest, book, create_request


def _fields(message: object, *, create: bool = True) -> list[str]:
    return [violation.field for violation in behavior.violations(message, create=create)]  # type: ignore[arg-type]


def test_a_right_request_has_no_violations() -> None:
    assert behavior.violations(create_request(), create=True) == []


def test_every_missing_field_is_told_at_once_but_not_below_a_message_that_is_missing() -> None:
    assert behavior.violations(CreateBookRequest(), create=True) == [
        FieldViolation("parent", "is required"),
        FieldViolation("book", "is required"),
    ]
    assert _fields(CreateBookRequest(book=Book())) == [
        "parent",
        "book.title",
        "book.opening",
        "book.copies",
        "book.pages",
        "book.authors",
    ]


def test_a_required_number_with_presence_may_be_zero_and_a_required_bool_without_may_be_false() -> None:
    assert _fields(book(pages=0, lent=False)) == []
    assert _fields(book(copies=0)) == ["copies"]


def test_what_the_server_sets_is_refused_at_any_depth() -> None:
    request = create_request(
        book=book(
            etag="x",
            create_time=Timestamp(seconds=1),
            opening=Chapter(title="I", length=3),
            chapters=[Chapter(title="II"), Chapter(title="III", parts=[Chapter(title="a", length=1)])],
        )
    )
    assert behavior.violations(request, create=True) == [
        FieldViolation("book.opening.length", "is set by the server; leave it out"),
        FieldViolation("book.chapters[1].parts[0].length", "is set by the server; leave it out"),
        FieldViolation("book.create_time", "is set by the server; leave it out"),
        FieldViolation("book.etag", "is set by the server; leave it out"),
    ]


def test_an_identifier_is_refused_on_create_and_taken_otherwise() -> None:
    assert _fields(book(name="x"), create=True) == ["name"]
    assert _fields(book(name="x"), create=False) == []


def test_repeated_messages_and_maps_and_oneofs_are_looked_into() -> None:
    assert _fields(book(chapters=[Chapter(title="I"), Chapter()])) == ["chapters[1].title"]
    assert _fields(book(appendices={"index": Chapter()})) == ['appendices["index"].title']
    assert _fields(book(loose=Chapter())) == ["loose.title"]
    assert _fields(book(shelf="a")) == []


def test_an_enum_value_that_is_not_in_the_contract_is_refused() -> None:
    assert behavior.violations(book(kind=7, other_kinds=[1, 9]), create=True) == [
        FieldViolation("kind", "has no value 7"),
        FieldViolation("other_kinds[1]", "has no value 9"),
    ]
    assert _fields(book(kind=0, other_kinds=[0, 1])) == []


@pytest.mark.parametrize(
    ("seconds", "nanos", "right"),
    [
        (MIN_SECONDS, 0, True),
        (MIN_SECONDS - 1, 0, False),
        (MAX_SECONDS, 999_999_999, True),
        (MAX_SECONDS + 1, 0, False),
        (0, 1_000_000_000, False),
        (0, -1, False),
    ],
)
def test_a_timestamp_is_within_its_range(seconds: int, nanos: int, right: bool) -> None:
    found = _fields(book(publish_time=Timestamp(seconds=seconds, nanos=nanos)))
    assert found == ([] if right else ["publish_time"])


@pytest.mark.parametrize(
    ("seconds", "nanos", "right"),
    [
        (315_576_000_000, 0, True),
        (315_576_000_001, 0, False),
        (-315_576_000_000, 0, True),
        (0, -999_999_999, True),
        (0, 1_000_000_000, False),
        (1, -1, False),
        (-1, 1, False),
    ],
)
def test_a_duration_is_within_its_range_and_of_one_sign(seconds: int, nanos: int, right: bool) -> None:
    found = _fields(book(loan=Duration(seconds=seconds, nanos=nanos)))
    assert found == ([] if right else ["loan"])


def test_items_that_are_looked_at_one_by_one_are_only_counted() -> None:
    wrong = book(chapters=[Chapter()], authors=[])
    assert _fields(wrong) == ["chapters[0].title", "authors"]
    found = behavior.violations(wrong, create=True, items="chapters")
    assert [violation.field for violation in found] == ["authors"]
    found = behavior.violations(wrong, create=True, items="authors")
    assert [violation.field for violation in found] == ["chapters[0].title", "authors"]
    found = behavior.violations(wrong.chapters[0], create=True, path="chapters[0].")
    assert [violation.field for violation in found] == ["chapters[0].title"]


def test_a_message_without_declarations_has_only_what_it_requires() -> None:
    assert _fields(GetBookRequest()) == ["name"]
    assert _fields(GetBookRequest(name="-")) == []
