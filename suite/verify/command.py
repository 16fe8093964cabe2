"""`autoimage verify`: tells whether each scheduled time has the outcome that was promised."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from servicekit.errors import ServiceError
from suite.clients import Clients, product_time, told
from suite.errors import SuiteError
from suite.verify.check import Finding, Trouble, findings
from suite.verify.facts import LONGEST, Period, read_facts

DEFAULT_PERIOD = timedelta(days=1)


def run(
    places: Sequence[str],
    addresses: Mapping[str, str],
    start: datetime | None,
    end: datetime | None,
    *,
    as_json: bool,
) -> int:
    """0: all is well; 1: something is missing, doubled or orphaned. Raises SuiteError when that can't be found out."""
    clients = Clients(addresses)
    try:
        period = _period(clients, start, end)
        found = [finding for place in places for finding in findings(read_facts(clients, place, period), period)]
    except ServiceError as error:
        raise SuiteError(f"cannot verify: {told(error)}") from error
    finally:
        clients.close()
    print(json.dumps(_plain(found, period), indent=2) if as_json else report(found, places, period))
    return 1 if any(finding.trouble.is_wrong for finding in found) else 0


def _period(clients: Clients, start: datetime | None, end: datetime | None) -> Period:
    """As asked for; by default to this moment of product time, and a day long."""
    now = product_time(clients)
    end = now if end is None else end
    start = end - DEFAULT_PERIOD if start is None else start
    if start >= end:
        raise SuiteError(f"the period must end after it starts, at {start.isoformat()}")
    if start < now - LONGEST:
        raise SuiteError(f"the history goes back {LONGEST.days} days only, to {(now - LONGEST).isoformat()}")
    return Period(start, end)


def report(found: Sequence[Finding], places: Sequence[str], period: Period) -> str:
    """A line for each finding, what is wrong first, and one that sums up."""
    order = list(Trouble)
    lines = [
        f"{finding.trouble.value:9} {finding.resource}: {finding.text}"
        for finding in sorted(found, key=lambda finding: (order.index(finding.trouble), finding.resource, finding.text))
    ]
    counts = Counter(finding.trouble for finding in found)
    told = ", ".join(f"{counts[trouble]} {trouble.value}" for trouble in order if counts[trouble])
    wrong = any(finding.trouble.is_wrong for finding in found)
    span = f"{', '.join(places)} from {period.start.isoformat()} to {period.end.isoformat()}"
    return "\n".join([*lines, f"{'NOT ' if wrong else ''}OK: {span}: {told or 'every point has its outcome'}"])


def _plain(found: Sequence[Finding], period: Period) -> dict[str, object]:
    return {
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "ok": not any(finding.trouble.is_wrong for finding in found),
        "findings": [
            {"trouble": finding.trouble.value, "resource": finding.resource, "text": finding.text} for finding in found
        ],
    }
