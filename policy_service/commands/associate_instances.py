"""Associates instances with a policy."""

from collections.abc import Sequence
from functools import partial

from policy_service.commands.association_answers import answers, remember_answers
from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.dependencies import Dependencies
from policy_service.domain.association import Association, Linked, SystemDisk, decide, instance_name
from policy_service.domain.errors import InstanceNotFound, PolicyNotFound
from policy_service.domain.policy import PolicyKey
from policy_service.store import associations, policies
from policy_service.store.associations import ConcurrentChange
from servicekit.errors import DatabaseUnavailable, ServiceError
from servicekit.idempotency import Idempotency
from servicekit.retries import retried

_ATTEMPTS = 5


Outcomes = dict[str, Linked | ServiceError]


def associate_instances(
    deps: Dependencies, key: PolicyKey, instance_ids: Sequence[str], asked: Idempotency
) -> Outcomes:
    """What becomes of each instance of the policy's account and region, by id. Each id is given once.

    If the same was asked before, the associations that were made then; what failed then is tried again. Associations of
    instances that compute does not know are dissolved. Raises PolicyNotFound, RequestIdReused, Unavailable.
    """
    with deps.database.read() as connection:
        policy = policies.get(connection, key)
        done = answers(connection, asked, policy, instance_ids, deps.clocks.product.now())
        left = [id for id in instance_ids if id not in done]
        before = associations.of_instances(connection, key.place, left)
    found = _look_up(deps, key, left)
    gone = [before[id] for id, disk in found.items() if isinstance(disk, InstanceNotFound) and id in before]
    dissolve_associations(deps, {association.uid: association.policy_uid for association in gone})
    for _ in range(_ATTEMPTS):
        try:
            return done | retried(partial(_link, deps, key, found, asked))
        except ConcurrentChange:
            continue
    raise DatabaseUnavailable("DATABASE_LOCKED", "others are just associating the same instances")


def _look_up(deps: Dependencies, key: PolicyKey, instance_ids: Sequence[str]) -> dict[str, SystemDisk | ServiceError]:
    names = {id: instance_name(key.place, id) for id in instance_ids}
    found = deps.compute.system_disks(list(names.values()))
    return {id: found[name] for id, name in names.items()}


def _link(
    deps: Dependencies, key: PolicyKey, found: dict[str, SystemDisk | ServiceError], asked: Idempotency
) -> Outcomes:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        target = policies.get(connection, key)
        done = answers(connection, asked, target, list(found), now)
        instance_ids = [id for id in found if id not in done]
        seen = associations.of_instances(connection, key.place, instance_ids)
        locked = policies.lock(connection, {target.uid, *(association.policy_uid for association in seen.values())})
        if target.uid not in locked:
            raise PolicyNotFound(key.name)
        present = associations.of_instances(connection, key.place, instance_ids)
        if not locked.keys() >= {association.policy_uid for association in present.values()}:
            raise ConcurrentChange
        decision = decide(locked[target.uid], instance_ids, found, present)
        added = {id: Association(deps.ids.uid(), target.uid, key, id, now) for id in decision.link}
        associations.unlink(connection, [present[id] for id in decision.link if id in present])
        associations.link(connection, added.values())
        linked = {id: _linked(id, added, present) for id in instance_ids if id not in decision.refuse}
        remember_answers(connection, asked, target, linked, now)
    return done | linked | decision.refuse


def _linked(instance_id: str, added: dict[str, Association], present: dict[str, Association]) -> Linked:
    if instance_id not in added:
        return Linked(present[instance_id], None)
    return Linked(added[instance_id], present[instance_id].policy if instance_id in present else None)
