"""`autoimage verify` with a real suite: what it says after two days and an outage, and of what is broken afterwards."""

import json
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from autoimage.compute.v1.image_service_pb2 import DeleteImageRequest
from autoimage.scheduler.v1.execution_pb2 import Execution, ImageTask
from servicekit.clock import write_clock
from suite.cli import main
from suite.services import free_addresses
from tests.support.product import HOUR, START, Product, running_product
from tests.support.suite import command, ports

PLACE = "accounts/acme/regions/cn-north-1"
FROM = ("--from", "2030-01-07T00:00:00Z")
SPAN = f"{PLACE} from 2030-01-07T00:00:00+00:00 to 2030-01-09T00:00:00+00:00"


class Verify:
    """The command, for one suite: its exit code, and the lines that it prints."""

    def __init__(self, addresses: Mapping[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        self._command = ["verify", "--ports", ports(addresses), PLACE]
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, list[str]]:
        self._capsys.readouterr()
        code = main([*self._command, *arguments])
        printed = self._capsys.readouterr()
        return code, (printed.out + printed.err).splitlines()


def two_days(data: Path, addresses: Mapping[str, str]) -> str:
    """Points at 1:00 and 13:00 of both days; at the second and third the suite is not there. The policy."""
    with running_product(data, addresses) as (clients, clock):
        product = Product(clients, clock, "acme")
        policy = product.twice_a_day("i-1", "i-2")
        product.live_to(START + 1 * HOUR)
    write_clock(clock, START + 26 * HOUR)
    with running_product(data, addresses) as (clients, clock):
        Product(clients, clock, "acme").live_to(START + 26 * HOUR, START + 37 * HOUR, START + 48 * HOUR)
    return policy


def lose_execution(data: Path, execution: str) -> None:
    """Behind the back of a scheduler that does not run."""
    with closing(sqlite3.connect(data / "scheduler_service.db")) as database, database:
        chosen = "(SELECT uid FROM executions WHERE execution_id = ?)"
        id = [execution.rpartition("/")[2]]
        assert database.execute(f"DELETE FROM image_tasks WHERE execution_uid = {chosen}", id).rowcount == 2
        assert database.execute(f"DELETE FROM executions WHERE uid = {chosen}", id).rowcount == 1


def outcomes(product: Product, policy: str) -> list[tuple[Execution, list[ImageTask]]]:
    """Oldest first."""
    return [(execution, product.tasks(execution.name)) for execution in reversed(product.executions(policy))]


@pytest.mark.timeout(600)
def test_verify_tells_the_truth_of_two_days_with_an_outage_and_of_what_is_broken_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses = free_addresses()
    verify = Verify(addresses, capsys)
    policy = two_days(tmp_path, addresses)

    with running_product(tmp_path, addresses) as (clients, clock):
        (first, (task, _)), (missed, _), (late, _), (lost, lost_tasks) = outcomes(
            Product(clients, clock, "acme"), policy
        )
        kinds = [first.kind, missed.kind, late.kind, lost.kind]
        assert kinds == [
            Execution.KIND_SCHEDULED,
            Execution.KIND_MISSED,
            Execution.KIND_CATCH_UP,
            Execution.KIND_SCHEDULED,
        ]
        process = subprocess.run(
            command("verify", addresses, PLACE, *FROM), capture_output=True, text=True, check=False
        )
        all_is_well = f"OK: {SPAN}: every point has its outcome"
        assert (process.returncode, process.stdout, process.stderr) == (0, f"{all_is_well}\n", "")

        clients.images.DeleteImage(DeleteImageRequest(name=task.image))
        gone = f"gone      {task.name}: its image {task.image} was deleted, and not by retention"
        assert verify(*FROM) == (0, [gone, f"OK: {SPAN}: 1 gone"])

    lose_execution(tmp_path, lost.name)
    with running_product(tmp_path, addresses):
        time = "2030-01-08T13:00:00Z"
        wrong = [
            f"missing   {policy}: {time} was triggered at {time}, and has no execution",
            *sorted(f"orphaned  {one.image}: its execution {lost.name} is not there" for one in lost_tasks),
        ]
        assert verify(*FROM) == (1, [*wrong, gone, f"NOT OK: {SPAN}: 1 missing, 2 orphaned, 1 gone"])
        code, lines = verify("--json")
        told = json.loads("\n".join(lines))
        found = sorted((one["trouble"], one["resource"]) for one in told.pop("findings"))
        assert (code, told) == (
            1,
            {"start": "2030-01-08T00:00:00+00:00", "end": "2030-01-09T00:00:00+00:00", "ok": False},
        ), "by default the last day"
        assert found == [("missing", policy), *sorted(("orphaned", one.image) for one in lost_tasks)]
        assert verify("--to", "2030-01-08T13:00:00Z") == (
            0,
            [f"OK: {PLACE} from 2030-01-07T13:00:00+00:00 to 2030-01-08T13:00:00+00:00: every point has its outcome"],
        )
        empty = ("--from", "2030-01-08T00:00:00Z", "--to", "2030-01-08T00:00:00Z")
        assert verify(*empty) == (2, ["the period must end after it starts, at 2030-01-08T00:00:00+00:00"])
        early = ("--from", "2028-12-05T23:59:59Z")
        assert verify(*early) == (2, ["the history goes back 399 days only, to 2028-12-06T00:00:00+00:00"])

    code, (line,) = verify(*FROM)
    assert (code, line.partition(":")[0]) == (2, "cannot verify")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["accounts/acme"],
        [PLACE, f"{PLACE}/policies/p"],
        [PLACE, "--from", "yesterday"],
        [PLACE, "--from", "2030-01-07T00:00:00"],
        [PLACE, "--to", "2030-02-30T00:00:00Z"],
    ],
)
def test_bad_places_and_times_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["verify", *arguments])
    assert ended.value.code == 2
    assert "usage: autoimage verify" in capsys.readouterr().err
