"""Change the limit of a quota."""

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import Quota, QuotaKind
from compute_sim.store import quotas


def update_quota(deps: Dependencies, place: Place, kind: QuotaKind, limit: int) -> Quota:
    """A limit below what exists is allowed, and refuses new ones only."""

    def update(transaction: Writing) -> Quota:
        quotas.set_limit(transaction.connection, place, kind, limit)
        return quotas.read(transaction.connection, place)[kind]

    return write(deps, {place}, update)
