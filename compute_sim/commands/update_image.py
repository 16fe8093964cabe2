"""Change what a client says of an image."""

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image, ImageChange
from compute_sim.domain.keys import Key
from compute_sim.store import images
from servicekit.errors import NotFound
from servicekit.names import IMAGE


def update_image(deps: Dependencies, key: Key, change: ImageChange, etag: str) -> Image:
    """With an etag, only if it is still the image's. A change to what is so already leaves the etag as it is."""
    return write(deps, {key.place}, lambda transaction: _update(transaction, key, change, etag))


def _update(transaction: Writing, key: Key, change: ImageChange, etag: str) -> Image:
    image = images.get(transaction.connection, [key]).get(key)
    if image is None:
        raise NotFound("image", IMAGE.format(account=key.account, region=key.region, image=key.id))
    image.check_etag(etag)
    changed = change.applied(image)
    if changed != image:
        images.update(transaction.connection, changed)
    return changed
