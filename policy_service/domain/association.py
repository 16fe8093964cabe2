"""Which instances a policy takes."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from policy_service.domain.errors import AssociationLimit, LocalSystemDisk
from policy_service.domain.policy import Place, Policy, PolicyKey
from servicekit import names
from servicekit.errors import ServiceError

MAX_INSTANCES = 100
"""Instances of a policy (A3)."""


class SystemDisk(enum.Enum):
    """The system disk of an instance; a stopped instance may lack it for a while."""

    CLOUD = enum.auto()
    LOCAL = enum.auto()
    NONE = enum.auto()


@dataclass(frozen=True)
class Instance:
    """An instance as a user picks it."""

    instance_id: str
    display_name: str


@dataclass(frozen=True)
class InstanceFilter:
    """Chooses instances that fit both: with this id, and with this in their display name. Empty fits all (A7)."""

    instance_id: str = ""
    display_name: str = ""


@dataclass(frozen=True)
class Association:
    """The link of an instance to its only policy."""

    uid: str
    policy_uid: str
    policy: PolicyKey
    instance_id: str
    create_time: datetime

    @property
    def instance(self) -> str:
        """The instance's resource name."""
        return instance_name(self.policy.place, self.instance_id)


@dataclass(frozen=True)
class Linked:
    """The instance's association with the policy, and the policy that it was moved from, if any."""

    association: Association
    previous: PolicyKey | None


def instance_name(place: Place, instance_id: str) -> str:
    return names.INSTANCE.format(account=place.account, region=place.region, instance=instance_id)


@dataclass(frozen=True)
class Decision:
    """What becomes of a batch of instances: those to link to the policy, those to refuse; the rest is linked."""

    link: list[str]
    refuse: dict[str, ServiceError]


def decide(
    policy: Policy,
    instance_ids: Sequence[str],
    found: Mapping[str, SystemDisk | ServiceError],
    present: Mapping[str, Association],
) -> Decision:
    """Looks at each instance by itself, in order, until the policy is full (A2, A3, A5, A6).

    `found` is what compute says of each instance, `present` the association that each one has now, if any.
    """
    decision = Decision([], {})
    room = MAX_INSTANCES - policy.instance_count
    for instance_id in instance_ids:
        disk = found[instance_id]
        if isinstance(disk, ServiceError):
            decision.refuse[instance_id] = disk
        elif instance_id in present and present[instance_id].policy_uid == policy.uid:
            continue
        elif disk is SystemDisk.LOCAL:
            decision.refuse[instance_id] = LocalSystemDisk(instance_name(policy.key.place, instance_id))
        elif len(decision.link) == room:
            decision.refuse[instance_id] = AssociationLimit(policy.key.name, MAX_INSTANCES)
        else:
            decision.link.append(instance_id)
    return decision
