"""What retention would do (X9): the same for who asks, and for the step that does it. Nothing here writes."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from scheduler_service.dependencies import Dependencies
from scheduler_service.domain.retention import (
    KEEP_FOREVER,
    Condition,
    Judged,
    KeptImage,
    Retention,
    Seen,
    Verdict,
    judge,
)
from scheduler_service.store import kept_images
from scheduler_service.store import series as series_store
from servicekit.names import POLICY
from servicekit.paging import Key, Page
from servicekit.timestamps import from_micros, to_micros

BATCH = 500
"""Images in one call to compute."""


class Planned(NamedTuple):
    """What is to become of an image, and from when on `keep_days` lets it go."""

    image: KeptImage
    verdict: Verdict
    expire_time: datetime | None


def judge_images(deps: Dependencies, retention: Retention, images: Sequence[KeptImage]) -> list[Judged]:
    """Verdicts on these images of one series, newest first, by what compute tells at this moment.

    Among them are as many of the newest available ones as it takes to judge the others.
    """
    seen = _newest_available(deps, images[0].series, retention.witnesses)
    known = {one.image.name for one in seen}
    seen += _look_at(deps, [image for image in images if image.name not in known])
    return judge(retention, deps.clocks.product.now(), seen)


def _newest_available(deps: Dependencies, series: tuple[str, str], number: int) -> list[Seen]:
    """The newest images of a series, down to that many that are available."""
    seen: list[Seen] = []
    limit = number
    while sum(one.condition is Condition.AVAILABLE for one in seen) < number:
        before = seen[-1].image.age_key if seen else None
        with deps.database.read() as connection:
            images = kept_images.newest(connection, series, before=before, limit=limit)
        if not images:
            break
        seen += _look_at(deps, images)
        limit = min(2 * limit, BATCH)  # some are gone: there may be many
    return seen


def _look_at(deps: Dependencies, images: Sequence[KeptImage]) -> list[Seen]:
    return [
        seen for start in range(0, len(images), BATCH) for seen in deps.compute.look_at(images[start : start + BATCH])
    ]


def plan_retention(
    deps: Dependencies, parent: str, other: Retention | None, page: Page
) -> tuple[list[Planned], Key | None]:
    """A page of a policy's images, by instance, newest first, and the key of the last one if more follow.

    Planned with `other`, or with what the policy service tells at this moment.
    """
    ids = POLICY.parse(parent)
    found, more = page.cut(_page(deps, ids, page))
    policy_uids = {image.policy_uid for image in found}
    retentions = deps.policies.look_up_retentions(policy_uids) if other is None and policy_uids else {}
    planned: list[Planned] = []
    for (policy_uid, _), images in groupby(found, key=lambda image: image.series):
        retention = retentions.get(policy_uid, KEEP_FOREVER) if other is None else other
        planned += _plan(deps, retention, list(images))
    return planned, _key(found[-1]) if more else None


def _plan(deps: Dependencies, retention: Retention, images: Sequence[KeptImage]) -> list[Planned]:
    verdicts = {judged.seen.image.name: judged.verdict for judged in judge_images(deps, retention, images)}
    return [Planned(image, verdicts[image.name], retention.expire_time(image.scheduled_time)) for image in images]


def _page(deps: Dependencies, ids: Mapping[str, str], page: Page) -> list[KeptImage]:
    """The images of a page and one more, in its order: series by series, newest first."""
    start, before = _start(page)
    found: list[KeptImage] = []
    with deps.database.read() as connection:
        keys = series_store.of_policy(
            connection, ids["account"], ids["region"], ids["policy"], start=start, limit=page.size + 2
        )
        for key in keys:
            is_begun = key == (start[1], start[0])
            found += kept_images.newest(
                connection, key, before=before if is_begun else None, limit=page.size + 1 - len(found)
            )
            if len(found) > page.size:
                break
    return found


def _start(page: Page) -> tuple[tuple[str, str], tuple[datetime, str] | None]:
    """The series (instance, policy uid) in which a page begins, and the age key of the last image seen of it."""
    if page.after is None:
        return ("", ""), None
    instance, policy_uid, micros, name = page.after
    return (str(instance), str(policy_uid)), (from_micros(int(micros)), str(name))


def _key(image: KeptImage) -> Key:
    return (image.instance, image.policy_uid, to_micros(image.scheduled_time), image.name)
