"""Finding rows by a list of texts of any length."""

from collections.abc import Collection

import sqlalchemy as sa

from servicekit.sql import rows_in


def among(column: sa.ColumnElement[str], texts: Collection[str]) -> rows_in:
    """Whether the column is one of these, in one statement that stays prepared, however many they are."""
    return rows_in([column], [(text,) for text in texts])
