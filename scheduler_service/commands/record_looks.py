"""Writes what retention is about to delete, and what became of the series that it looked at; by claims with fences."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from scheduler_service.domain.retention import KeptImage, Series
from scheduler_service.store import kept_images
from scheduler_service.store import series as series_store
from scheduler_service.store import tasks as task_store


@dataclass(frozen=True, slots=True)
class Look:
    """A series as it is to be; images that retention deleted, others that are gone, and those that it spared."""

    series: Series
    deleted: list[KeptImage] = field(default_factory=list)
    gone: list[KeptImage] = field(default_factory=list)
    spared: list[KeptImage] = field(default_factory=list)


def intend_to_delete(connection: sa.Connection, series: Series, images: Collection[KeptImage]) -> bool:
    """Notes that deletes of these images may reach compute; answers False if the series was claimed anew."""
    if not series_store.still_claimed(connection, [series]):
        return False
    kept_images.mark_deleting(connection, [image.name for image in images], deleting=True)
    return True


def record_looks(connection: sa.Connection, looks: Sequence[Look], now: datetime) -> list[Look]:
    """Stores the looks at those series that nobody claimed since, and returns them; the others are ours no more.

    Locks tasks before series, as `record` does, which may have a series looked at: so no two wait in a circle.
    """
    task_store.lock(connection, [image.task for look in looks for image in look.deleted])
    held = series_store.still_claimed(connection, [look.series for look in looks])
    kept = [look for look in looks if look.series.key in held]
    deleted = [image for look in kept for image in look.deleted]
    gone = [image for look in kept for image in look.gone]
    kept_images.remove(connection, [image.name for image in (*deleted, *gone)])
    kept_images.mark_deleting(connection, [image.name for look in kept for image in look.spared], deleting=False)
    task_store.mark_images_deleted(connection, [image.task for image in deleted], now)
    series_store.finish(connection, [look.series for look in kept])
    return kept
