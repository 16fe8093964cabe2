"""Runs a service as a process that ends when the suite does, even if the suite is killed.

    python -m suite.child SUITE_PROCESS PACKAGE

A service that outlived its suite would hold its port and its database against the next one.
"""

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(suite: int, package: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != suite:
            return
    runpy.run_module(package, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
