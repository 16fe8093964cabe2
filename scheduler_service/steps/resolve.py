"""Settles tasks that are to end without success (X6): compute knows whether there is an image, and then makes none."""

from scheduler_service.commands.record import Change
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain import refusals
from scheduler_service.domain.tasks import Phase, resolved
from scheduler_service.steps.claims import Batch, put_off_all, run, write
from servicekit.errors import ServiceError
from servicekit.loop import Wake


def resolve(deps: Dependencies) -> Wake:
    """Resolves up to 500 requests."""
    return run(deps, [Phase.RESOLVE], _resolve)


def _resolve(deps: Dependencies, batch: Batch) -> bool:
    try:
        answers = deps.compute.resolve(batch.tasks)
    except ServiceError as error:
        put_off_all(deps, batch.tasks, refusals.COMPUTE_UNAVAILABLE, error)
        return False
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    write(
        deps,
        [
            Change(task, resolved(task, build, product, operating))
            for task, build in zip(batch.tasks, answers, strict=True)
        ],
    )
    return True
