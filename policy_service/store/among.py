"""Finding rows by a list of texts of any length."""

from collections.abc import Collection

import sqlalchemy as sa

from servicekit.sql import rows_in, rows_text


def among(column: sa.ColumnElement[str], texts: Collection[str] | str) -> rows_in:
    """Whether the column is one of these, in one statement that stays prepared, however many they are.

    In a statement that is built once, `texts` is the name of a parameter, whose value is what is `given`.
    """
    return rows_in([column], texts if isinstance(texts, str) else _rows(texts))


def given(texts: Collection[str]) -> str:
    """The texts, as a parameter of `among` takes them."""
    return rows_text(_rows(texts))


def _rows(texts: Collection[str]) -> list[tuple[str]]:
    return [(text,) for text in texts]
