"""The command `autoimage`."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from servicekit.clock import ClockFileError
from suite import up
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import STEPPED, WALL
from suite.services import addresses_from


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code. 2: something is wrong that a person can mend, and was told."""
    parsed = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except SuiteError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except ClockFileError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("autoimage", description="Automatic Image Policy: the four services together.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    place = _place_options()

    command = commands.add_parser("up", parents=[place], help="run the four services until Ctrl-C")
    command.add_argument(
        "--clock",
        choices=[WALL, STEPPED],
        default=WALL,
        help="product time: the wall clock's, or what the file DATA/clock says (default: wall)",
    )
    command.set_defaults(run=_up)

    command = commands.add_parser("load", parents=[place], help="make what a fleet file describes, in a running suite")
    command.add_argument("fleet", type=Path, metavar="FLEET.yaml", help="such as suite/fleets/demo.yaml")
    command.set_defaults(run=_load)

    command = commands.add_parser("demo", help="live through four virtual days, and check every image at the end")
    command.set_defaults(run=_demo)
    return parser


def _place_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where the suite keeps its data (default: ./data)",
    )
    options.add_argument(
        "--ports",
        type=_ports,
        metavar="P,S,C,L",
        help="ports of policy, scheduler, compute and log (default: <SERVICE>_LISTEN, else 50051,50052,50053,50054)",
    )
    return options


def _ports(text: str) -> dict[str, str]:
    ports = text.split(",")
    if len(ports) != len(SERVICES) or not all(
        re.fullmatch(r"\d{1,5}", port) and 0 < int(port) < 65536 for port in ports
    ):
        raise argparse.ArgumentTypeError("must be four ports such as 50051,50052,50053,50054")
    return {service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, ports, strict=True)}


def _up(arguments: argparse.Namespace) -> int:
    return up.run(arguments.data, _addresses(arguments), arguments.clock)


def _load(arguments: argparse.Namespace) -> int:
    from suite.fleet import command  # noqa: PLC0415 - `up` is to start fast

    return command.run(arguments.fleet, arguments.data, _addresses(arguments))


def _demo(arguments: argparse.Namespace) -> int:
    from suite.demo.main import run  # noqa: PLC0415 - `up` is to start fast

    return run(arguments)


def _addresses(arguments: argparse.Namespace) -> dict[str, str]:
    ports: dict[str, str] | None = arguments.ports
    return ports or addresses_from(os.environ)
