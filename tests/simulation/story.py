"""What happened in a run, in the order of time, for people who want to know why it failed."""

from tests.simulation.kernel import DAY, HOUR, MINUTE, SECOND, Kernel


class Story:
    """Lines of who did what when; formatted only when somebody reads them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lines: list[tuple[int, str, str]] = []

    def tell(self, who: str, what: str) -> None:
        self._lines.append((self._kernel.now, who, what))

    def lines(self) -> list[str]:
        return [f"{shown(now)}  {who}: {what}" for now, who, what in self._lines]


def shown(now: int) -> str:
    """`day 2 03:15:07.250`."""
    days, rest = divmod(now, DAY)
    hours, rest = divmod(rest, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    return f"day {days + 1} {hours:02}:{minutes:02}:{rest // SECOND:02}.{rest % SECOND // 1000:03}"
