"""What the service does by itself, in bounded pieces (rule X10). Nobody waits for it."""

from collections.abc import Collection

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import FAILED_KEPT
from compute_sim.domain.keys import Key
from compute_sim.domain.requests import MARK_KEPT
from compute_sim.store import image_requests, images
from compute_sim.store.schema import requests
from servicekit import idempotency
from servicekit.loop import Wake

LIMIT = 500


def keep_house(deps: Dependencies) -> Wake:
    """Forgets failed images, marks of request ids, and answers to requests that were kept long enough; 500 of each."""
    done = (_forget_failed_images(deps), _forget_requests(deps))
    return Wake(at_once=max(done) >= LIMIT)


def _forget_failed_images(deps: Dependencies) -> int:
    with deps.database.read() as connection:
        keys = images.ended_by(connection, deps.clocks.product.now() - FAILED_KEPT, LIMIT)
    if keys:
        write(deps, {key.place for key in keys}, lambda transaction: _forget(transaction, keys))
    return len(keys)


def _forget(transaction: Writing, keys: Collection[Key]) -> None:
    """Deletes those that did fail: some were not settled yet, or were protected meanwhile. They hold no quota."""
    found = images.get(transaction.connection, keys).values()
    old = [image.key for image in found if image.is_forgettable(transaction.now)]
    images.delete(transaction.connection, old)
    image_requests.mark_deleted(transaction.connection, old, transaction.now)


def _forget_requests(deps: Dependencies) -> int:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        marks = image_requests.purge(connection, now - MARK_KEPT, LIMIT)
        return max(marks, idempotency.purge(connection, requests, now, LIMIT))
