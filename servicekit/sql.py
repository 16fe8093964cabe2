"""Pieces of SQL that are written differently on SQLite and PostgreSQL."""

import functools
import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

_TURNS = 128
_TAKE_TURNS = sa.text("SELECT pg_advisory_xact_lock(:kind, turn) FROM unnest(CAST(:turns AS integer[])) AS turn")


def insert_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inserts the rows that break no unique constraint, and leaves what is there alone. For counters at first use."""
    if rows:
        connection.execute(_insert_missing(connection.dialect.name, table), rows)


@functools.cache
def _insert_missing(dialect: str, table: sa.Table) -> sa.Executable:
    statement: sa.Executable = _dialect(dialect).insert(table).on_conflict_do_nothing()
    return statement


def _dialect(name: str) -> Any:
    """Imported late, by name: PostgreSQL's dialect costs a tenth of the time that a service may take to start."""
    return importlib.import_module(f"sqlalchemy.dialects.{name}")


def insert_or_update(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    changes: Mapping[str, Any],
) -> None:
    """Inserts the rows, or makes the changes to those whose primary key is there; each is locked until the commit.

    Whoever is just inserting or deleting a row of the same key is waited for, so the rows must be in key order.
    A change to None means: to what the new row has. Changes are a constant of the caller's: the statement is built once
    for each, and kept.
    """
    if rows:
        connection.execute(_insert_or_update(connection.dialect.name, table, tuple(changes.items())), rows)


@functools.cache
def _insert_or_update(dialect: str, table: sa.Table, changes: tuple[tuple[str, Any], ...]) -> sa.Executable:
    insert = _dialect(dialect).insert(table)
    new = {name: insert.excluded[name] if value is None else value for name, value in changes}
    keys = [column.name for column in table.primary_key]
    statement: sa.Executable = insert.on_conflict_do_update(index_elements=keys, set_=new)
    return statement


def take_turns(connection: sa.Connection, kind: str, keys: Iterable[str]) -> None:
    """Until the transaction ends, whoever comes here with the same kind and key waits. For what has no row to lock yet.

    Once for each kind in a transaction, and for all transactions at the same place among the rows that they lock: then
    nobody waits in a circle. Keys share 128 turns, so now and then somebody waits for nothing; but however many the
    keys are, the server's table of locks holds them.
    Does nothing on SQLite, where writers take turns anyway, and in a transaction that only reads.
    """
    if connection.get_execution_options().get("takes_turns"):
        turns = sorted({crc32(key.encode()) % _TURNS for key in keys})
        connection.execute(_TAKE_TURNS, {"kind": crc32(kind.encode()) % 2**31, "turns": turns})


class _Condition(FunctionElement[bool]):
    """A truth as it is: SQLAlchemy would compare it to 1 on SQLite, and no index would be found."""

    type = sa.Boolean()
    inherit_cache = True

    def self_group(self, against: Any = None) -> Any:  # noqa: ARG002
        return self


class contains(_Condition):  # noqa: N801 - read like a function of SQL: where(contains(column, text))
    """Whether the column has the text somewhere, each character as it is: LIKE has wildcards, and folds ASCII only."""

    inherit_cache = True

    def __init__(self, column: sa.ColumnElement[str], text: str) -> None:
        super().__init__(column, sa.literal(text, sa.Text))


@compiles(contains)
def _strpos(element: contains, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)}) > 0"


@compiles(contains, "sqlite")
def _instr(element: contains, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)}) > 0"


Rows = Sequence[tuple[str | int, ...]]


class rows_in(_Condition):  # noqa: N801
    """Whether these columns together are one of `rows` (texts and whole numbers), found by an index on the columns.

    In a statement that is built once, `rows` is the name of a parameter, whose value is `rows_text` of the rows.
    `tuple_(…).in_(…)` means the same, but makes SQLite read the whole table.
    """

    inherit_cache = True

    def __init__(self, columns: Sequence[sa.ColumnElement[Any]], rows: Rows | str) -> None:
        given = sa.bindparam(rows, type_=sa.Text) if isinstance(rows, str) else sa.literal(rows_text(rows), sa.Text)
        super().__init__(*columns, given)


def rows_text(rows: Rows) -> str:
    """Rows as `rows_in` takes them for a parameter."""
    return json.dumps(rows)


@compiles(rows_in)
def _from_jsonb(element: rows_in, compiler: Any, **options: Any) -> str:
    *columns, rows = element.clauses
    types = [compiler.dialect.type_compiler_instance.process(column.type) for column in columns]
    values = ", ".join(f"CAST(value ->> {index} AS {type})" for index, type in enumerate(types))
    names = ", ".join(compiler.process(column, **options) for column in columns)
    source = f"jsonb_array_elements(CAST({compiler.process(rows, **options)} AS JSONB)) AS given(value)"
    return f"({names}) IN (SELECT {values} FROM {source})"  # noqa: S608 - made of columns and a parameter


@compiles(rows_in, "sqlite")
def _from_json_each(element: rows_in, compiler: Any, **options: Any) -> str:
    *columns, rows = element.clauses
    values = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(len(columns)))
    names = ", ".join(compiler.process(column, **options) for column in columns)
    source = f"json_each({compiler.process(rows, **options)})"
    return f"({names}) IN (SELECT {values} FROM {source})"  # noqa: S608 - made of columns and a parameter
