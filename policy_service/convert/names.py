"""What names of the contract say: of resources, and of reasons."""

from autoimage.type.v1 import reason_pb2
from policy_service.domain.policy import Place, PolicyKey
from servicekit.names import ACCOUNT_REGION, POLICY, POLICY_LIMIT


def place(name: str) -> Place:
    return Place(**ACCOUNT_REGION.parse(name))


def policy_key(name: str) -> PolicyKey:
    ids = POLICY.parse(name)
    return PolicyKey(ids["account"], ids["region"], ids["policy"])


def place_of_limit(name: str) -> Place:
    return Place(**POLICY_LIMIT.parse(name))


def place_and_policy(name: str) -> tuple[Place, str | None]:
    """Of a policy's name whose id may be `-`: None."""
    place_name, _, policy_id = name.partition("/policies/")
    return place(place_name), None if policy_id == "-" else policy_id


def instance_id(name: str) -> str:
    return name.rpartition("/")[2]


def reason(name: str | None) -> reason_pb2.Reason.ValueType:
    return reason_pb2.Reason.Value(f"REASON_{name}") if name else reason_pb2.REASON_UNSPECIFIED
