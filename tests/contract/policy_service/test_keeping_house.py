"""What the service does by itself. The sweep for deleted instances is proved with rule A9."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from policy_service.commands import keep_house
from policy_service.commands.keep_house import purge_requests
from policy_service.store.schema import requests
from servicekit.loop import Wake
from tests.support.policy_service import PolicyService

REQUEST = "11111111-2222-4333-8444-55555555555"


def remembered(service: PolicyService) -> list[str]:
    with service.deps.database.read() as connection:
        return list(connection.scalars(sa.select(requests.c.request_id).order_by(requests.c.request_id)))


@pytest.mark.rule("X10")
def test_requests_are_forgotten_after_24_hours_in_pieces(
    service: PolicyService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep_house, "_PURGE_LIMIT", 2)
    for number in range(4):
        service.create(f"policy-{number}")
        service.execute(f"policy-{number}", f"{REQUEST}{number}")
        service.time.product.advance(timedelta(microseconds=1))
    service.time.product.advance(timedelta(hours=24, microseconds=-2))
    assert purge_requests(service.deps) == Wake(at_once=True)
    assert remembered(service) == [f"{REQUEST}2", f"{REQUEST}3"]
    assert purge_requests(service.deps) == Wake(at_once=False)
    assert remembered(service) == [f"{REQUEST}3"]
