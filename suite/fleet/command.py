"""`autoimage load`: makes what a fleet file describes, and tells what became of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from servicekit.errors import ServiceError
from suite.clients import Clients, product_time, told
from suite.errors import SuiteError
from suite.fleet.apply import Outcome, Result, apply_fleet
from suite.fleet.read import read_fleet


def run(path: Path, addresses: Mapping[str, str]) -> int:
    """0 when all is there, be it different from what the file says; 1 when something could not be made.

    Raises SuiteError when something is wrong with the file, and has written nothing; or when the suite does not answer,
    and has told what it had made by then.
    """
    fleet = read_fleet(path)
    clients = Clients(addresses)
    outcomes: list[Outcome] = []
    try:
        for outcome in apply_fleet(clients, fleet, product_time(clients)):
            outcomes.append(outcome)  # noqa: PERF402 - what came before an error is kept
    except ServiceError as error:
        raise SuiteError(told(error)) from error
    except SuiteError:
        if outcomes:
            print(report(path, outcomes))
        raise
    finally:
        clients.close()
    print(report(path, outcomes))
    return 1 if any(outcome.result is Result.FAILED for outcome in outcomes) else 0


def report(path: Path, outcomes: Sequence[Outcome]) -> str:
    """A table of how many of each kind, then a line for each that is not as the file says."""
    counts = Counter((outcome.thing.kind, outcome.result) for outcome in outcomes)
    kinds = list(dict.fromkeys(kind for kind, _ in counts))
    rows = [("", *(result.value for result in Result))]
    rows += [(kind, *(str(counts[kind, result] or "") for result in Result)) for kind in kinds]
    lines = ["".join(f"{cell:>12}" if index else f"{cell:12}" for index, cell in enumerate(row)) for row in rows]
    for outcome in outcomes:
        thing = outcome.thing
        where = f"{path}:{thing.line}: {thing.kind} {thing.name}"
        if outcome.result is Result.DIFFERENT:
            lines.append(f"{where} is different, and stays so: {outcome.detail}")
        if outcome.result is Result.FAILED:
            lines.append(f"{where} could not be made: {outcome.detail}")
    return "\n".join(lines)
