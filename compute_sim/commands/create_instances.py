"""Create instances with their disks, or from images."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image
from compute_sim.domain.instances import Disk, DiskKind, Instance, NewInstance, quota_of
from compute_sim.domain.keys import Key
from compute_sim.domain.quotas import Budget
from compute_sim.store import images, instances, quotas
from compute_sim.store.schema import requests
from servicekit.errors import AlreadyExists, NotFound, RequestIdReused, ServiceError
from servicekit.idempotency import Idempotency, Outcome, remember_many, remembered_many
from servicekit.ids import Ids
from servicekit.names import IMAGE, INSTANCE

_DISPLAY_NAME_LENGTH = 32
Request = tuple[NewInstance, Idempotency]


def create_instances(deps: Dependencies, asked: Sequence[Request]) -> list[Instance | ServiceError]:
    """For each request its instance, or why there is none. A repeat answers the instance as it is now, or NotFound."""
    places = {new.place for new, _ in asked}
    return write(deps, places, lambda transaction: _create(deps, transaction, asked))


def _create(deps: Dependencies, transaction: Writing, asked: Sequence[Request]) -> list[Instance | ServiceError]:
    connection, now = transaction.connection, transaction.now
    chosen = {new.place.key(new.instance_id) for new, _ in asked if new.instance_id}
    creation = _Creation(
        ids=deps.ids,
        now=now,
        taken=instances.existing(connection, chosen),
        sources=images.get(connection, {new.source_image for new, _ in asked if new.source_image is not None}),
        budget=Budget(transaction.quotas),
    )
    answers = remembered_many(connection, requests, [repeatable for _, repeatable in asked], now)
    outcomes = [_attempt(creation, *request, answer) for request, answer in zip(asked, answers, strict=True)]
    instances.insert(connection, list(creation.created.values()))
    remember_many(connection, requests, [(repeatable, key.id) for repeatable, key in creation.made.values()], now)
    quotas.take(connection, creation.budget.taken)
    repeated = {key for key in outcomes if isinstance(key, Key) and key not in creation.created}
    found = creation.created | instances.get(connection, repeated)
    return [_result(found, outcome) if isinstance(outcome, Key) else outcome for outcome in outcomes]


def _attempt(creation: "_Creation", new: NewInstance, asked: Idempotency, answer: Outcome) -> Key | ServiceError:
    try:
        return creation.repeated(new, asked, answer) or creation.create(new, asked)
    except ServiceError as refusal:
        return refusal


def _result(found: dict[Key, Instance], key: Key) -> Instance | ServiceError:
    return found.get(key) or NotFound("instance", _name(key))


def _name(key: Key) -> str:
    return INSTANCE.format(account=key.account, region=key.region, instance=key.id)


@dataclass(slots=True)
class _Creation:
    """Decides requests one after another, on what the transaction has read, and on what it decided before."""

    ids: Ids
    now: datetime
    taken: Collection[Key]
    sources: Mapping[Key, Image]
    budget: Budget
    created: dict[Key, Instance] = field(default_factory=dict)
    made: dict[tuple[str, str], tuple[Idempotency, Key]] = field(default_factory=dict)
    """What was made for each scope and request id."""

    def repeated(self, new: NewInstance, asked: Idempotency, answer: Outcome) -> Key | None:
        """The instance that the same request made, as is remembered, or earlier in this batch; None if there was none.

        The id with another body raises RequestIdReused.
        """
        if isinstance(answer, RequestIdReused):
            raise answer
        if answer is not None:
            return new.place.key(answer)
        earlier, key = self.made.get((asked.scope, asked.request_id), (asked, None))
        if earlier != asked:
            raise RequestIdReused(asked.request_id)
        return key

    def create(self, new: NewInstance, asked: Idempotency) -> Key:
        """The key of the new instance. Raises why there is none."""
        key = new.place.key(new.instance_id or self.ids.new("i"))
        if key in self.taken or key in self.created:
            raise AlreadyExists("instance", _name(key))
        disks = new.disks if new.source_image is None else self._disks_of(new.source_image)
        self.budget.take(new.place, quota_of(disks))
        self.created[key] = Instance(
            key=key,
            display_name=new.display_name or key.id[:_DISPLAY_NAME_LENGTH],
            state=new.state,
            disks=tuple(self._with_id(disk) for disk in disks),
            create_time=self.now,
            source_image_id=new.source_image.id if new.source_image is not None else None,
        )
        if asked.request_id:
            self.made[asked.scope, asked.request_id] = (asked, key)
        return key

    def _disks_of(self, source: Key) -> tuple[Disk, ...]:
        image = self.sources.get(source)
        if image is None:
            raise NotFound("image", IMAGE.format(account=source.account, region=source.region, image=source.id))
        return image.disks_to_make()

    def _with_id(self, disk: Disk) -> Disk:
        return replace(disk, disk_id=self.ids.new("vol")) if disk.kind is DiskKind.CLOUD else disk
