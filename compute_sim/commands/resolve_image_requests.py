"""Settle what became of requests for images, for ever."""

from collections.abc import Sequence

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image
from compute_sim.domain.keys import Key
from compute_sim.domain.requests import ImageRequest, ImageRequestReference
from compute_sim.store import image_requests, images
from servicekit.errors import ServiceError


def resolve_image_requests(deps: Dependencies, asked: Sequence[ImageRequestReference]) -> list[Image | ServiceError]:
    """For each request the image that was begun for it; or RequestResolved or ImageDeleted, and so for ever."""
    return write(deps, {reference.key.place for reference in asked}, lambda writing: _resolve(writing, asked))


def _resolve(transaction: Writing, asked: Sequence[ImageRequestReference]) -> list[Image | ServiceError]:
    connection = transaction.connection
    known = image_requests.get(connection, {reference.key for reference in asked})
    given_up: dict[Key, ImageRequest] = {}
    for reference in asked:
        if reference.key not in known:
            given_up.setdefault(reference.key, reference.given_up())
    image_requests.insert(connection, list(given_up.values()), transaction.now)
    known |= given_up
    outcomes = [known[reference.key].settled(reference.instance_id) for reference in asked]
    found = images.get(connection, {outcome for outcome in outcomes if isinstance(outcome, Key)})
    return [found[outcome] if isinstance(outcome, Key) else outcome for outcome in outcomes]
