"""Rule P17: while the product is by invitation only, other accounts change nothing."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.message import Message
from structlog.typing import EventDict

from autoimage.policy.v1 import policy_service_pb2 as users
from autoimage.policy.v1.policy_pb2 import Policy, PolicyLimit
from policy_service.invitations import Invitations
from policy_service.main import compose
from policy_service.settings import Settings
from servicekit.config import ConfigError
from servicekit.errors import Code
from tests.support import error_of
from tests.support.policy_service import (
    FIRST,
    PLACE,
    PolicyService,
    instance_name,
    policy,
    policy_name,
    running_policy_service,
)

OTHER = "accounts/other/regions/cn-north-1"
CONTACT = "write to clouds@example.com"


@pytest.fixture
def invited(tmp_path: Path) -> Path:
    """The file, with one account."""
    path = tmp_path / "invited"
    path.write_text("# early birds\n\n  acme  # since 2026\n", "utf-8")
    return path


@pytest.fixture
def service(tmp_path: Path, invited: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path, admit=Invitations(invited, CONTACT).admit) as running:
        yield running


def changes(place: str) -> list[Message]:
    """A well-formed request of each method that changes something."""
    name = policy_name("nightly", place)
    instances = [instance_name("web", place)]
    return [
        users.CreatePolicyRequest(parent=place, policy_id="another", policy=policy()),
        users.UpdatePolicyRequest(policy=Policy(name=name, description="new")),
        users.EnablePolicyRequest(name=name),
        users.ExecutePolicyRequest(name=name),
        users.DisablePolicyRequest(name=name),
        users.AssociateInstancesRequest(policy=name, instances=instances),
        users.DisassociateInstancesRequest(policy=name, instances=instances),
        users.DisassociateInstancesRequest(policy=policy_name("-", place), instances=instances),
        users.ReplicatePolicyRequest(name=name, targets=[users.ReplicationTarget(region="cn-south-1")]),
        users.UpdatePolicyLimitRequest(policy_limit=PolicyLimit(name=f"{place}/policyLimit", limit=1)),
        users.DeletePolicyRequest(name=name),
    ]


def reads(place: str) -> list[Message]:
    name = policy_name("nightly", place)
    return [
        users.GetPolicyRequest(name=name),
        users.ListPoliciesRequest(parent=place),
        users.PreviewScheduleRequest(parent=place, policy=name),
        users.ListAssociationsRequest(parent=name),
        users.ListAssociableInstancesRequest(parent=place),
        users.ListScheduleEventsRequest(parent=name),
        users.GetPolicyLimitRequest(name=f"{place}/policyLimit"),
    ]


def method_of(request: Message) -> str:
    return request.DESCRIPTOR.name.removesuffix("Request")


def call(service: PolicyService, request: Message) -> object:
    return getattr(service.policies, method_of(request))(request)


def assert_refused(service: PolicyService, request: Message) -> None:
    error = error_of(call, service, request)
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "NOT_INVITED"), method_of(request)
    assert error.metadata == {"account": "other", "contact": CONTACT}
    assert error.message.endswith(f"to apply, {CONTACT}")


@pytest.mark.rule("P17")
def test_invited_account_does_everything(service: PolicyService) -> None:
    service.create()
    service.compute.add(instance_name("web"))
    for request in changes(PLACE):
        call(service, request)


@pytest.mark.rule("P17")
def test_other_account_changes_nothing_and_is_told_how_to_apply(service: PolicyService, invited: Path) -> None:
    invited.write_text("acme\nother\n", "utf-8")
    before = service.create(parent=OTHER)
    invited.write_text("acme\n", "utf-8")
    for request in changes(OTHER):
        assert_refused(service, request)
    assert list(service.policies.ListPolicies(users.ListPoliciesRequest(parent=OTHER)).policies) == [before]


def test_all_methods_are_tried_here() -> None:
    methods = set(users.DESCRIPTOR.services_by_name["PolicyService"].methods_by_name)
    assert methods == {method_of(request) for request in changes(PLACE) + reads(PLACE)}


@pytest.mark.rule("P17")
def test_other_account_reads_and_what_runs_goes_on(service: PolicyService, invited: Path) -> None:
    invited.write_text("other\n", "utf-8")
    service.create(parent=OTHER)
    invited.write_text("acme\n", "utf-8")
    for request in reads(OTHER):
        call(service, request)
    service.time.product.set(FIRST)
    (trigger,) = service.lease().triggers
    assert trigger.policy == policy_name("nightly", OTHER)
    service.ack(trigger)


@pytest.mark.rule("P17")
def test_malformed_request_is_told_what_is_wrong_with_it_first(service: PolicyService) -> None:
    request = users.CreatePolicyRequest(parent=OTHER, policy=Policy())
    assert error_of(call, service, request).code == Code.INVALID_ARGUMENT


@pytest.mark.rule("P17")
def test_list_is_read_again_when_it_changes(service: PolicyService, invited: Path, logged: list[EventDict]) -> None:
    request = changes(OTHER)[0]
    assert_refused(service, request)
    replacement = invited.with_suffix(".new")
    replacement.write_text("other\n", "utf-8")
    replacement.rename(invited)
    call(service, request)
    assert error_of(service.create).reason == "NOT_INVITED"
    assert [line["accounts"] for line in logged if line["event"] == "invitations_read"] == [1]


def _remove(path: Path) -> None:
    path.unlink()


def _garble(path: Path) -> None:
    path.write_text("other\nnot an account\n", "utf-8")


def _encode(path: Path) -> None:
    path.write_bytes(b"other\n\xff\n")


@pytest.mark.rule("P17")
@pytest.mark.parametrize("spoil", [_remove, _garble, _encode])
def test_list_of_before_holds_while_the_file_cannot_be_read(
    service: PolicyService, invited: Path, spoil: Callable[[Path], None], logged: list[EventDict]
) -> None:
    spoil(invited)
    service.create("one")
    service.create("two")
    assert_refused(service, changes(OTHER)[0])
    told = [line for line in logged if line["event"] == "invitations_unreadable"]
    assert [(line["log_level"], line["path"]) for line in told] == [("error", str(invited))]
    invited.write_text("other\n", "utf-8")
    call(service, changes(OTHER)[0])


@pytest.mark.rule("P17")
@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("", "must be given while POLICY_SERVICE_INVITE_ONLY is on"),
        ("{folder}/missing", "{folder}/missing can't be read: "),
        ("{folder}", "{folder} can't be read: "),
        ("{folder}/garbled", "{folder}/garbled can't be read: line 2: 'UPPER' is not the id of an account"),
    ],
)
def test_service_without_a_list_that_can_be_read_does_not_start(tmp_path: Path, file: str, problem: str) -> None:
    (tmp_path / "garbled").write_text("acme\nUPPER\n", "utf-8")
    settings = Settings(invite_only=True, invited_accounts_file=file.format(folder=tmp_path))
    with pytest.raises(ConfigError) as told:
        compose(settings)
    (text,) = told.value.problems
    assert text.startswith(f"POLICY_SERVICE_INVITED_ACCOUNTS_FILE: {problem.format(folder=tmp_path)}")


@pytest.mark.rule("P17")
def test_start_that_fails_tells_why_in_one_line(tmp_path: Path) -> None:
    environ = {"POLICY_SERVICE_INVITE_ONLY": "on", "POLICY_SERVICE_INVITED_ACCOUNTS_FILE": f"{tmp_path}/missing"}
    command = [sys.executable, "-m", "policy_service"]
    ended = subprocess.run(command, env=environ, capture_output=True, encoding="utf-8", timeout=60, check=False)
    (line,) = ended.stderr.splitlines()
    told = f"policy_service: POLICY_SERVICE_INVITED_ACCOUNTS_FILE: {tmp_path}/missing can't be read: "
    assert (ended.returncode, line.startswith(told)) == (2, True)


@pytest.mark.rule("P17")
def test_without_the_setting_every_account_is_served(tmp_path: Path) -> None:
    with running_policy_service(tmp_path) as open_to_all:
        open_to_all.create(parent=OTHER)
