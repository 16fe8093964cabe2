"""`autoimage load` with a running suite."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import suite as suite_package
from autoimage.compute.v1.instance_service_pb2 import DeleteInstanceRequest, ListInstancesRequest
from autoimage.compute.v1.quota_service_pb2 import ListQuotasRequest
from autoimage.log.v1.log_service_pb2 import ListLogSetsRequest
from autoimage.policy.v1.policy_service_pb2 import (
    AssociateInstancesRequest,
    DisablePolicyRequest,
    ListAssociationsRequest,
    ListPoliciesRequest,
)
from servicekit.clock import write_clock
from suite.clients import pages
from suite.services import free_addresses
from tests.support.suite import Suite, clients, load, running_suite

DEMO = Path(suite_package.__file__).parent / "fleets" / "demo.yaml"
ACME = "accounts/acme/regions/cn-north-1"
COUNTS = {"quota": 10, "log set": 3, "log topic": 4, "instance": 40, "policy": 6, "association": 39}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """One for all: each test has accounts of its own."""
    with running_suite(tmp_path_factory.mktemp("suite") / "data") as running:
        yield running


def fleet(tmp_path: Path, account: str, region: str) -> Path:
    """A file with this in a region of the account, from line 5 on."""
    path = tmp_path / f"{account}.yaml"
    inner = "\n".join(f"        {line}" for line in region.strip().splitlines())
    path.write_text(f"accounts:\n  {account}:\n    regions:\n      cn-north-1:\n{inner}\n", "utf-8")
    return path


def counts(output: str) -> dict[str, dict[str, int]]:
    """The numbers of the table, by kind and result."""
    header, *rows = output.splitlines()[: 1 + len(COUNTS)]
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        cells = {header[end - 12 : end].strip(): row[end - 12 : end].strip() for end in range(24, len(header) + 1, 12)}
        found[row[:12].strip()] = {result: int(cell) for result, cell in cells.items() if cell}
    return found


def test_loading_makes_everything_once_and_again_changes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_suite(data) as first:
        done = load(first.addresses, DEMO)
        assert (done.returncode, done.stderr) == (0, "")
        assert counts(done.stdout) == {kind: {"created": count} for kind, count in COUNTS.items()}
        before = everything(first)
        again = load(first.addresses, DEMO)
        assert (again.returncode, again.stderr) == (0, "")
        assert counts(again.stdout) == {kind: {"unchanged": count} for kind, count in COUNTS.items()}
        assert everything(first) == before
    with running_suite(data, addresses=first.addresses) as restarted:
        assert everything(restarted) == before, "it goes on where it was"
        assert load(restarted.addresses, DEMO).stdout == again.stdout
    assert {name: len(found) for name, found in before.items()} == {
        "quotas": 16, "log_sets": 3, "instances": 40, "policies": 6, "associations": 39
    }  # fmt: skip


def everything(suite: Suite) -> dict[str, list[object]]:
    """What there is of the places of the demo's file."""
    found: dict[str, list[object]] = {}
    places = [f"accounts/{a}/regions/{r}" for a in ("acme", "globex") for r in ("cn-north-1", "cn-south-1")]
    with clients(suite) as ask:
        for place in places:
            policies = list(pages(ask.policies.ListPolicies, ListPoliciesRequest(parent=place), "policies"))
            for name, items in {
                "quotas": pages(ask.quotas.ListQuotas, ListQuotasRequest(parent=place), "quotas"),
                "log_sets": pages(ask.logs.ListLogSets, ListLogSetsRequest(parent=place), "log_sets"),
                "instances": pages(ask.instances.ListInstances, ListInstancesRequest(parent=place), "instances"),
                "policies": policies,
                "associations": (
                    association
                    for policy in policies
                    for association in pages(
                        ask.policies.ListAssociations, ListAssociationsRequest(parent=policy.name), "associations"
                    )
                ),
            }.items():
                found.setdefault(name, []).extend(items)
    return found


SMALL = """
quotas: {images: 50}
log_sets: {ops: {topics: {images: {}}}}
instances:
  web-1..3: {disks: {vda: cloud 40}}
policies:
  one: {every: 1 day, disks: [vda, vdb], log: ops/images, instances: [web-1..2],
    start: 02:00}
  two: {start: in 2 hours, every: 2 weeks, state: disabled, instances: [web-3]}
"""


def test_what_someone_changed_stays_and_what_someone_deleted_comes_back(suite: Suite, tmp_path: Path) -> None:
    path, place = fleet(tmp_path, "changed", SMALL), ACME.replace("acme", "changed")
    assert load(suite.addresses, path).returncode == 0
    with clients(suite) as ask:
        one, two = f"{place}/policies/one", f"{place}/policies/two"
        ask.policies.DisablePolicy(DisablePolicyRequest(name=one))
        ask.policies.AssociateInstances(AssociateInstancesRequest(policy=two, instances=[f"{place}/instances/web-2"]))
        ask.instances.DeleteInstance(DeleteInstanceRequest(name=f"{place}/instances/web-3"))
    path.write_text(path.read_text("utf-8").replace("images: 50", "images: 60").replace("2 weeks", "3 weeks"), "utf-8")
    done = load(suite.addresses, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-4:] == [
        f"{path}:5: quota {place}/quotas/images is different, and stays so: limit 50",
        f"{path}:10: policy {one} is different, and stays so: state",
        f"{path}:10: association {one}/associations/web-2 is different, and stays so: is an instance of {two}",
        f"{path}:12: policy {two} is different, and stays so: every",
    ]
    assert counts(done.stdout)["instance"] == {"created": 1, "unchanged": 2}


def assert_nothing(suite: Suite, account: str) -> None:
    place = ACME.replace("acme", account)
    with clients(suite) as ask:
        assert not ask.logs.ListLogSets(ListLogSetsRequest(parent=place)).log_sets
        assert not ask.instances.ListInstances(ListInstancesRequest(parent=place)).instances
        assert not ask.policies.ListPolicies(ListPoliciesRequest(parent=place)).policies


def test_a_wrong_file_gives_every_error_with_its_line_and_writes_nothing(suite: Suite, tmp_path: Path) -> None:
    path = fleet(tmp_path, "wrong", SMALL.replace("cloud 40", "cloud 39").replace("1 day", "1 month"))
    done = load(suite.addresses, path)
    assert done.returncode == 2
    assert [line.split(" must ")[0] for line in done.stderr.splitlines()] == [
        f"{path}:8: disks.vda:",
        f"{path}:10: one.every:",
    ]
    assert_nothing(suite, "wrong")


def test_a_start_in_the_past_is_told_with_its_line_and_nothing_is_written(suite: Suite, tmp_path: Path) -> None:
    path = fleet(tmp_path, "past", SMALL.replace("02:00", "2020-01-01T02:00:00Z"))
    done = load(suite.addresses, path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"{path}:11: one.start: must be 31 minutes to 365 days ahead of product time, which is "
    )
    assert_nothing(suite, "past")


def test_starts_are_counted_from_the_product_time_of_the_suite(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_clock(data / "clock", datetime(2040, 5, 6, 1, 0, tzinfo=UTC))
    with running_suite(data, "--clock", "stepped") as stepped:
        done = load(stepped.addresses, fleet(tmp_path, "acme", SMALL))
        assert (done.returncode, done.stderr) == (0, "")
        with clients(stepped) as ask:
            policies = ask.policies.ListPolicies(ListPoliciesRequest(parent=ACME)).policies
    starts = {policy.schedule.start_time.ToDatetime(UTC) for policy in policies}
    assert starts == {datetime(2040, 5, 6, 2, 0, tzinfo=UTC), datetime(2040, 5, 6, 3, 0, tzinfo=UTC)}


def test_a_region_that_is_not_served_is_told_with_its_line(suite: Suite, tmp_path: Path) -> None:
    path = fleet(tmp_path, "mars", SMALL)
    path.write_text(path.read_text("utf-8").replace("cn-north-1", "mars"), "utf-8")
    done = load(suite.addresses, path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}:4: accounts/mars/regions/mars: ")
    assert "region mars is not served here" in done.stderr


def test_what_cannot_be_made_is_told_and_the_rest_is_made(suite: Suite, tmp_path: Path) -> None:
    path = fleet(tmp_path, "crowded", SMALL.replace("images: 50", "instances: 1"))
    place = ACME.replace("acme", "crowded")
    done = load(suite.addresses, path)
    assert (done.returncode, done.stderr) == (1, "")
    assert counts(done.stdout)["instance"] == {"created": 1, "failed": 2}
    assert counts(done.stdout)["association"] == {"created": 1, "failed": 2}
    assert f"{path}:8: instance {place}/instances/web-2 could not be made: " in done.stdout


def test_without_a_running_suite_loading_says_so(tmp_path: Path) -> None:
    done = load(free_addresses(), DEMO)
    assert done.returncode == 2
    assert done.stderr.startswith("no answer; is the suite running? (")
    assert len(done.stderr.splitlines()) == 1
