"""Associating and disassociating: what is refused as a whole, and what happens when many do it at once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from autoimage.policy.v1.policy_service_pb2 import ListAssociationsRequest
from policy_service.domain.policy import Place
from policy_service.store import associations, policies
from policy_service.store.associations import ConcurrentChange
from servicekit.errors import Code, Unavailable
from tests.support import error_of
from tests.support.policy_service import PLACE, POLICY, PolicyService, instance_name, policy_name

UNKNOWN = [policy_name("unknown"), policy_name("nightly", "accounts/other/regions/cn-north-1")]


@pytest.mark.parametrize("call", ["associate", "disassociate"])
def test_unknown_policy_is_not_found_and_compute_not_asked(service: PolicyService, call: str) -> None:
    service.create()
    service.compute.add(instance_name("web"))
    error = error_of(getattr(service, call), instance_name("web"), policy_id="unknown")
    assert (error.code, error.reason, error.metadata["name"]) == (Code.NOT_FOUND, "RESOURCE_NOT_FOUND", UNKNOWN[0])
    assert service.compute.requests == []


def test_associations_of_an_unknown_policy_are_not_found(service: PolicyService) -> None:
    for name in UNKNOWN:
        error = error_of(service.policies.ListAssociations, ListAssociationsRequest(parent=name))
        assert (error.code, error.metadata["name"]) == (Code.NOT_FOUND, name)


def test_nothing_is_associated_while_compute_is_away(service: PolicyService) -> None:
    service.create()
    service.compute.add(instance_name("web"))
    service.compute.error = Unavailable("OVERLOADED", retry_after=timedelta(seconds=3))
    error = error_of(service.associate, instance_name("web"))
    assert (error.code, error.reason, error.retry_after) == (Code.UNAVAILABLE, "OVERLOADED", timedelta(seconds=3))
    assert service.linked() == []


def test_compute_is_asked_once_for_a_batch_and_only_for_instances_of_the_place(service: PolicyService) -> None:
    service.create()
    names = [instance_name("a"), "nonsense", instance_name("b")]
    service.compute.add(*names)
    service.associate(*names)
    (request,) = service.compute.requests
    assert list(request.names) == [names[0], names[2]]


def test_policy_deleted_while_compute_is_asked_is_not_found(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create()
    look_up = service.deps.compute.system_disks

    def delete_first(names: list[str]) -> object:
        service.delete()
        return look_up(names)

    monkeypatch.setattr(service.deps.compute, "system_disks", delete_first)
    service.compute.add(instance_name("web"))
    error = error_of(service.associate, instance_name("web"))
    assert (error.code, error.metadata["name"]) == (Code.NOT_FOUND, POLICY)


def test_transaction_is_begun_anew_when_somebody_else_links_the_instance_meanwhile(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create()
    failures = iter([ConcurrentChange(), ConcurrentChange()])
    link = associations.link

    def sometimes(*arguments: object) -> None:
        if (failure := next(failures, None)) is not None:
            raise failure
        link(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(associations, "link", sometimes)
    service.link("web")
    assert service.linked() == ["web"]


def test_endless_trouble_with_others_is_unavailable(service: PolicyService, monkeypatch: pytest.MonkeyPatch) -> None:
    service.create()

    def always(*_: object) -> None:
        raise ConcurrentChange

    monkeypatch.setattr(associations, "link", always)
    service.compute.add(instance_name("web"))
    error = error_of(service.associate, instance_name("web"))
    assert (error.code, error.reason, error.retry_after is not None) == (Code.UNAVAILABLE, "DATABASE_LOCKED", True)
    assert service.linked() == []


def test_transaction_is_begun_anew_when_an_instance_moved_before_its_policy_was_locked(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create()
    service.create("other")
    service.link("web", policy_id="other")
    of_instances = associations.of_instances
    calls: list[Place] = []

    def blind_at_first(connection: object, place: Place, instance_ids: list[str]) -> object:
        calls.append(place)
        # 1 looks before compute is asked, 2 before the locks: there it seems to have no policy yet
        return {} if len(calls) == 2 else of_instances(connection, place, instance_ids)  # type: ignore[arg-type]

    monkeypatch.setattr(associations, "of_instances", blind_at_first)
    (result,) = service.associate(instance_name("web"))
    assert (result.previous_policy, len(calls)) == (policy_name("other"), 5)
    assert (service.linked(), service.linked("other")) == (["web"], [])


def test_many_callers_at_once_never_pass_the_limit_nor_link_an_instance_twice(service: PolicyService) -> None:
    for policy_id in ("nightly", "other"):
        service.create(policy_id)
    names = [instance_name(f"web-{number:03}") for number in range(150)]
    service.compute.add(*names)
    start = threading.Barrier(8)

    def associate(caller: int) -> None:
        start.wait()
        for piece in range(0, 150, 50):
            policy_id = ("nightly", "other")[(caller + piece // 50) % 2]
            service.associate(*names[piece : piece + 50], policy_id=policy_id)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(associate, caller) for caller in range(8)]:
            done.result()
    linked = [*service.linked(), *service.linked("other")]
    assert len(linked) == len(set(linked)) <= 150
    assert max(len(service.linked()), len(service.linked("other"))) <= 100
    with service.deps.database.read() as connection:
        assert len(associations.after(connection, "", 1000)) == len(linked)
        assert policies.next_due(connection) is not None
    assert service.get().name.startswith(PLACE)
