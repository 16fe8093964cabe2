"""Takes from the disk what nobody sees any more: entries past their retention or of deleted topics, old request ids."""

from log_service.dependencies import Dependencies
from log_service.store import purge as store
from log_service.store import schema
from servicekit import idempotency

LIMIT = 1000


def purge(deps: Dependencies) -> bool:
    """One piece of bounded size; whether there may be more to do now."""
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        deleted = [
            store.expired_entries(connection, now, LIMIT),
            store.deleted_topics(connection, LIMIT),
            idempotency.purge(connection, schema.requests, now, LIMIT),
        ]
    return max(deleted) >= LIMIT
