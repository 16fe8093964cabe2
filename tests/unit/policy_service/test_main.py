"""The service as it is put together in production."""

from contextlib import ExitStack
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from autoimage.policy.v1.policy_service_pb2 import CreatePolicyRequest
from autoimage.policy.v1.policy_service_pb2_grpc import PolicyServiceStub
from autoimage.policy.v1.trigger_service_pb2 import LeaseTriggersRequest
from autoimage.policy.v1.trigger_service_pb2_grpc import TriggerServiceStub
from policy_service.main import compose
from policy_service.settings import Settings
from servicekit.clock import write_clock
from tests.support import START
from tests.support.policy_service import FIRST, PLACE, POLICY, policy


def run(stack: ExitStack, settings: Settings) -> grpc.Channel:
    """Starts the service; the stack stops it."""
    service = compose(settings)
    for close in reversed(service.closing):
        stack.callback(close)
    stack.callback(service.server.close)
    channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{service.server.start()}"))
    for loop in service.loops:
        loop.start()
        stack.callback(loop.stop)
    return channel


def test_service_makes_its_database_serves_and_goes_on_where_it_was(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    settings = Settings(
        listen="127.0.0.1:0",
        database_url=f"sqlite:///{tmp_path}/data/policy.db",
        product_clock=str(clock),
        drain_seconds=0,
    )
    write_clock(clock, START)
    with ExitStack() as stack:
        channel = run(stack, settings)
        for name in ("", "autoimage.policy.v1.PolicyService", "autoimage.policy.v1.TriggerService"):
            health = health_pb2_grpc.HealthStub(channel).Check(  # type: ignore[attr-defined]
                health_pb2.HealthCheckRequest(service=name)
            )
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        request = CreatePolicyRequest(parent=PLACE, policy_id="nightly", policy=policy())
        assert PolicyServiceStub(channel).CreatePolicy(request).name == POLICY
    write_clock(clock, FIRST)
    with ExitStack() as stack:
        response = TriggerServiceStub(run(stack, settings)).LeaseTriggers(LeaseTriggersRequest(scheduler="s"))
        assert [trigger.policy for trigger in response.triggers] == [POLICY]
