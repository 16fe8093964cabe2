"""Begin to build images."""

from collections.abc import Sequence

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.admission import Admission
from compute_sim.domain.images import Image, NewImage
from compute_sim.domain.keys import Key
from compute_sim.domain.quotas import Budget
from compute_sim.store import image_requests, images, instances, quotas, simulations
from servicekit.errors import ServiceError


def create_images(deps: Dependencies, new: Sequence[NewImage]) -> list[Image | ServiceError]:
    """For each request its image, or why there is none. All that are accepted are accepted in one transaction."""
    return write(deps, {image.place for image in new}, lambda transaction: _create(deps, transaction, new))


def _create(deps: Dependencies, transaction: Writing, new: Sequence[NewImage]) -> list[Image | ServiceError]:
    connection = transaction.connection
    request_keys = {image.place.key(image.request_id) for image in new if image.request_id}
    admission = Admission(
        requests=image_requests.get(connection, request_keys),
        instances=instances.get(connection, {image.place.key(image.instance_id) for image in new}),
        budget=Budget(transaction.quotas),
        simulation=simulations.get(connection, deps.simulation),
        ids=deps.ids,
        now=transaction.now,
        operating_now=deps.clocks.operating.now(),
    )
    outcomes = [_admit(admission, image) for image in new]
    images.insert(connection, admission.accepted)
    image_requests.insert(connection, admission.accepted_requests, transaction.now)
    quotas.take(connection, admission.budget.taken)
    found = {image.key: image for image in admission.accepted}
    found |= images.get(connection, {key for key in outcomes if isinstance(key, Key) and key not in found})
    return [found[outcome] if isinstance(outcome, Key) else outcome for outcome in outcomes]


def _admit(admission: Admission, new: NewImage) -> Key | ServiceError:
    try:
        return admission.admit(new)
    except ServiceError as refusal:
        return refusal
