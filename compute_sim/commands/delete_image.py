"""Delete an image with its snapshots."""

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.keys import Key
from compute_sim.store import image_requests, images, quotas
from servicekit.errors import NotFound
from servicekit.names import IMAGE


def delete_image(deps: Dependencies, key: Key, etag: str) -> None:
    """Gives the image's quota back, and its build up if that goes on. With an etag, only if it is still the image's.

    A protected image is refused.
    """
    write(deps, {key.place}, lambda transaction: _delete(transaction, key, etag))


def _delete(transaction: Writing, key: Key, etag: str) -> None:
    connection = transaction.connection
    image = images.get(connection, [key]).get(key)
    if image is None:
        raise NotFound("image", IMAGE.format(account=key.account, region=key.region, image=key.id))
    image.check_deletable(etag)
    images.delete(connection, [key])
    image_requests.mark_deleted(connection, [key], transaction.now)
    quotas.give_back(connection, {(key.place, kind): amount for kind, amount in image.quota().items()})
