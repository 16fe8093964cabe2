"""Copies of a suite's databases, put back: nothing is built twice, the suite goes on, verify tells what was lost."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from autoimage.policy.v1.policy_pb2 import Logging
from autoimage.scheduler.v1.execution_pb2 import Execution
from autoimage.type.v1.retention_pb2 import Retention
from servicekit.clock import write_clock
from servicekit.timestamps import from_proto
from suite.cli import main
from suite.clients import SERVICES, Clients
from suite.verify.check import findings
from suite.verify.facts import Period, read_facts
from tests.chaos.cluster import Cluster, running_cluster
from tests.support.postgresql import Server
from tests.support.product import HOUR, START, Product, running_product

pytestmark = pytest.mark.timeout(600)
COPIED = START + 1 * HOUR
"""A point whose images are being built when the copy is made."""
LOST = (START + 13 * HOUR, START + 25 * HOUR)
"""Points after the copy, which the suite was there for; what is restored knows nothing of them."""
AGAIN = START + 26 * HOUR
"""When the suite is started with what was restored."""
LATER = (START + 37 * HOUR, START + 49 * HOUR)
MISSED, CAUGHT_UP = LOST
"""What becomes of them if nothing is left that tells otherwise."""


@dataclass
class History:
    """A suite that ended at its third point, a copy that was made at its first, and what was there in between."""

    data: Path
    copy: Path
    policy: str
    executions: dict[datetime, str] = field(default_factory=dict)
    """By scheduled time."""
    tasks: dict[str, str] = field(default_factory=dict)
    """Of the points that are lost: the image of each."""


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("history")
    data, copy = folder / "data", folder / "copy"
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        policy = product.twice_a_day("i-1", "i-2", logging=Logging(log_topic=product.topic()))
        product.go_to(COPIED)
        assert main(["backup", "--data", str(data), str(copy)]) == 0
        product.finish_builds()
        product.live_to(*LOST)
        found = History(data, copy, policy)
        for execution in product.executions(policy):
            time = moment_of(execution)
            found.executions[time] = execution.name
            if time in LOST:
                found.tasks |= {task.name: task.image for task in product.tasks(execution.name)}
    write_clock(clock, AGAIN)
    return found


@contextmanager
def with_older(history: History, folder: Path, service: str) -> Iterator[Product]:
    """The suite of the history goes on with the copy of one of its databases; whichever, nothing is there twice."""
    data = folder / "data"
    shutil.copytree(history.data, data)
    assert main(["restore", "--data", str(data), str(history.copy), "--only", service]) == 0
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        product.live_to(AGAIN, *LATER)
        assert_nothing_is_built_twice(product)
        assert_it_goes_on(product, history.policy)
        assert_each_is_logged_once(product, history.policy)
        yield product


def moment_of(execution: Execution) -> datetime:
    return from_proto(execution.scheduled_time)


def outcomes(product: Product, policy: str) -> list[tuple[datetime, str]]:
    """When, and what it was; oldest first."""
    return sorted(
        (moment_of(execution), Execution.Kind.Name(execution.kind).removeprefix("KIND_"))
        for execution in product.executions(policy)
    )


def told(product: Product) -> Counter[tuple[str, str]]:
    """What `autoimage verify` tells of the whole time."""
    period = Period(START, product.now)
    found = findings(read_facts(product.clients, product.place(), period), period)
    return Counter((finding.trouble.value, finding.resource) for finding in found)


def assert_nothing_is_built_twice(product: Product) -> None:
    """At most one image of a scheduled time and an instance."""
    built = Counter((image.labels["scheduled-time"], image.source_instance) for image in product.images())
    assert built
    assert set(built.values()) == {1}


def assert_it_goes_on(product: Product, policy: str) -> None:
    """The later points have their images, and those are logged."""
    for execution in product.executions(policy)[: len(LATER)]:
        assert (moment_of(execution) in LATER, execution.state) == (True, Execution.STATE_SUCCEEDED)
        images = {task.image for task in product.tasks(execution.name)}
        assert len(images) == execution.task_counts.total > 0
        assert images <= {image.name for image in product.images()}


def assert_each_is_logged_once(product: Product, policy: str) -> None:
    entries = product.entries(f"{product.place()}/logSets/ops/logTopics/images")
    assert set(Counter((entry.execution, entry.event, entry.instance) for entry in entries).values()) == {1}
    later = [execution.name for execution in product.executions(policy) if moment_of(execution) in LATER]
    assert Counter(entry.execution for entry in entries if entry.execution in later) == dict.fromkeys(later, 6)


def test_an_older_policy_service_has_its_points_run_once_and_calls_missed_what_it_does_not_know(
    history: History, tmp_path: Path
) -> None:
    with with_older(history, tmp_path, "policy_service") as product:
        assert outcomes(product, history.policy) == [
            (COPIED, "SCHEDULED"),
            (MISSED, "MISSED"),
            (MISSED, "SCHEDULED"),
            (CAUGHT_UP, "SCHEDULED"),
            *((point, "SCHEDULED") for point in LATER),
        ]
        assert told(product) == {("orphaned", history.executions[MISSED]): 1}


def test_an_older_scheduler_does_not_know_executions_whose_images_are_told_as_orphaned(
    history: History, tmp_path: Path
) -> None:
    with with_older(history, tmp_path, "scheduler_service") as product:
        assert outcomes(product, history.policy) == [(point, "SCHEDULED") for point in (COPIED, *LATER)]
        orphaned = {("orphaned", image): 1 for image in history.tasks.values()}
        assert told(product) == {("missing", history.policy): len(LOST), **orphaned}


def test_images_that_an_older_compute_does_not_have_are_told_as_gone(history: History, tmp_path: Path) -> None:
    with with_older(history, tmp_path, "compute_sim") as product:
        assert told(product) == {("gone", task): 1 for task in history.tasks}


def test_images_that_retention_deleted_are_told_when_an_older_compute_has_them_again(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        policy = product.twice_a_day("i-1", retention=Retention(keep_last=1))
        product.live_to(COPIED)
        (deleted,) = product.images()
        assert main(["backup", "--data", str(data), str(copy)]) == 0
        product.live_to(LOST[0])
        (kept,) = product.images()
        (lost,) = product.tasks(product.executions(policy)[0].name)
        assert lost.image == kept.name != deleted.name
    assert main(["restore", "--data", str(data), str(copy), "--only", "compute_sim"]) == 0
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        product.live_to(product.now + HOUR)
        assert told(product) == {("orphaned", deleted.name): 1, ("gone", lost.name): 1}


def test_an_older_log_service_lacks_entries_and_nothing_else(history: History, tmp_path: Path) -> None:
    with with_older(history, tmp_path, "log_service") as product:
        assert told(product) == {}


class _Crowd:
    """Users who make instances and give them to a policy, one after the other, within a block."""

    def __init__(self, product: Product, policy: str) -> None:
        self._product = product
        self._policy = policy
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)
        self.made = 0

    def __enter__(self) -> None:
        self._thread.start()
        assert self._begun.wait(60)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._ended.is_set() and self.made < 90:  # a policy takes 100
            self._product.associate(self._policy, self._product.instance(f"crowd-{self.made}"))
            self.made += 1
            self._begun.set()


def assert_all_goes_on_as_after_an_outage(product: Product, policy: str) -> None:
    """Nobody knows what happened since the copy: those points were missed, and the newest of them is made up for."""
    product.live_to(AGAIN, *LATER)
    assert_nothing_is_built_twice(product)
    assert_it_goes_on(product, policy)
    assert outcomes(product, policy) == [
        (COPIED, "SCHEDULED"),
        (MISSED, "MISSED"),
        (CAUGHT_UP, "CATCH_UP"),
        *((point, "SCHEDULED") for point in LATER),
    ]
    assert told(product) == {}


def test_a_suite_goes_on_from_a_copy_that_was_made_while_it_worked(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        policy = product.twice_a_day("i-1", "i-2")
        crowd = _Crowd(product, policy)
        product.go_to(COPIED)
        with crowd:
            assert main(["backup", "--data", str(data), str(copy)]) == 0
        product.finish_builds()
        product.live_to(*LOST)
    assert main(["restore", "--data", str(data), str(copy)]) == 0
    write_clock(clock, AGAIN)
    with running_product(data) as (clients, clock):
        product = Product(clients, clock, "acme")
        assert_all_goes_on_as_after_an_outage(product, policy)
        assert 2 < len(product.associated(policy)) <= 2 + crowd.made


@contextmanager
def _on_postgresql(folder: Path, server: Server) -> Iterator[tuple[Cluster, Product]]:
    write_clock(folder / "clock", START)
    with ExitStack() as stack:
        databases = {service: server.url(service) for service in SERVICES}
        cluster = stack.enter_context(running_cluster(folder, dict.fromkeys(SERVICES, 1), databases))
        clients = Clients(cluster.addresses)
        stack.callback(clients.close)
        yield cluster, Product(clients, folder / "clock", "acme")


def test_postgresql_is_copied_by_pg_dump_while_the_suite_works_and_put_back_by_pg_restore(tmp_path: Path) -> None:
    with Server() as server:
        for service in SERVICES:
            server.make(service)
        with _on_postgresql(tmp_path, server) as (cluster, product):
            policy = product.twice_a_day("i-1", "i-2")
            product.go_to(COPIED)
            for service in SERVICES:
                server.run("pg_dump", "--format=custom", f"--file={server.folder / service}.dump", server.url(service))
            product.finish_builds()
            product.live_to(*LOST)
            cluster.kill()
            for service in SERVICES:
                options = ("--clean", "--if-exists", "--single-transaction", f"--dbname={server.url(service)}")
                server.run("pg_restore", *options, f"{server.folder / service}.dump")
            write_clock(tmp_path / "clock", AGAIN)
            cluster.start()
            assert_all_goes_on_as_after_an_outage(product, policy)
