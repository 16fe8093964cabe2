"""AssociateInstances with a request id: what is done once stays done once, and what failed is tried again."""

from datetime import timedelta

from autoimage.policy.v1.policy_service_pb2 import AssociateInstanceResult
from servicekit.errors import Code, Unavailable
from servicekit.status import from_status
from tests.support import at_once, error_of
from tests.support.policy_service import LOCAL, PolicyService, instance_name, policy_name

REQUEST = "11111111-2222-4333-8444-55555555555a"
WEB, DATABASE = instance_name("web"), instance_name("db")


def associate(service: PolicyService, *names: str, request_id: str = REQUEST) -> list[AssociateInstanceResult]:
    return service.associate(*names, request_id=request_id)


def test_repeat_answers_the_same_also_when_instances_have_moved_on(service: PolicyService) -> None:
    service.create("other")
    service.link("web", policy_id="other")
    service.create()
    service.link("db")
    first = associate(service, WEB, DATABASE)
    assert [result.previous_policy for result in first] == [policy_name("other"), ""]
    service.associate(WEB, policy_id="other")
    service.disassociate(DATABASE)
    service.compute.instances.clear()
    service.time.product.advance(timedelta(hours=24, microseconds=-1))
    assert associate(service, WEB, DATABASE, request_id=REQUEST.upper()) == first
    assert (service.linked(), service.linked("other")) == ([], ["web"])
    assert len(service.compute.requests) == 4


def test_request_is_forgotten_after_24_hours(service: PolicyService) -> None:
    service.create()
    service.link("web")
    before = associate(service, WEB)
    service.disassociate(WEB)
    service.time.product.advance(timedelta(hours=24))
    assert associate(service, WEB) != before
    assert service.linked() == ["web"]


def test_repeat_tries_those_again_that_failed(service: PolicyService) -> None:
    service.create()
    service.compute.add(WEB)
    service.compute.add(DATABASE, system_disk=LOCAL)
    service.compute.item_errors[instance_name("shaky")] = Unavailable("OVERLOADED")
    names = [DATABASE, WEB, instance_name("shaky"), "nonsense"]
    first = associate(service, *names)
    refused = [from_status(result.error).reason for result in first if result.HasField("error")]
    assert refused == ["LOCAL_SYSTEM_DISK", "OVERLOADED", "INVALID_ARGUMENT"]
    service.compute.item_errors.clear()
    service.compute.add(DATABASE, instance_name("shaky"))
    second = associate(service, *names)
    assert second[1] == first[1]
    assert [result.HasField("error") for result in second] == [False, False, False, True]
    assert service.linked() == ["db", "shaky", "web"]
    assert associate(service, *names) == second
    assert [list(request.names) for request in service.compute.requests] == [
        [DATABASE, WEB, instance_name("shaky")],
        [DATABASE, instance_name("shaky")],
    ]


def test_same_id_with_another_body_is_refused_and_nothing_linked(service: PolicyService) -> None:
    service.create()
    service.compute.add(WEB, DATABASE)
    associate(service, WEB)
    for names in ([DATABASE], [WEB, DATABASE], [DATABASE, WEB]):
        error = error_of(associate, service, *names)
        assert (error.code, error.reason) == (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert service.linked() == ["web"]


def test_body_is_held_against_the_id_also_if_all_of_it_failed(service: PolicyService) -> None:
    service.create()
    service.compute.add(DATABASE)
    associate(service, WEB)
    assert error_of(associate, service, DATABASE).reason == "REQUEST_ID_REUSED"
    assert service.linked() == []


def test_id_may_be_used_for_each_policy_and_again_for_one_that_was_made_anew(service: PolicyService) -> None:
    service.create()
    service.create("other")
    service.link("web")
    before = associate(service, WEB)
    (moved,) = service.associate(WEB, policy_id="other", request_id=REQUEST)
    assert moved.previous_policy == policy_name("nightly")
    service.delete()
    assert error_of(associate, service, WEB).code == Code.NOT_FOUND
    service.create()
    assert associate(service, WEB) != before
    assert service.linked() == ["web"]


def test_same_request_many_times_at_once_is_done_once(service: PolicyService) -> None:
    service.create()
    service.compute.add(WEB, DATABASE)
    answers = at_once([lambda: associate(service, WEB, DATABASE) for _ in range(16)])
    assert all(answer == answers[0] for answer in answers)
    assert service.linked() == ["db", "web"]
