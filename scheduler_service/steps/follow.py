"""Step 4 of the main job: follow builds in flight, and images that come late."""

from scheduler_service.commands.record import Change
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain import refusals
from scheduler_service.domain.tasks import Build, Phase, Refusal, Task, observed, observed_late, put_off
from scheduler_service.steps.claims import Batch, put_off_all, run, write
from servicekit.errors import ServiceError
from servicekit.loop import Wake


def follow(deps: Dependencies) -> Wake:
    """Looks at up to 500 images whose turn has come; each is looked at less often the longer it takes."""
    return run(deps, [Phase.FOLLOW, Phase.LATE], _follow)


def _follow(deps: Dependencies, batch: Batch) -> bool:
    try:
        answers = deps.compute.get_images([task.image for task in batch.tasks])
    except ServiceError as error:
        put_off_all(deps, batch.tasks, refusals.COMPUTE_UNAVAILABLE, error)
        return False
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()

    def after(task: Task, answer: Build | Refusal | None) -> Task:
        if isinstance(answer, Refusal):
            return put_off(task, answer.reason, operating, deps.random, answer.retry_after)
        look = observed_late if task.phase is Phase.LATE else observed
        return look(task, answer, product, operating)

    write(deps, [Change(task, after(task, answer)) for task, answer in zip(batch.tasks, answers, strict=True)])
    return True
