"""Reading the two ends of what waits: what has waited longest, and some of what came last."""

from collections.abc import Mapping
from typing import Any, TypeVarTuple

import sqlalchemy as sa

from policy_service.domain.triggers import NEWEST_SHARE

_Columns = TypeVarTuple("_Columns")


def both_ends(
    connection: sa.Connection,
    first: sa.Select[*_Columns],
    last: sa.Select[*_Columns],
    parameters: Mapping[str, Any],
    limit: int,
) -> list[sa.Row[*_Columns]]:
    """The first `limit` rows, and when there may be more also the last, a tenth as many (NEWEST_SHARE); all in order.

    `last` selects what `first` does, in the opposite order; both take a parameter `limit`; no two rows are equal.
    """
    rows = list(connection.execute(first, {**parameters, "limit": limit}))
    few = limit // NEWEST_SHARE
    if len(rows) < limit or not few:
        return rows
    found = set(rows)
    ends = connection.execute(last, {**parameters, "limit": few})
    return rows + [row for row in ends if row not in found][::-1]
