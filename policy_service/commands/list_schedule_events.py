"""Lists the history of schedules."""

from policy_service.dependencies import Dependencies
from policy_service.domain.ledger import LedgerEntry, LedgerFilter
from policy_service.domain.policy import Place
from policy_service.store import ledger
from servicekit.paging import Page


def list_schedule_events(
    deps: Dependencies, place: Place, policy_id: str | None, filter: LedgerFilter, page: Page
) -> tuple[list[tuple[int, LedgerEntry]], bool]:
    """A page of the lines of a place or of a policy's name, oldest first, each with its number; whether more follow."""
    with deps.database.read() as connection:
        return page.cut(ledger.page(connection, place, policy_id, filter, page))
