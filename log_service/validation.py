"""The shape of each request. What the contract's field behavior says is checked before, by `@rpc`."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from autoimage.log.v1 import log_pb2, log_service_pb2
from log_service.domain.limits import LOG_SET_FIELDS, LOG_TOPIC_FIELDS, RETENTION_DAYS
from servicekit import masks
from servicekit import validation as v
from servicekit.errors import FieldViolation
from servicekit.names import ACCOUNT_REGION, EXECUTION, IMAGE, INSTANCE, LOG_SET, LOG_TOPIC, POLICY, Pattern

MAX_BATCH = 500
ANY_LOG_SET = "accounts/-/regions/-/logSets/-"
_MAX_DISKS = 25
_DEVICE = re.compile(r"vd[a-z]")
_Found = list[FieldViolation]


def log_set_name(request: Any) -> _Found:
    return v.name("name", request.name, LOG_SET)


def log_topic_name(request: Any) -> _Found:
    return v.name("name", request.name, LOG_TOPIC)


def create_log_set(request: log_service_pb2.CreateLogSetRequest) -> _Found:
    return (
        v.name("parent", request.parent, ACCOUNT_REGION)
        + v.resource_id("log_set_id", request.log_set_id)
        + v.length("log_set.display_name", request.log_set.display_name, 1, 64)
        + _retention_days(request.log_set.retention_days)
        + v.request_id("request_id", request.request_id)
    )


def _retention_days(days: int) -> _Found:
    """0 is the default."""
    if days and days not in RETENTION_DAYS:
        return v.fail("log_set.retention_days", f"must be 7, 15 or 30, is {days}")
    return []


def update_log_set(request: log_service_pb2.UpdateLogSetRequest) -> _Found:
    log_set, changed = request.log_set, masks.chosen(request.log_set, request.update_mask, LOG_SET_FIELDS)
    found = _required_name("log_set.name", log_set.name, LOG_SET)
    found += masks.violations(request.update_mask, LOG_SET_FIELDS)
    if "display_name" in changed:
        found += _changed_display_name("log_set.display_name", log_set.display_name)
    if "retention_days" in changed:
        found += _retention_days(log_set.retention_days)
    return found


def update_log_topic(request: log_service_pb2.UpdateLogTopicRequest) -> _Found:
    topic, changed = request.log_topic, masks.chosen(request.log_topic, request.update_mask, LOG_TOPIC_FIELDS)
    found = _required_name("log_topic.name", topic.name, LOG_TOPIC)
    found += masks.violations(request.update_mask, LOG_TOPIC_FIELDS)
    if "display_name" in changed:
        found += _changed_display_name("log_topic.display_name", topic.display_name)
    return found


def _changed_display_name(field: str, display_name: str) -> _Found:
    """A mask can name a field that is not set: nobody else sees that an update would clear it."""
    return v.length(field, display_name, 1, 64) if display_name else v.fail(field, "is required")


def _required_name(field: str, name: str, pattern: Pattern) -> _Found:
    return v.name(field, name, pattern) if name else v.fail(field, "is required")


def create_log_topic(request: log_service_pb2.CreateLogTopicRequest) -> _Found:
    return (
        v.name("parent", request.parent, LOG_SET)
        + v.resource_id("log_topic_id", request.log_topic_id)
        + v.length("log_topic.display_name", request.log_topic.display_name, 1, 64)
        + _topic_kind(request.log_topic)
        + v.request_id("request_id", request.request_id)
    )


def _topic_kind(topic: log_pb2.LogTopic) -> _Found:
    """Product and log type are those of a cloud product, and of nothing else."""
    is_cloud_product = topic.source == log_pb2.LogTopic.SOURCE_CLOUD_PRODUCT
    if not is_cloud_product and topic.source != log_pb2.LogTopic.SOURCE_INSTANCE:
        return []  # told already
    found: _Found = []
    for field, value in (("log_topic.product", topic.product), ("log_topic.log_type", topic.log_type)):
        if is_cloud_product and not value:
            found += v.fail(field, "is required when source is SOURCE_CLOUD_PRODUCT")
        if not is_cloud_product and value:
            found += v.fail(field, "must be left out unless source is SOURCE_CLOUD_PRODUCT")
    return found


def list_log_sets(request: log_service_pb2.ListLogSetsRequest) -> _Found:
    return v.name("parent", request.parent, ACCOUNT_REGION) + v.page(request)


def list_log_topics(request: log_service_pb2.ListLogTopicsRequest) -> _Found:
    return v.name("parent", request.parent, LOG_SET) + v.page(request)


def batch_get_log_topics(request: log_service_pb2.BatchGetLogTopicsRequest) -> _Found:
    """The envelope; a wrong name is that name's own error, see `wanted_topic`."""
    found = v.count("names", request.names, MAX_BATCH)
    if request.parent != ANY_LOG_SET:
        found += v.name("parent", request.parent, LOG_SET)
    return found


def wanted_topic(field: str, name: str, parent: str, served: Collection[str]) -> _Found:
    """One name of a batch."""
    if not name:
        return v.fail(field, "is required")
    below = "" if parent == ANY_LOG_SET else parent
    return v.name(field, name, LOG_TOPIC, parent=below) or v.region_served(field, name, served)


def write_log_entries(request: log_service_pb2.WriteLogEntriesRequest) -> _Found:
    """The envelope; a wrong entry is that entry's own error, see `entry`."""
    return v.count("entries", request.entries, MAX_BATCH)


def entry(entry: log_pb2.LogEntry) -> _Found:
    """All that an entry names belongs to the account and region of its topic."""
    topic = LOG_TOPIC.match(entry.log_topic)
    if topic is None:
        return v.name("log_topic", entry.log_topic, LOG_TOPIC) + _entry_fields(entry)
    place = ACCOUNT_REGION.format(account=topic["account"], region=topic["region"])
    found = _entry_fields(entry) + _entry_references(entry, place)
    if entry.region and entry.region != topic["region"]:
        found += v.fail("region", "must be the region of the log topic")
    return found


def _entry_references(entry: log_pb2.LogEntry, place: str) -> _Found:
    return (
        v.name("policy", entry.policy, POLICY, parent=place)
        + v.name("execution", entry.execution, EXECUTION, parent=place)
        + v.name("instance", entry.instance, INSTANCE, parent=place)
        + v.name("image", entry.image, IMAGE, parent=place)
    )


def _entry_fields(entry: log_pb2.LogEntry) -> _Found:
    found = (
        v.length("insert_id", entry.insert_id, 1, 128)
        + v.length("message", entry.message, 0, 1024)
        + v.length("policy_type", entry.policy_type, 0, 64)
        + v.length("task_state", entry.task_state, 0, 64)
        + v.within("instance_count", entry.instance_count, 0, 2**31 - 1)
        + _devices("included_disks", entry.included_disks)
        + _devices("left_out_disks", [disk.device_name for disk in entry.left_out_disks])
    )
    if entry.missed.count < 0:
        found += v.fail("missed.count", "must not be negative")
    return found


def _devices(field: str, devices: Collection[str]) -> _Found:
    found = v.count(field, devices, _MAX_DISKS)
    if not all(map(_DEVICE.fullmatch, devices)):
        found += v.fail(field, "must be device names, vda to vdz")
    return found


def list_log_entries(request: log_service_pb2.ListLogEntriesRequest) -> _Found:
    return v.name("parent", request.parent, LOG_TOPIC) + v.page(request) + _entry_filter(request.filter, request.parent)


def tail_log_entries(request: log_service_pb2.TailLogEntriesRequest) -> _Found:
    return v.name("parent", request.parent, LOG_TOPIC) + _entry_filter(request.filter, request.parent)


def _entry_filter(filter: log_service_pb2.LogEntryFilter, parent: str) -> _Found:
    topic = LOG_TOPIC.match(parent)
    place = ACCOUNT_REGION.format(account=topic["account"], region=topic["region"]) if topic else ""
    references: Iterable[tuple[str, str, Pattern]] = (
        ("filter.policy", filter.policy, POLICY),
        ("filter.execution", filter.execution, EXECUTION),
        ("filter.instance", filter.instance, INSTANCE),
    )
    found = v.length("filter.text", filter.text, 0, 256)
    for field, value, pattern in references:
        found += v.name(field, value, pattern, parent=place)
    if filter.HasField("start_time") and filter.HasField("end_time"):
        start, end = ((time.seconds, time.nanos) for time in (filter.start_time, filter.end_time))
        if end < start:
            found += v.fail("filter.end_time", "must not be before filter.start_time")
    return found
