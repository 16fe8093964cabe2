"""The compute service's transactions: few statements, no needless writing, nothing by halves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from unittest.mock import Mock, patch

import pytest
import sqlalchemy as sa

from compute_sim.commands.create_images import create_images
from compute_sim.commands.create_instances import create_instances
from compute_sim.commands.read import get_images, get_instances, get_quotas
from compute_sim.commands.resolve_image_requests import resolve_image_requests
from compute_sim.commands.update_quota import update_quota
from compute_sim.dependencies import Dependencies
from compute_sim.domain.images import Image, NewImage
from compute_sim.domain.instances import Disk, DiskKind, Instance, InstanceState, NewInstance
from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import QuotaKind
from compute_sim.domain.requests import ImageRequestReference
from compute_sim.domain.simulation import Simulation
from servicekit.database import Database, Limits
from servicekit.engines import begin
from servicekit.errors import DatabaseUnavailable
from servicekit.idempotency import Idempotency
from servicekit.ids import Ids
from tests.support import ManualClocks, clocks, database

PLACES = [Place(f"a{number}", "cn-north-1") for number in range(2)]
BUILD = timedelta(seconds=2)


@pytest.fixture
def time() -> ManualClocks:
    return clocks()


@pytest.fixture
def deps(tmp_path: Path, time: ManualClocks) -> Iterator[Dependencies]:
    """Of which each place may hold a thousand of everything."""
    db = database(tmp_path, "compute_sim")
    deps = Dependencies(db, time, Ids(Random(1)), Simulation(BUILD, timedelta(0), 0.0, 0))
    for place in PLACES:
        for kind in QuotaKind:
            update_quota(deps, place, kind, 1000)
    yield deps
    db.dispose()


def place(number: int) -> Place:
    return PLACES[number % len(PLACES)]


def add_instances(deps: Dependencies, numbers: range, *, request_ids: bool = False) -> None:
    disks = (Disk("vda", DiskKind.CLOUD, 40), Disk("vdb", DiskKind.CLOUD, 40))
    asked = [
        (
            NewInstance(place(number), f"i-{number}", "", InstanceState.RUNNING, disks),
            Idempotency(place(number).account, f"r-{number}" if request_ids else "", "same"),
        )
        for number in numbers
    ]
    assert all(isinstance(created, Instance) for created in create_instances(deps, asked))


def add_images(deps: Dependencies, numbers: range) -> list[Image]:
    wanted = [NewImage(place(number), f"i-{number}", request_id=f"r-{number}") for number in numbers]
    created = create_images(deps, wanted)
    images = [image for image in created if isinstance(image, Image)]
    assert len(images) == len(numbers)
    return images


def engines(deps: Dependencies) -> tuple[sa.Engine, sa.Engine]:
    """For reading, and for writing."""
    return deps.database._engine.reader, deps.database._engine.writer


@contextmanager
def statements(deps: Dependencies) -> Iterator[list[str]]:
    """Every statement that is sent within the block, and each BEGIN, which SQLAlchemy knows nothing of."""
    sent: list[str] = []

    def begin_noted(connection: sa.Connection) -> None:
        noting = Mock(wraps=connection)
        begin(noting)
        sent.extend(call.args[0] for call in noting.connection.driver_connection.execute.call_args_list)

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        sent.append(statement)

    for engine in engines(deps):
        sa.event.listen(engine, "before_cursor_execute", note)
    try:
        with patch("servicekit.database.begin", begin_noted):
            yield sent
    finally:
        for engine in engines(deps):
            sa.event.remove(engine, "before_cursor_execute", note)


def count(deps: Dependencies, work: Callable[[], object]) -> int:
    with statements(deps) as sent:
        work()
    return len(sent)


def test_the_number_of_statements_does_not_grow_with_the_batch(deps: Dependencies, time: ManualClocks) -> None:
    def run(numbers: range) -> list[int]:
        references = [ImageRequestReference(place(n).key(f"x-{n}"), f"i-{n}") for n in numbers]
        keys = [place(n).key(f"i-{n}") for n in numbers]
        images: list[Image] = []
        return [
            count(deps, lambda: add_instances(deps, numbers, request_ids=True)),
            count(deps, lambda: images.extend(add_images(deps, numbers))),
            count(deps, lambda: add_images(deps, numbers)),
            count(deps, lambda: get_instances(deps, keys)),
            count(deps, lambda: get_images(deps, [image.key for image in images])),
            count(deps, lambda: resolve_image_requests(deps, references)),
        ]

    few = run(range(4))
    time.product.advance(BUILD)
    get_quotas(deps, PLACES[0])
    get_quotas(deps, PLACES[1])
    assert run(range(4, 504)) == few


def test_looking_writes_only_when_a_build_is_due(deps: Dependencies, time: ManualClocks) -> None:
    add_instances(deps, range(2))
    image = add_images(deps, range(2))[0]

    def beginnings_and_updates() -> list[str]:
        with statements(deps) as sent:
            get_images(deps, [image.key])
        return [statement for statement in sent if statement.startswith(("BEGIN", "UPDATE"))]

    reads, writes = (engine.get_execution_options()["begin"] for engine in engines(deps))
    assert beginnings_and_updates() == [reads]
    time.product.advance(BUILD)
    looked, wrote, settled = beginnings_and_updates()
    assert (looked, wrote, settled.split()[:2]) == (reads, writes, ["UPDATE", "images"])
    assert beginnings_and_updates() == [reads]


def test_an_id_that_is_taken_is_drawn_anew(deps: Dependencies, time: ManualClocks) -> None:
    """The second batch draws the very ids of the first one, twice, before it comes to others."""
    add_instances(deps, range(2))
    clumsy = Dependencies(deps.database, time, _Repeating(times=3), deps.simulation)
    (first,) = add_images(clumsy, range(1))
    time.product.advance(BUILD)
    (second,) = create_images(clumsy, [NewImage(PLACES[0], "i-0")])
    assert isinstance(second, Image)
    assert second.key != first.key
    assert get_quotas(deps, PLACES[0])[QuotaKind.IMAGES].used == 2


class _Repeating(Ids):
    """Gives each prefix's first id so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(Random(1))
        self._times = times
        self._drawn = 0

    def new(self, prefix: str) -> str:
        self._drawn += 1
        number = max(0, self._drawn - 3 * self._times)
        return f"{prefix}-{self._drawn % 3}{number:09}" if prefix == "snapshot" else f"{prefix}-{number:010}"


@pytest.mark.engines("sqlite")
def test_a_full_database_takes_nothing_and_loses_nothing(tmp_path: Path, deps: Dependencies) -> None:
    add_instances(deps, range(400))
    (kept,) = add_images(deps, range(1))
    deps.database.dispose()
    with sa.create_engine(f"sqlite:///{tmp_path}/compute_sim.db").connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    full = Database(f"sqlite:///{tmp_path}/compute_sim.db", Limits(max_page_count=pages + 2))
    cramped = Dependencies(full, deps.clocks, deps.ids, deps.simulation)
    with pytest.raises(DatabaseUnavailable) as caught:
        add_images(cramped, range(1, 400))
    assert caught.value.reason == "DATABASE_FULL"
    assert list(get_images(cramped, [kept.key]).values()) == [kept]
    used = {kind: quota.used for kind, quota in get_quotas(cramped, PLACES[0]).items()}
    assert used == {"disks": 400, "images": 1, "instances": 200, "snapshots": 2}
    full.dispose()
    assert len(add_images(deps, range(1, 400))) == 399
