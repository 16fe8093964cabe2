"""Turns logging off where the topic is gone (L4)."""

from collections.abc import Collection

import structlog

from policy_service.dependencies import Dependencies
from policy_service.domain.policy import PolicyKey
from policy_service.store import policies

_LOG = structlog.get_logger("policy_service")


def disable_logging(deps: Dependencies, missing: Collection[tuple[PolicyKey, str]]) -> None:
    """Of policies, given with a topic that does not exist. See `stop_logging`."""
    with deps.database.read() as connection:
        uids = policies.uids_of(connection, [key for key, _ in missing])
    stop_logging(deps, [(uids[key], topic) for key, topic in missing if key in uids])


def stop_logging(deps: Dependencies, missing: Collection[tuple[str, str]]) -> None:
    """The same by uid. Policies that are gone, or log to another topic or nowhere by now, are passed over."""
    if not missing:
        return
    with deps.database.write() as connection:
        locked = policies.lock(connection, {uid for uid, _ in missing})
        stopped = {uid: topic for uid, topic in missing if uid in locked and locked[uid].log_topic == topic}
        policies.stop_logging(connection, stopped)
    for uid, topic in stopped.items():
        _LOG.warning("logging_disabled", policy=locked[uid].key.name, log_topic=topic)
