"""Fleet files: what is read, and what is wrong with them."""

from datetime import time, timedelta
from pathlib import Path
from textwrap import dedent

import pytest

import suite
from suite.errors import SuiteError
from suite.fleet.model import Disk, Fleet, Instance, Interval, LogSet, Place, Policy, Quota, Topic
from suite.fleet.read import read_fleet
from suite.fleet.starts import StartDaily

DEMO = Path(suite.__file__).parent / "fleets" / "demo.yaml"

WHOLE = """\
accounts:
  acme:
    regions:
      cn-north-1:
        quotas: {images: 40}
        log_sets:
          ops:
            display_name: Operations
            retention_days: 30
            topics: {images: {display_name: Images}}
        instances:
          web-1..2: {disks: {vdb: local 100, vda: cloud 40}}
          db: {display_name: 数据库, state: stopped, disks: {}}
        policies:
          nightly:
            display_name: Nightly
            description: Every night
            start: 02:00
            every: 12 hours
            zone: Europe/Berlin
            keep_days: 30
            keep_last: 3
            limit: 1_000
            catch_up: none
            spread: 10 minutes
            disks: [vdb]
            state: disabled
            log: ops/images
            instances: [web-*, db]
          bare: {start: 03:00, every: 1 day}
"""

WRONG = """\
acounts: {}
accounts:
  Acme:
    regions: {}
  beta: {}
  acme:
    regions:
      cn_north:
        quotas: {image: 5, images: many, disks: 2000000}
      cn-north-1:
        log_sets:
          ops:
            retention_days: 10
            topics:
              one: {display_name: same}
              two: {display_name: same}
          ops: {}
        instances:
          web-01..03: {disks: {vda: cloud 10, vdx1: cloud 20}}
          web-03: {disks: {vda: cloud 40}, colour: red}
          lost: {}
          cache: {disks: {vda: local 40}}
          big: {state: off, disks: [vda]}
        policies:
          one:
            display_name: not allowed!
            start: tomorrow
            every: 6 hours
            zone: Berlin
            keep_days: 0
            keep_last: 1001
            limit: 0
            catch_up: all
            spread: 61 minutes
            disks: [vda, vda, sda]
            state: on
            log: ops/three
            instances: [web-01, web-04, cache, none-*, W]
          two:
            start: 02:00
            instances: web-01
          three: {start: 02:00, every: 1 day, disks: some, log: ops, instances: [web-01]}
"""

FOUND = [
    "1: acounts: there is no such key; did you mean accounts?",
    "3: accounts.Acme: must be 1 to 63 lower-case letters, digits or dashes, no dash first or last",
    "5: accounts.beta: needs regions",
    "8: regions.cn_north: must be 1 to 63 lower-case letters, digits or dashes, a letter first and no dash last",
    "9: quotas.disks: must be a whole number from 0 to 1,000,000, is '2000000'",
    "9: quotas.image: there is no such key; did you mean images?",
    "9: quotas.images: must be a whole number from 0 to 1,000,000, is 'many'",
    "13: ops.retention_days: must be 7 or 15 or 30, is '10'",
    "14: ops.topics: more than one has the display_name 'same'",
    "17: log_sets.ops: is there already, in line 12",
    "19: disks.vda: must have 40 to 500 GiB, is 'cloud 10'",
    "19: disks.vdx1: must be a device name, vda to vdz",
    "20: instances.web-03: web-03 is there already, in line 19",
    "20: web-03.colour: there is no such key; there are display_name, state, disks",
    "21: instances.lost: needs disks with the system disk vda, such as {vda: cloud 40}",
    "23: big.disks: must have keys and values",
    "23: big.state: must be running or stopped, is 'off'",
    "23: instances.big: needs disks with the system disk vda, such as {vda: cloud 40}",
    "26: one.display_name: must be 1 to 32 characters: Han characters, A-Z, a-z, 0-9, _ -, is 'not allowed!'",
    "27: one.start: must be a time with its zone (2026-12-01T02:00Z), of a day (02:00) or in 45 minutes, is 'tomorrow'",
    "28: one.every: must be 12 to 8760 hours, 1 to 365 days, or 1 to 52 weeks, such as 1 day, is '6 hours'",
    "29: one.zone: must be a time zone such as Europe/Berlin, is 'Berlin'",
    "30: one.keep_days: must be a whole number from 1 to 36,500, is '0'",
    "31: one.keep_last: must be a whole number from 1 to 1,000, is '1001'",
    "32: one.limit: must be a whole number from 1 to 1,000,000, is '0'",
    "33: one.catch_up: must be latest or none, is 'all'",
    "34: one.spread: must be 0 to 60 minutes, is '61 minutes'",
    "35: one.disks: must be a device name, vda to vdz, is 'sda'",
    "35: one.disks: vda is there already",
    "36: one.state: must be enabled or disabled, is 'on'",
    "37: one.log: this region has no log topic ops/three",
    "38: one.instances: cache has a local system disk, so no policy can back it up",
    "38: one.instances: must be 1 to 63 lower-case letters, digits or dashes, a letter first and no dash last, is 'W'",
    "38: one.instances: must match instances of this region, is 'none-*'",
    "38: one.instances: this region has no instance web-04; did you mean web-03?, is 'web-04'",
    "39: policies.two: needs every",
    "41: two.instances: must be a list",
    "42: three.disks: must be all, is 'some'",
    "42: three.instances: web-01 is an instance of policy one already",
    "42: three.log: must be a log set and a topic, such as ops/images, is 'ops'",
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fleet.yaml"


def problems(path: Path, text: str) -> list[str]:
    """What is wrong with a file of this text, without the name of the file."""
    path.write_text(dedent(text), "utf-8")
    with pytest.raises(SuiteError) as caught:
        read_fleet(path)
    assert all(problem.startswith(f"{path}:") for problem in caught.value.problems)
    return [problem.removeprefix(f"{path}:") for problem in caught.value.problems]


def region(text: str) -> str:
    """A file with this in a region, from line 5 on."""
    inner = "\n".join(f"        {line}" for line in dedent(text).strip().splitlines())
    return f"accounts:\n  acme:\n    regions:\n      cn-north-1:\n{inner}\n"


def test_all_that_a_file_can_say_is_read(path: Path) -> None:
    path.write_text(WHOLE, "utf-8")
    disks = {"vda": Disk(True, 40), "vdb": Disk(False, 100)}
    assert read_fleet(path) == Fleet(
        path,
        (
            Place(
                "acme",
                "cn-north-1",
                quotas=(Quota("images", 40, line=5),),
                log_sets=(LogSet("ops", "Operations", 30, (Topic("images", "Images", line=10),), line=7),),
                instances=(
                    Instance("web-1", "web-1", True, disks, line=12),
                    Instance("web-2", "web-2", True, disks, line=12),
                    Instance("db", "数据库", False, {}, line=13),
                ),
                policies=(
                    Policy(
                        "nightly",
                        display_name="Nightly",
                        description="Every night",
                        start=StartDaily(time(2, 0), "Europe/Berlin"),
                        start_line=18,
                        interval=Interval(12, "HOUR"),
                        time_zone="Europe/Berlin",
                        devices=("vdb",),
                        is_enabled=False,
                        log=("ops", "images"),
                        keep_days=30,
                        keep_last=3,
                        execution_limit=1000,
                        catch_up="NONE",
                        spread=timedelta(minutes=10),
                        instances=("web-1", "web-2", "db"),
                        line=15,
                    ),
                    Policy(
                        "bare",
                        display_name="bare",
                        description="",
                        start=StartDaily(time(3, 0)),
                        start_line=30,
                        interval=Interval(1, "DAY"),
                        time_zone="UTC",
                        devices=(),
                        is_enabled=True,
                        log=None,
                        keep_days=0,
                        keep_last=0,
                        execution_limit=0,
                        catch_up="LATEST",
                        spread=timedelta(0),
                        instances=(),
                        line=30,
                    ),
                ),
                line=4,
            ),
        ),
    )


def test_the_fleet_of_the_demo_has_what_the_demo_shows() -> None:
    places = {place.name: place for place in read_fleet(DEMO).places}
    assert list(places) == [
        "accounts/acme/regions/cn-north-1",
        "accounts/acme/regions/cn-south-1",
        "accounts/globex/regions/cn-north-1",
        "accounts/globex/regions/cn-south-1",
    ]
    instances = [instance for place in places.values() for instance in place.instances]
    policies = [policy for place in places.values() for policy in place.policies]
    assert len(instances) == 40
    assert any(not instance.disks["vda"].is_cloud for instance in instances)
    assert any(
        not disk.is_cloud for instance in instances for device, disk in instance.disks.items() if device != "vda"
    )
    assert {policy.is_enabled for policy in policies} == {True, False}
    assert {policy.interval for policy in policies} >= {Interval(12, "HOUR"), Interval(1, "DAY")}
    small = places["accounts/globex/regions/cn-north-1"]
    assert small.quotas[0].limit < len(small.policies[0].instances)


def test_every_error_is_told_with_its_line(path: Path) -> None:
    assert problems(path, WRONG) == FOUND


def test_a_policy_has_at_most_100_instances_and_a_log_set_at_most_20_topics(path: Path) -> None:
    topics = ", ".join(f"t{number}: {{}}" for number in range(21))
    text = f"""
        log_sets:
          ops: {{topics: {{{topics}}}}}
        instances:
          web-001..101: {{disks: {{vda: cloud 40}}}}
        policies:
          fits: {{start: 02:00, every: 1 day, instances: [web-001..100]}}
          all: {{start: 02:00, every: 1 day, instances: [web-*]}}
    """
    assert [line for line in problems(path, region(text)) if "at most" in line] == [
        "6: ops.topics: must be at most 20, are 21",
        "11: all.instances: must be at most 100, are 101",
    ]


def test_an_instance_has_at_most_8_cloud_disks(path: Path) -> None:
    disks = ", ".join(f"vd{letter}: cloud 40" for letter in "abcdefghi")
    assert problems(path, region(f"instances: {{i: {{disks: {{{disks}}}}}}}")) == [
        "5: instances.i: must have at most 8 cloud disks, and 25 disks altogether"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["1: is empty"]),
        ("# nothing but this\n", ["1: is empty"]),
        ("accounts\n", ["1: must have keys and values", "1: there must be the key accounts"]),
        ("- accounts\n", ["1: must have keys and values", "1: there must be the key accounts"]),
        ("a: 1\n---\nb: 2\n", ["2: is no YAML: but found another document"]),
        ("accounts:\n  acme: [\n", ["3: is no YAML: expected the node content, but found '<stream end>'"]),
        ("accounts:\n  *unknown\n", ["2: is no YAML: found undefined alias 'unknown'"]),
        ("accounts:\n  {[a]: 1}\n", ["2: accounts: a key must be a single value"]),
        ("accounts: {acme: {regions: [x]}}\n", ["1: acme.regions: must have keys and values"]),
        (
            "accounts: &all\n  acme:\n    regions: *all\n",
            ["3: acme.regions: there is no such key; there are quotas, log_sets, instances, policies"],
        ),
        ("a: \x07\n", ["1: is no YAML: the character '\\x07' is not allowed"]),
    ],
)
def test_a_file_of_another_shape_is_told_so(path: Path, text: str, expected: list[str]) -> None:
    assert problems(path, text) == expected


def test_a_file_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="cannot be read: No such file or directory"):
        read_fleet(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes("accounts: é".encode("latin-1"))
    with pytest.raises(SuiteError, match=":1: is not written in UTF-8"):
        read_fleet(tmp_path / "latin.yaml")
