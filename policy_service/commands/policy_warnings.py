"""What users should know of policies, found out when they are read."""

from collections.abc import Mapping, Sequence

import structlog

from policy_service.dependencies import Dependencies
from policy_service.domain.policy import Policy
from policy_service.domain.warnings import PolicyWarning, depends_on_quotas, warnings
from policy_service.store import ledger
from servicekit.errors import ServiceError

_LOG = structlog.get_logger("policy_service")


def warnings_of(deps: Dependencies, found: Sequence[Policy]) -> dict[str, list[PolicyWarning]]:
    """The warnings of policies of one place, by uid (P19).

    Asks compute once at most, and not for long; while it does not answer, what depends on it is left out.
    """
    with deps.database.read() as connection:
        late = ledger.late_points(connection, [policy.uid for policy in found])
    quotas = _quotas(deps, found)
    return {policy.uid: list(warnings(policy, quotas, late.get(policy.uid, 0))) for policy in found}


def _quotas(deps: Dependencies, found: Sequence[Policy]) -> Mapping[str, int] | None:
    concerned = next((policy for policy in found if depends_on_quotas(policy)), None)
    if concerned is None:
        return None
    try:
        return deps.compute.quotas(concerned.key.place, deps.warning_deadline)
    except ServiceError as error:
        _LOG.warning("quotas_unknown", reason=error.reason, message=error.message)
        return None
