"""Reads a fleet file, and finds all that is wrong with it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from datetime import time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from suite.errors import SuiteError
from suite.fleet import texts
from suite.fleet.document import Problem, Value, error, hint, parse
from suite.fleet.model import (
    SYSTEM_DISK,
    Disk,
    Fleet,
    Instance,
    Interval,
    LogSet,
    Place,
    Policy,
    Quota,
    Topic,
)
from suite.fleet.starts import Start, StartDaily

T = TypeVar("T")
Fields = Mapping[str, Value]

_QUOTAS = ("images", "snapshots", "instances", "disks")
_MAX_LOG_SETS = 20
_MAX_TOPICS = 20
_MAX_CLOUD_DISKS = 8
_MAX_DISKS = 25
_MAX_INSTANCES_OF_POLICY = 100
_NAME_LENGTH = 32
_POLICY_KEYS = (
    "display_name",
    "description",
    "start",
    "every",
    "zone",
    "disks",
    "state",
    "log",
    "keep_days",
    "keep_last",
    "limit",
    "catch_up",
    "spread",
    "instances",
)


def read_fleet(path: Path) -> Fleet:
    """The fleet of this file. Raises SuiteError with every problem, in the order of lines: `FILE:LINE: message`."""
    try:
        text = path.read_text("utf-8")
    except OSError as cause:
        raise SuiteError(f"{path}: cannot be read: {cause.strerror}") from cause
    except UnicodeDecodeError as cause:
        raise SuiteError(f"{path}:1: is not written in UTF-8") from cause
    problems: list[Problem] = []
    root = parse(text, problems)
    fleet = Fleet(path, tuple(_places(root)) if root else ())
    if problems:
        raise error(path, problems)
    return fleet


def _places(root: Value) -> Iterator[Place]:
    fields = root.fields(["accounts"])
    if "accounts" not in fields:
        root.wrong("there must be the key accounts")
        return
    for account, its in fields["accounts"].fields().items():
        its.key(texts.account, "")
        inner = its.fields(["regions"])
        if "regions" not in inner:
            its.wrong("needs regions")
            continue
        for region, value in inner["regions"].fields().items():
            value.key(texts.resource_id, "")
            yield _place(account, region, value)


def _place(account: str, region: str, value: Value) -> Place:
    fields = value.fields(["quotas", "log_sets", "instances", "policies"])
    log_sets = tuple(_each(fields, "log_sets", _log_set))
    instances = tuple(_instances(_children(fields, "instances")))
    policies = _Policies(instances, {(log_set.id, topic.id) for log_set in log_sets for topic in log_set.topics})
    _check_names(fields, "log_sets", [log_set.display_name for log_set in log_sets], _MAX_LOG_SETS)
    return Place(
        account=account,
        region=region,
        quotas=tuple(_quotas(fields)),
        log_sets=log_sets,
        instances=instances,
        policies=tuple(_each(fields, "policies", policies.read)),
        line=value.line,
    )


def _quotas(fields: Fields) -> Iterator[Quota]:
    for kind, value in _children(fields, "quotas", _QUOTAS).items():
        yield Quota(kind, value.text(texts.integer(0, 1_000_000), 0), value.line)


def _log_set(id: str, value: Value) -> LogSet:
    fields = value.fields(["display_name", "retention_days", "topics"])
    topics = tuple(_each(fields, "topics", _topic))
    _check_names(fields, "topics", [topic.display_name for topic in topics], _MAX_TOPICS)
    return LogSet(
        id=id,
        display_name=_text(fields, "display_name", texts.name(64), id),
        retention_days=int(_text(fields, "retention_days", texts.one_of("7", "15", "30"), "7")),
        topics=topics,
        line=value.line,
    )


def _topic(id: str, value: Value) -> Topic:
    fields = value.fields(["display_name"])
    return Topic(id, _text(fields, "display_name", texts.name(64), id), value.line)


def _check_names(fields: Fields, key: str, names: list[str], maximum: int) -> None:
    """At most so many, and no display name twice."""
    if len(names) > maximum:
        fields[key].wrong(f"must be at most {maximum}, are {len(names)}")
    for name in sorted({name for name in names if names.count(name) > 1}):
        fields[key].wrong(f"more than one has the display_name {name!r}")


def _instances(children: Fields) -> Iterator[Instance]:
    lines: dict[str, int] = {}
    for value in children.values():
        fields = value.fields(["display_name", "state", "disks"])
        is_running = _text(fields, "state", texts.one_of("running", "stopped"), "running") == "running"
        disks = _disks(value, fields, is_running)
        display_name = _text(fields, "display_name", texts.name(_NAME_LENGTH, "_-."), "")
        for id in value.key(texts.ids, list[str]()):
            if lines.setdefault(id, value.line) != value.line:
                value.wrong(f"{id} is there already, in line {lines[id]}")
            yield Instance(id, display_name or id[:_NAME_LENGTH], is_running, disks, value.line)


def _disks(instance: Value, fields: Fields, is_running: bool) -> dict[str, Disk]:
    found = {
        value.key(texts.device, device): value.text(texts.disk(device), Disk(True, 40))
        for device, value in _children(fields, "disks").items()
    }
    if is_running and SYSTEM_DISK not in found:
        instance.wrong("needs disks with the system disk vda, such as {vda: cloud 40}")
    if sum(disk.is_cloud for disk in found.values()) > _MAX_CLOUD_DISKS or len(found) > _MAX_DISKS:
        instance.wrong(f"must have at most {_MAX_CLOUD_DISKS} cloud disks, and {_MAX_DISKS} disks altogether")
    return dict(sorted(found.items()))


class _Policies:
    """Reads the policies of a place, which refer to its instances and topics."""

    def __init__(self, instances: Collection[Instance], topics: Collection[tuple[str, str]]) -> None:
        self._instances = {instance.id: instance for instance in instances}
        self._topics = topics
        self._policy_of: dict[str, str] = {}

    def read(self, id: str, value: Value) -> Policy:
        fields = value.fields(_POLICY_KEYS)
        midnight: Start = StartDaily(time())
        time_zone = _text(fields, "zone", texts.time_zone, "UTC")
        start = _needed(value, fields, "start", texts.start, midnight)
        return Policy(
            id=id,
            display_name=_text(fields, "display_name", texts.name(_NAME_LENGTH, "_-"), id[:_NAME_LENGTH]),
            description=_text(fields, "description", texts.text(256), ""),
            start=replace(start, zone=time_zone) if isinstance(start, StartDaily) else start,
            start_line=fields.get("start", value).line,
            interval=_needed(value, fields, "every", texts.interval, Interval(1, "DAY")),
            time_zone=time_zone,
            devices=_devices(fields),
            is_enabled=_text(fields, "state", texts.one_of("enabled", "disabled"), "enabled") == "enabled",
            log=self._log(fields),
            keep_days=_text(fields, "keep_days", texts.integer(1, 36_500), 0),
            keep_last=_text(fields, "keep_last", texts.integer(1, 1000), 0),
            execution_limit=_text(fields, "limit", texts.integer(1, 1_000_000), 0),
            catch_up=_text(fields, "catch_up", texts.one_of("latest", "none"), "latest").upper(),
            spread=_text(fields, "spread", texts.spread, timedelta()),
            instances=self._members(id, fields),
            line=value.line,
        )

    def _log(self, fields: Fields) -> tuple[str, str] | None:
        if "log" not in fields:
            return None
        value = fields["log"]
        topic = value.text(texts.topic, None)
        if topic is not None and topic not in self._topics:
            value.wrong(f"this region has no log topic {'/'.join(topic)}")
        return topic

    def _members(self, policy: str, fields: Fields) -> tuple[str, ...]:
        found: dict[str, Value] = {}
        for item in fields["instances"].items() if "instances" in fields else ():
            for id in item.text(self._matching, list[str]()):
                found.setdefault(id, item)
        for id, item in found.items():
            self._check_member(policy, id, item)
        if len(found) > _MAX_INSTANCES_OF_POLICY:
            fields["instances"].wrong(f"must be at most {_MAX_INSTANCES_OF_POLICY}, are {len(found)}")
        return tuple(found)

    def _matching(self, text: str) -> list[str]:
        """The instances that an id, a range or a pattern with `*` means."""
        is_pattern = "*" in text
        matching = [id for id in self._instances if fnmatchcase(id, text)] if is_pattern else texts.ids(text)
        unknown = [id for id in matching if id not in self._instances]
        if unknown:
            raise ValueError(f"this region has no instance {unknown[0]}{hint(unknown[0], self._instances)}")
        if not matching:
            raise ValueError("must match instances of this region")
        return matching

    def _check_member(self, policy: str, id: str, item: Value) -> None:
        system_disk = self._instances[id].disks.get(SYSTEM_DISK)
        if system_disk is not None and not system_disk.is_cloud:
            item.wrong(f"{id} has a local system disk, so no policy can back it up")
        other = self._policy_of.setdefault(id, policy)
        if other != policy:
            item.wrong(f"{id} is an instance of policy {other} already")


def _devices(fields: Fields) -> tuple[str, ...]:
    """Empty: all."""
    if "disks" not in fields:
        return ()
    value = fields["disks"]
    if not value.is_list:
        value.text(texts.one_of("all"), "all")
        return ()
    found: list[str] = []
    for item in value.items():
        device = item.text(texts.device, "")
        if device in found:
            item.wrong(f"{device} is there already")
        found.append(device)
    if not found:
        value.wrong("must be all, or a list of device names such as [vda, vdb]")
    return tuple(found)


def _children(fields: Fields, key: str, known: Collection[str] | None = None) -> Fields:
    return fields[key].fields(known) if key in fields else {}


def _each(fields: Fields, key: str, read: Callable[[str, Value], T]) -> Iterator[T]:
    """What is read of each value of a table that is keyed by ids."""
    for id, value in _children(fields, key).items():
        value.key(texts.resource_id, "")
        yield read(id, value)


def _text(fields: Fields, key: str, parse: Callable[[str], T], default: T) -> T:
    return fields[key].text(parse, default) if key in fields else default


def _needed(owner: Value, fields: Fields, key: str, parse: Callable[[str], T], default: T) -> T:
    if key not in fields:
        owner.wrong(f"needs {key}")
    return _text(fields, key, parse, default)
