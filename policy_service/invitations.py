"""Which accounts may change something while the product is by invitation only (P17)."""

import threading
from pathlib import Path

import structlog

from policy_service.domain.errors import NotInvited
from servicekit.names import ACCOUNT_REGION

_LOG = structlog.get_logger("policy_service")
_Stamp = tuple[int, int, int, int]


class Invitations:
    """The accounts of a file: one a line; empty lines and what follows a `#` do not count.

    The file is looked at with each change that is asked for, and read again when it was changed itself. While it can't
    be read, the accounts of before are invited. Raises OSError or ValueError if it can't be read at the start.
    """

    def __init__(self, path: Path, contact: str) -> None:
        self._path = path
        self._contact = contact
        self._turn = threading.Lock()
        self._stamp = _stamp(path)
        self._accounts = _accounts(path)
        self._problem = ""

    def admit(self, account: str) -> None:
        """Raises NotInvited."""
        with self._turn:
            self._look()
            invited = account in self._accounts
        if not invited:
            raise NotInvited(account, self._contact)

    def _look(self) -> None:
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp or self._problem:
                self._accounts, self._stamp = _accounts(self._path), stamp
                self._problem = ""
                _LOG.info("invitations_read", path=str(self._path), accounts=len(self._accounts))
        except (OSError, ValueError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                _LOG.error("invitations_unreadable", path=str(self._path), problem=self._problem)


def _stamp(path: Path) -> _Stamp:
    """Changes when the file does: also when it is replaced, or its permissions are changed."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _accounts(path: Path) -> frozenset[str]:
    lines = [line.partition("#")[0].strip() for line in path.read_text("utf-8").splitlines()]
    for number, account in enumerate(lines, start=1):
        if account and not ACCOUNT_REGION.match(f"accounts/{account}/regions/any"):
            raise ValueError(f"line {number}: {account[:63]!r} is not the id of an account")
    return frozenset(filter(None, lines))
