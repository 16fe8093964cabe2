from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from servicekit.database import Database, new_metadata
from servicekit.errors import DatabaseUnavailable, RequestIdReused
from servicekit.idempotency import (
    Idempotency,
    fingerprint,
    purge,
    remember,
    remember_many,
    remembered,
    remembered_many,
    request_table,
)
from tests.support import START
from tests.unit.servicekit.example import PARENT, book, create_request

metadata = new_metadata()
requests = request_table(metadata)
ID = "123e4567-e89b-42d3-a456-426614174000"
ASKED = Idempotency("scope", ID, "body")
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(hours=24)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    db = Database(f"sqlite:///{tmp_path}/requests.db")
    with db.write() as connection:
        metadata.create_all(connection)
        yield connection
    db.dispose()


def test_the_same_request_is_remembered_for_exactly_24_hours(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    assert remembered(connection, requests, ASKED, START) == "answer"
    assert remembered(connection, requests, ASKED, START + DAY - MICROSECOND) == "answer"
    assert remembered(connection, requests, ASKED, START + DAY) is None


def test_an_expired_id_can_be_used_again_for_anything(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    other = Idempotency("scope", ID, "another body")
    assert remembered(connection, requests, other, START + DAY) is None
    remember(connection, requests, other, "second", START + DAY)
    assert remembered(connection, requests, other, START + DAY) == "second"


def test_the_id_with_another_body_is_refused(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    with pytest.raises(RequestIdReused) as caught:
        remembered(connection, requests, Idempotency("scope", ID, "another body"), START)
    assert caught.value.metadata == {"request_id": ID}


def test_another_scope_knows_nothing_of_the_id(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    assert remembered(connection, requests, Idempotency("elsewhere", ID, "body"), START) is None


def test_without_an_id_nothing_is_remembered(connection: sa.Connection) -> None:
    bare = Idempotency("scope", "", "body")
    remember(connection, requests, bare, "answer", START)
    assert remembered(connection, requests, bare, START) is None
    assert connection.execute(sa.select(requests)).all() == []


def test_the_later_of_two_at_the_same_moment_is_to_come_again(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    with pytest.raises(DatabaseUnavailable) as caught:
        remember(connection, requests, ASKED, "answer", START)
    assert caught.value.reason == "DATABASE_LOCKED"
    assert caught.value.retry_after is not None


def test_many_requests_are_answered_in_their_order(connection: sa.Connection) -> None:
    known = Idempotency("scope", ID, "body")
    other_id = ID.replace("1", "2")
    remember_many(connection, requests, [(known, "first"), (Idempotency("b", other_id, "x"), "second")], START)
    asked = [
        Idempotency("b", other_id, "x"),
        Idempotency("scope", other_id, "x"),
        Idempotency("scope", "", "x"),
        Idempotency("scope", ID, "another"),
        known,
        known,
    ]
    outcomes = remembered_many(connection, requests, asked, START)
    assert isinstance(outcomes.pop(3), RequestIdReused)
    assert outcomes == ["second", None, None, "first", "first"]
    assert remembered_many(connection, requests, asked, START + DAY) == [None] * 6
    assert remembered_many(connection, requests, [], START) == []


def test_many_are_kept_at_once_and_of_one_id_twice_the_first(connection: sa.Connection) -> None:
    remember_many(connection, requests, [(ASKED, "old")], START)
    now = START + DAY
    bare = Idempotency("scope", "", "body")
    remember_many(connection, requests, [(ASKED, "new"), (ASKED, "newer"), (bare, "nothing")], now)
    assert remembered_many(connection, requests, [ASKED, bare], now) == ["new", None]
    remember_many(connection, requests, [(bare, "nothing")], now)


def test_a_batch_takes_a_constant_number_of_statements(connection: sa.Connection) -> None:
    statements: list[str] = []
    sa.event.listen(connection, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    batch = [Idempotency(str(number), ID, "body") for number in range(500)]
    remember_many(connection, requests, [(one, "answer") for one in batch], START)
    assert remembered_many(connection, requests, batch, START) == ["answer"] * 500
    assert [statement.split()[0] for statement in statements] == ["DELETE", "INSERT", "SELECT"]


def test_purging_is_bounded_and_takes_the_expired_only(connection: sa.Connection) -> None:
    for number in range(5):
        remember(connection, requests, Idempotency(str(number), ID, "body"), "answer", START + number * MICROSECOND)
    now = START + DAY + 3 * MICROSECOND
    assert purge(connection, requests, now, limit=3) == 3
    assert list(connection.scalars(sa.select(requests.c.scope).order_by(requests.c.scope))) == ["3", "4"]
    assert purge(connection, requests, now, limit=3) == 1
    assert purge(connection, requests, now, limit=3) == 0
    assert list(connection.scalars(sa.select(requests.c.scope))) == ["4"]


def test_it_is_written_with_its_command_or_not_at_all(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/requests.db")
    with db.write() as connection:
        metadata.create_all(connection)
    with pytest.raises(RuntimeError), db.write() as connection:
        _remember_and_fail(connection)
    with db.read() as connection:
        assert remembered(connection, requests, ASKED, START) is None
    db.dispose()


def _remember_and_fail(connection: sa.Connection) -> None:
    remember(connection, requests, ASKED, "answer", START)
    raise RuntimeError


def test_the_fingerprint_is_of_all_but_the_id() -> None:
    request = create_request(request_id=ID)
    assert fingerprint(request) == fingerprint(create_request())
    assert fingerprint(request) != fingerprint(create_request(book=book(copies=2)))
    assert fingerprint(request) != fingerprint(book())
    assert request.request_id == ID


def test_the_fingerprint_does_not_depend_on_the_order_of_a_map() -> None:
    one, two = create_request(notes={}), create_request(notes={})
    keys = [str(number) for number in range(50)]
    for key in keys:
        one.notes[key] = key
    for key in reversed(keys):
        two.notes[key] = key
    assert fingerprint(one) == fingerprint(two)


def test_the_scope_is_the_parent_unless_told() -> None:
    request = create_request(request_id=ID.upper())
    assert Idempotency.of(request) == Idempotency(PARENT, ID, fingerprint(request))
    assert Idempotency.of(request, scope="mine").scope == "mine"
