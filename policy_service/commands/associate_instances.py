"""Associates instances with a policy."""

from collections.abc import Sequence
from dataclasses import dataclass

from policy_service.commands.dissolve_associations import dissolve_associations
from policy_service.dependencies import Dependencies
from policy_service.domain.association import Association, SystemDisk, decide, instance_name
from policy_service.domain.errors import InstanceNotFound, PolicyNotFound
from policy_service.domain.policy import PolicyKey
from policy_service.store import associations, policies
from policy_service.store.associations import ConcurrentChange
from servicekit.errors import DatabaseUnavailable, ServiceError

_ATTEMPTS = 5


@dataclass(frozen=True)
class Linked:
    """The instance's association with the policy, and the policy that it was moved from, if any."""

    association: Association
    previous: PolicyKey | None


Outcomes = dict[str, Linked | ServiceError]


def associate_instances(deps: Dependencies, key: PolicyKey, instance_ids: Sequence[str]) -> Outcomes:
    """What becomes of each instance of the policy's account and region, by id. Each id is given once.

    Associations of instances that compute does not know are dissolved. Raises PolicyNotFound, Unavailable.
    """
    with deps.database.read() as connection:
        policies.get(connection, key)
        before = associations.of_instances(connection, key.place, instance_ids)
    found = _look_up(deps, key, instance_ids)
    gone = [before[id] for id, disk in found.items() if isinstance(disk, InstanceNotFound) and id in before]
    dissolve_associations(deps, {association.uid: association.policy_uid for association in gone})
    for _ in range(_ATTEMPTS):
        try:
            return _link(deps, key, instance_ids, found)
        except ConcurrentChange:
            continue
    raise DatabaseUnavailable("DATABASE_LOCKED", "others are just associating the same instances")


def _look_up(deps: Dependencies, key: PolicyKey, instance_ids: Sequence[str]) -> dict[str, SystemDisk | ServiceError]:
    names = {id: instance_name(key.place, id) for id in instance_ids}
    found = deps.compute.system_disks(list(names.values()))
    return {id: found[name] for id, name in names.items()}


def _link(
    deps: Dependencies, key: PolicyKey, instance_ids: Sequence[str], found: dict[str, SystemDisk | ServiceError]
) -> Outcomes:
    now = deps.clocks.product.now()
    with deps.database.write() as connection:
        target = policies.get(connection, key)
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
    return {id: decision.refuse.get(id) or _linked(id, added, present) for id in instance_ids}


def _linked(instance_id: str, added: dict[str, Association], present: dict[str, Association]) -> Linked:
    if instance_id not in added:
        return Linked(present[instance_id], None)
    return Linked(added[instance_id], present[instance_id].policy if instance_id in present else None)
