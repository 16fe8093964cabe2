"""`python -m suite.child policy_service`: runs a service that ends when its supervisor does, however that ended.

The supervisor holds the other end of standard input. When that closes, since the supervisor stopped or was killed, the
service gets a SIGTERM and drains: no service is left behind that would hold its port and its database.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_supervisor() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    service = sys.argv[1]
    sys.argv = [service]
    threading.Thread(target=_end_with_supervisor, name="supervisor", daemon=True).start()
    runpy.run_module(service, run_name="__main__")


if __name__ == "__main__":
    main()
