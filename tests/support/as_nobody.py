"""Becomes another program, which ends when its parent does; and as nobody, if it would run as root.

    python as_nobody.py PARENT PROGRAM ARGUMENT…

PostgreSQL and PgBouncer refuse to run as root. A server that outlived its tests would stay for ever.
"""

import ctypes
import os
import signal
import sys

NOBODY = 65534
_PR_SET_PDEATHSIG = 1


def main(parent: int, *command: str) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    if sys.platform == "linux":  # after the change of user, which would undo it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
    if os.getppid() == parent:
        os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
