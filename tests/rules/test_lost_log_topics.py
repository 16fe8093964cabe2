"""Rule L4: where the topic is gone, logging turns itself off, visibly."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.typing import EventDict

from autoimage.policy.v1.policy_pb2 import Logging, Policy
from autoimage.policy.v1.trigger_service_pb2 import DisableLoggingRequest, MissingLogTopic
from autoimage.type.v1 import reason_pb2
from policy_service.commands import keep_house
from policy_service.commands.keep_house import sweep_missing_log_topics
from servicekit.errors import Unavailable
from servicekit.loop import Wake
from tests.support import START, error_of
from tests.support.policy_service import FIRST, POLICY, TOPIC, PolicyService, policy_name, running_policy_service

INTERVAL = timedelta(seconds=30)
ON = Logging(log_topic=TOPIC, state=Logging.STATE_ENABLED)
GONE = Logging(log_topic=TOPIC, state=Logging.STATE_DISABLED, reason=reason_pb2.REASON_LOG_TOPIC_NOT_FOUND)
OFF = Logging(log_topic=TOPIC, state=Logging.STATE_DISABLED)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PolicyService]:
    with running_policy_service(tmp_path) as running:
        running.logs.add()
        yield running


def create(service: PolicyService, policy_id: str = "nightly", topic: str = TOPIC) -> Policy:
    return service.create(policy_id, logging=Logging(log_topic=topic))


def report(service: PolicyService, topic: str = TOPIC, policy: str = POLICY) -> None:
    missing = MissingLogTopic(policy=policy, log_topic=topic)
    service.triggers.DisableLogging(DisableLoggingRequest(missing_log_topics=[missing]))


@pytest.mark.rule("L4")
def test_logging_to_a_deleted_topic_is_off_within_a_minute_and_says_why(
    service: PolicyService, logged: list[EventDict]
) -> None:
    created = create(service)
    assert sweep_missing_log_topics(service.deps) == Wake(product=START + INTERVAL)
    assert service.get().logging == ON
    service.logs.topics.clear()
    service.time.product.advance(timedelta(minutes=1))
    sweep_missing_log_topics(service.deps)
    after = service.get()
    assert after.logging == GONE
    assert (after.etag, after.update_time, after.state) == (created.etag, created.update_time, created.state)
    told = [line for line in logged if line["event"] == "logging_disabled"]
    assert [(line["policy"], line["log_topic"]) for line in told] == [(POLICY, TOPIC)]


@pytest.mark.rule("L4")
def test_policy_whose_topic_is_gone_triggers_and_logs_nowhere(service: PolicyService) -> None:
    create(service)
    report(service)
    service.time.product.set(FIRST)
    (trigger,) = service.lease().triggers
    assert trigger.log_topic == ""


@pytest.mark.rule("L4")
def test_sweep_leaves_what_is_there_what_is_off_and_what_it_could_not_learn_of(service: PolicyService) -> None:
    shaky, off = f"{TOPIC}-shaky", f"{TOPIC}-off"
    for topic in (shaky, off):
        service.logs.add(topic)
    create(service)
    create(service, "shaky", shaky)
    service.create("off", logging=Logging(log_topic=off, state=Logging.STATE_DISABLED))
    service.create("nowhere")
    del service.logs.topics[off]
    service.logs.item_errors[shaky] = Unavailable("OVERLOADED")
    sweep_missing_log_topics(service.deps)
    assert [list(request.names) for request in service.logs.requests] == [[TOPIC, shaky]]
    assert service.get().logging == ON
    assert service.get("shaky").logging.state == Logging.STATE_ENABLED
    assert service.get("off").logging == Logging(log_topic=off, state=Logging.STATE_DISABLED)


@pytest.mark.rule("L4")
def test_sweep_that_could_not_ask_changes_nothing_and_asks_again_at_once(service: PolicyService) -> None:
    create(service)
    service.logs.topics.clear()
    service.logs.error = Unavailable("OVERLOADED")
    assert error_of(sweep_missing_log_topics, service.deps).reason == "OVERLOADED"
    assert service.get().logging == ON
    service.logs.error = None
    sweep_missing_log_topics(service.deps)
    assert service.get().logging == GONE


@pytest.mark.rule("L4")
def test_sweep_goes_through_topics_and_policies_in_pieces(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_house, "BATCH", 2)
    topics = [f"{TOPIC}-{number}" for number in range(3)]
    for topic in topics:
        service.logs.add(topic)
    for number, topic in enumerate([topics[0], *[topics[2]] * 3, topics[1]]):
        create(service, f"policy-{number}", topic)
    del service.logs.topics[topics[2]]
    wishes = [sweep_missing_log_topics(service.deps) for _ in range(4)]
    end = Wake(product=START + INTERVAL)
    assert wishes == [Wake(product=START), Wake(at_once=True), end, end]
    assert [list(request.names) for request in service.logs.requests] == [topics[:2], topics[2:], topics[2:]]
    states = [service.get(f"policy-{number}").logging.state for number in range(5)]
    assert states == [1, 2, 2, 2, 1]


@pytest.mark.rule("L4")
def test_reported_topic_turns_logging_off_only_while_it_is_still_the_policys(service: PolicyService) -> None:
    create(service)
    service.create("off", logging=OFF)
    for topic, policy in [(f"{TOPIC}-other", POLICY), (TOPIC, policy_name("gone")), (TOPIC, policy_name("off"))]:
        report(service, topic, policy)
    assert (service.get().logging, service.get("off").logging) == (ON, OFF)
    report(service)
    assert (service.get().logging, service.get("off").logging) == (GONE, OFF)
    report(service)
    assert service.get().logging == GONE


@pytest.mark.rule("L4")
def test_logging_is_turned_on_again_by_an_update_when_its_topic_is_back(service: PolicyService) -> None:
    create(service)
    report(service)
    service.logs.topics.clear()
    error = error_of(service.update, "logging.state", logging=ON)
    assert error.reason == "LOG_TOPIC_NOT_FOUND"
    assert service.get().logging == GONE
    service.logs.add()
    assert service.update("logging.state", logging=ON).logging == ON
    assert service.get().logging == ON


@pytest.mark.rule("L4")
def test_update_of_something_else_leaves_why_logging_is_off(service: PolicyService) -> None:
    create(service)
    report(service)
    assert service.update(description="new").logging == GONE
    assert service.update("logging.state", logging=OFF).logging == GONE
    other = f"{TOPIC}-other"
    service.logs.add(other)
    moved = service.update("logging.log_topic", logging=Logging(log_topic=other))
    assert moved.logging == Logging(log_topic=other, state=Logging.STATE_DISABLED)
