"""Which instances of a batch a policy takes."""

from dataclasses import replace
from typing import Any

from policy_service.domain.association import Association, SystemDisk, decide
from policy_service.domain.errors import AssociationLimit, InstanceNotFound, LocalSystemDisk
from policy_service.domain.policy import Policy, PolicyKey, PolicySpec, new_policy
from policy_service.domain.schedule import Interval, Schedule, Unit
from servicekit.errors import ServiceError
from tests.support import START

KEY = PolicyKey("acme", "cn-north-1", "nightly")
OTHER = PolicyKey("acme", "cn-north-1", "other")


def policy(instance_count: int = 0) -> Policy:
    schedule = Schedule(START, Interval(1, Unit.DAY))
    spec = PolicySpec(display_name="x", description="", schedule=schedule, devices=None, logging=None)
    return replace(new_policy(KEY, "policy-1", spec, enabled=True, now=START), instance_count=instance_count)


def linked(instance_id: str, key: PolicyKey = KEY, policy_uid: str = "policy-1") -> dict[str, Association]:
    return {instance_id: Association("association-1", policy_uid, key, instance_id, START)}


def kinds(refused: dict[str, ServiceError]) -> dict[str, type[Any]]:
    return {instance_id: type(error) for instance_id, error in refused.items()}


def test_each_instance_is_decided_by_itself() -> None:
    found: dict[str, SystemDisk | ServiceError] = {
        "cloud": SystemDisk.CLOUD,
        "local": SystemDisk.LOCAL,
        "diskless": SystemDisk.NONE,
        "gone": InstanceNotFound("gone"),
        "mover": SystemDisk.CLOUD,
    }
    decision = decide(policy(), list(found), found, linked("mover", OTHER, "policy-2"))
    assert decision.link == ["cloud", "diskless", "mover"]
    assert kinds(decision.refuse) == {"local": LocalSystemDisk, "gone": InstanceNotFound}


def test_policy_takes_what_fits_in_order() -> None:
    found: dict[str, SystemDisk | ServiceError] = dict.fromkeys(["c", "local", "b", "a"], SystemDisk.CLOUD)
    found["local"] = SystemDisk.LOCAL
    decision = decide(policy(98), ["local", "c", "b", "a"], found, {})
    assert decision.link == ["c", "b"]
    assert kinds(decision.refuse) == {"local": LocalSystemDisk, "a": AssociationLimit}


def test_instance_that_is_linked_already_takes_no_room_whatever_disk_it_has_now() -> None:
    decision = decide(policy(100), ["web"], {"web": SystemDisk.LOCAL}, linked("web"))
    assert (decision.link, decision.refuse) == ([], {})


def test_instance_that_is_linked_already_does_not_keep_those_after_it_out() -> None:
    found: dict[str, SystemDisk | ServiceError] = dict.fromkeys(["web", "new"], SystemDisk.CLOUD)
    decision = decide(policy(), ["web", "new"], found, linked("web"))
    assert (decision.link, decision.refuse) == (["new"], {})
