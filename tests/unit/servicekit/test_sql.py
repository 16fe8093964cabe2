from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from servicekit.database import Database, new_metadata
from servicekit.sql import contains, insert_missing, insert_or_update, rows_in

metadata = new_metadata()
quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
)
BIG = 2**62 + 1


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    db = Database(f"sqlite:///{tmp_path}/quotas.db")
    with db.write() as connection:
        metadata.create_all(connection)
        keys = [("a", 1), ("a", 2), ("b", 1), ("b", BIG), ('"', 1), ("%_长", 1)]
        connection.execute(
            sa.insert(quotas), [{"account": account, "number": number, "used": 5} for account, number in keys]
        )
        yield connection
    db.dispose()


def _keys(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> set[tuple[str, int]]:
    rows = connection.execute(sa.select(quotas.c.account, quotas.c.number).where(condition))
    return {(row.account, row.number) for row in rows}


def test_missing_rows_are_inserted_and_the_others_left_alone(connection: sa.Connection) -> None:
    rows = [{"account": "a", "number": 1, "used": 0}, {"account": "c", "number": 1, "used": 0}]
    insert_missing(connection, quotas, rows)
    insert_missing(connection, quotas, [])
    used = dict(connection.execute(sa.select(quotas.c.account, quotas.c.used).where(quotas.c.number == 1)).all())
    assert (used["a"], used["c"]) == (5, 0)


def test_rows_are_inserted_or_updated_where_their_keys_are_there(connection: sa.Connection) -> None:
    rows = [{"account": "a", "number": 1, "used": 2}, {"account": "c", "number": 1, "used": 3}]
    insert_or_update(connection, quotas, rows, {"used": quotas.c.used + 1})
    insert_or_update(connection, quotas, [], {"used": None})
    used = dict(connection.execute(sa.select(quotas.c.account, quotas.c.used).where(quotas.c.number == 1)).all())
    assert (used["a"], used["b"], used["c"]) == (6, 5, 3)
    insert_or_update(connection, quotas, rows, {"used": None})
    used = dict(connection.execute(sa.select(quotas.c.account, quotas.c.used).where(quotas.c.number == 1)).all())
    assert (used["a"], used["b"], used["c"]) == (2, 5, 3)


def test_rows_are_found_by_several_columns_at_once(connection: sa.Connection) -> None:
    columns = (quotas.c.account, quotas.c.number)
    wanted = [("a", 2), ("b", BIG), ("b", 2), ('"', 1), ("%_长", 1)]
    assert _keys(connection, rows_in(columns, wanted)) == {("a", 2), ("b", BIG), ('"', 1), ("%_长", 1)}
    assert _keys(connection, rows_in(columns, [])) == set()
    assert _keys(connection, sa.not_(rows_in(columns, wanted))) == {("a", 1), ("b", 1)}
    assert _keys(connection, sa.and_(rows_in(columns, wanted), quotas.c.used > 5)) == set()


@pytest.mark.parametrize("statement", [sa.select(quotas), sa.delete(quotas), sa.update(quotas).values(used=0)])
def test_rows_are_found_by_the_index(connection: sa.Connection, statement: Any) -> None:
    query = statement.where(rows_in((quotas.c.account, quotas.c.number), [("a", 1), ("b", 1)]))
    text = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
    plan = [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]
    assert any(step.startswith("SEARCH quotas") for step in plan), plan


@pytest.mark.parametrize(
    ("text", "found"),
    [("长", {("%_长", 1)}), ("%", {("%_长", 1)}), ("_", {("%_长", 1)}), ("A", set()), ('"', {('"', 1)})],
)
def test_a_text_is_found_as_it_is_without_wildcards(
    connection: sa.Connection, text: str, found: set[tuple[str, int]]
) -> None:
    assert _keys(connection, contains(quotas.c.account, text)) == found


def test_statements_of_one_shape_are_compiled_once(connection: sa.Connection) -> None:
    one, two = (sa.select(quotas).where(rows_in((quotas.c.account,), [(key,)])) for key in "ab")
    first, second = one._generate_cache_key(), two._generate_cache_key()
    assert first is not None
    assert second is not None
    assert first.key == second.key


def test_the_words_for_postgresql() -> None:
    query = sa.select(quotas.c.used).where(
        rows_in((quotas.c.account, quotas.c.number), [("a", 1)]), contains(quotas.c.account, "x")
    )
    text = " ".join(str(query.compile(dialect=postgresql.dialect())).split())  # type: ignore[no-untyped-call]
    assert text == (
        "SELECT quotas.used FROM quotas WHERE (quotas.account, quotas.number) IN "
        "(SELECT CAST(value ->> 0 AS TEXT), CAST(value ->> 1 AS BIGINT) FROM "
        "jsonb_array_elements(CAST(%(param_1)s::VARCHAR AS JSONB)) AS given(value)) "
        "AND strpos(quotas.account, %(param_2)s::VARCHAR) > 0"
    )
