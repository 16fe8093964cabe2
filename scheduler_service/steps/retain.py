"""Deletes images that retention lets go (X9): after each new image, and daily, of every policy that ever made one.

A wrongly deleted image is the worst that the suite could do. So candidates are images of our own tasks only; the
policy's retention and the images' states are asked for anew in each look; a delete carries the image's etag, and the
end of the lease, after which compute refuses it; and whatever is not known keeps an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from scheduler_service import plans
from scheduler_service.commands.record_looks import Look, intend_to_delete, record_looks
from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.retention import (
    KEEP_FOREVER,
    Condition,
    Judged,
    KeptImage,
    Retention,
    Series,
    Verdict,
    going_on,
    put_off,
    rested,
)
from scheduler_service.peers.compute import Deletion
from scheduler_service.steps.claims import AFTER_FAILURE, asked_for
from scheduler_service.store import kept_images, regions
from scheduler_service.store import series as series_store
from servicekit.errors import ServiceError
from servicekit.loop import Wake
from servicekit.retries import retried

SERIES = 100
"""Series in one claim."""
PIECE = 100
"""Candidates in one look at a series: what is known of them is never older than so many deletes take."""

_LOG = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Claim:
    """Series that are ours until the lease ends (operating time)."""

    series: Sequence[Series]
    lease_end: datetime


def retain(deps: Dependencies) -> Wake:
    """Looks at up to 100 series that are due."""
    claim, wake = _take(deps)
    if claim is None:
        return wake
    if not _work(deps, claim):
        return Wake(operating=deps.clocks.operating.now() + AFTER_FAILURE)
    return Wake(at_once=True)


def _take(deps: Dependencies) -> tuple[_Claim | None, Wake]:
    """A claim, or when to come back; none in a paused region. Nothing is written while nothing is due."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    with deps.database.read() as connection:
        later, due = series_store.next_due(connection, product, paused=regions.paused(connection))
    if due is None or due > operating:
        return None, Wake(product=later, operating=due)
    claim = retried(lambda: _claim(deps, product, operating))
    return (claim, Wake()) if claim.series else (None, Wake())


def _claim(deps: Dependencies, product: datetime, operating: datetime) -> _Claim:
    lease_end = operating + deps.task_lease
    with deps.database.write() as connection:
        found = series_store.claim(
            connection,
            product=product,
            operating=operating,
            lease_end=lease_end,
            limit=SERIES,
            paused=regions.paused(connection),
        )
    return _Claim(found, lease_end)


def _work(deps: Dependencies, claim: _Claim) -> bool:
    """Whether the other services answered. What the lease is too short for becomes due when it ends."""
    try:
        retentions = deps.policies.look_up_retentions({series.policy_uid for series in claim.series})
    except ServiceError as error:
        _put_off(deps, claim.series, error)
        return False
    candidates = {series.key: _candidates(deps, series, retentions) for series in claim.series}
    _record(deps, [_looked(deps, series, []) for series in claim.series if not candidates[series.key]])
    busy = [series for series in claim.series if candidates[series.key]]
    for index, series in enumerate(busy):
        try:
            _look(deps, claim, series, retentions[series.policy_uid], candidates[series.key])
        except ServiceError as error:
            _put_off(deps, busy[index:], error)
            return False
    return True


def _candidates(deps: Dependencies, series: Series, retentions: Mapping[str, Retention]) -> list[KeptImage]:
    """The oldest images that a limit concerns; none of a policy that the policy service does not know."""
    retention = retentions.get(series.policy_uid, KEEP_FOREVER)
    now = deps.clocks.product.now()
    with deps.database.read() as connection:
        return kept_images.over_limits(connection, series.key, retention, now, after=series.after, limit=PIECE)


def _look(
    deps: Dependencies, claim: _Claim, series: Series, retention: Retention, candidates: Sequence[KeptImage]
) -> None:
    """Deletes those candidates that may go, and records it.

    What was deleted when this is cut short, by an error or the end of the lease, is found gone by the next look.
    """
    if _is_over(deps, claim):
        return
    judged = plans.judge_images(deps, retention, candidates)
    names = {image.name for image in candidates}
    going = [one for one in judged if one.verdict.deletes and one.seen.image.name in names]
    if going and not retried(lambda: _intend(deps, series, going)):
        return
    deletions = dict.fromkeys((one.seen.image.name for one in going), Deletion.TOO_LATE)
    for one in reversed(going):  # the oldest first: whenever it has to stop, the newest are left
        if _is_over(deps, claim):
            return
        deletions[one.seen.image.name] = _delete(deps, claim, one)
        if deletions[one.seen.image.name] is Deletion.TOO_LATE:
            break
    look = _looked(deps, series, candidates)
    if Deletion.TOO_LATE in deletions.values():
        look = Look(put_off(series, deps.clocks.operating.now(), deps.random, timedelta()))
    for one in judged:
        _sort(look, one, deletions.get(one.seen.image.name))
    _record(deps, [look])


def _delete(deps: Dependencies, claim: _Claim, going: Judged) -> Deletion:
    deletion = deps.compute.delete_image(going.seen, not_after=claim.lease_end)
    if deletion in (Deletion.REFUSED, Deletion.TOO_LATE, Deletion.FAILED):
        _LOG.warning("image_not_deleted", image=going.seen.image.name, verdict=going.verdict.value, why=deletion.value)
    return deletion


def _is_over(deps: Dependencies, claim: _Claim) -> bool:
    return deps.clocks.operating.now() >= claim.lease_end


def _intend(deps: Dependencies, series: Series, going: Sequence[Judged]) -> bool:
    with deps.database.write() as connection:
        return intend_to_delete(connection, series, [one.seen.image for one in going])


def _looked(deps: Dependencies, series: Series, candidates: Sequence[KeptImage]) -> Look:
    """A series that was looked at, as far as these candidates."""
    product, operating = deps.clocks.product.now(), deps.clocks.operating.now()
    if len(candidates) < PIECE:
        return Look(rested(series, product, operating))
    return Look(going_on(series, candidates[-1].age_key, operating))


def _sort(look: Look, judged: Judged, deletion: Deletion | None) -> None:
    """Takes note of what became of an image. One that is gone after a delete that was never answered, we deleted."""
    image = judged.seen.image
    is_gone = judged.verdict is Verdict.GONE or deletion is Deletion.GONE
    is_here = deletion is None and judged.seen.condition is Condition.AVAILABLE
    if deletion is Deletion.DELETED or (is_gone and image.deleting):
        look.deleted.append(image)
    elif is_gone:
        look.gone.append(image)
    elif deletion in (Deletion.REFUSED, Deletion.TOO_LATE) or (is_here and image.deleting):
        look.spared.append(image)


def _record(deps: Dependencies, looks: Sequence[Look]) -> None:
    if not looks:
        return
    kept = retried(lambda: _write(deps, looks))
    for image in (image for look in kept for image in look.deleted):
        _LOG.info(
            "image_deleted",
            policy_uid=image.policy_uid,
            instance=image.instance,
            image=image.name,
            scheduled_time=image.scheduled_time.isoformat(),
        )


def _write(deps: Dependencies, looks: Sequence[Look]) -> list[Look]:
    with deps.database.write() as connection:
        return record_looks(connection, looks, deps.clocks.product.now())


def _put_off(deps: Dependencies, series: Sequence[Series], error: ServiceError) -> None:
    """The service that the series need did not answer: each is looked at again after a pause of its own."""
    _LOG.warning("retention_put_off", series=len(series), error=error.reason, message=error.message)
    operating, at_least = deps.clocks.operating.now(), asked_for(error)
    _record(deps, [Look(put_off(one, operating, deps.random, at_least)) for one in series])
