"""Delete an image with its snapshots."""

from datetime import datetime

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.errors import RequestTooLate
from compute_sim.domain.keys import Key
from compute_sim.store import image_requests, images, quotas
from servicekit.errors import NotFound
from servicekit.names import IMAGE


def delete_image(deps: Dependencies, key: Key, etag: str, not_after: datetime | None) -> None:
    """Gives the image's quota back, and its build up if that goes on. With an etag, only if it is still the image's.

    A protected image is refused, and so is a request after its own `not_after` (operating time).
    """

    def delete(transaction: Writing) -> None:
        # Looked at once it is our turn: a request may have waited for it.
        if not_after is not None and deps.clocks.operating.now() > not_after:
            raise RequestTooLate(_name(key), not_after)
        _delete(transaction, key, etag)

    write(deps, {key.place}, delete)


def _delete(transaction: Writing, key: Key, etag: str) -> None:
    connection = transaction.connection
    image = images.get(connection, [key]).get(key)
    if image is None:
        raise NotFound("image", _name(key))
    image.check_deletable(etag)
    images.delete(connection, [key])
    image_requests.mark_deleted(connection, [key], transaction.now)
    quotas.give_back(connection, {(key.place, kind): amount for kind, amount in image.quota().items()})


def _name(key: Key) -> str:
    return IMAGE.format(account=key.account, region=key.region, image=key.id)
