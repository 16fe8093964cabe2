"""The command `autoimage`."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from servicekit import names
from servicekit.clock import ClockFileError
from suite import up
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import STEPPED, WALL, DataFolder
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

    command = commands.add_parser(
        "verify",
        parents=[place],
        help="hold what exists against the history of the schedules: what is missing, doubled, orphaned?",
        description="Exit code 0: every scheduled time has its outcome. 1: something is missing, doubled or orphaned. "
        "2: it could not be found out.",
    )
    command.add_argument("places", nargs="+", type=_place, metavar="PLACE", help="accounts/ACCOUNT/regions/REGION")
    command.add_argument("--from", dest="start", type=_time, metavar="TIME", help="default: a day before --to")
    command.add_argument("--to", dest="end", type=_time, metavar="TIME", help="not included; default: now")
    command.add_argument("--json", action="store_true", help="for a program to read")
    command.set_defaults(run=_verify)

    command = commands.add_parser(
        "confirm-clock",
        parents=[place],
        help="tell the services that product time is right, after they stopped since it leapt ahead",
    )
    command.add_argument("time", type=_time, metavar="TIME", help="what time it is, from a clock that you trust")
    command.set_defaults(run=_confirm_clock)

    data = _data_option()
    command = commands.add_parser("backup", parents=[data], help="copy the databases of a suite, running or not")
    command.add_argument("target", type=Path, metavar="FOLDER", help="where to; must not exist yet, or be empty")
    command.set_defaults(run=_back_up)

    command = commands.add_parser("restore", parents=[data], help="put copies back, in a suite that does not run")
    command.add_argument("source", type=Path, metavar="FOLDER", help="what `autoimage backup` made")
    command.add_argument(
        "--only",
        action="append",
        choices=list(SERVICES),
        metavar="SERVICE",
        help="this one's database, may be repeated",
    )
    command.set_defaults(run=_restore)

    command = commands.add_parser("demo", help="live through four virtual days, and check every image at the end")
    command.set_defaults(run=_demo)
    return parser


def _data_option() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="where the suite keeps its data (default: ./data)",
    )
    return options


def _place_options() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False, parents=[_data_option()])
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


def _place(text: str) -> str:
    if names.ACCOUNT_REGION.match(text) is None:
        raise argparse.ArgumentTypeError(f"must be such as accounts/acme/regions/cn-north-1, is {text!r}")
    return text


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"must be a time with its offset such as 2030-01-07T02:00:00Z, is {text!r}")
    return moment.astimezone(UTC)


def _up(arguments: argparse.Namespace) -> int:
    return up.run(arguments.data, _addresses(arguments), arguments.clock)


def _load(arguments: argparse.Namespace) -> int:
    from suite.fleet import command  # noqa: PLC0415 - `up` is to start fast

    return command.run(arguments.fleet, arguments.data, _addresses(arguments))


def _verify(arguments: argparse.Namespace) -> int:
    from suite.verify import command  # noqa: PLC0415 - `up` is to start fast

    addresses = _addresses(arguments)
    return command.run(arguments.places, addresses, arguments.start, arguments.end, as_json=arguments.json)


def _confirm_clock(arguments: argparse.Namespace) -> int:
    from suite import confirm_clock  # noqa: PLC0415 - `up` is to start fast

    return confirm_clock.run(_addresses(arguments), arguments.time)


def _back_up(arguments: argparse.Namespace) -> int:
    from suite.backup import back_up  # noqa: PLC0415 - `up` is to start fast

    for copy in back_up(DataFolder(arguments.data), arguments.target):
        print(f"{copy}: {copy.stat().st_size} bytes")
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    from suite.backup import restore  # noqa: PLC0415 - `up` is to start fast

    services = tuple(arguments.only or SERVICES)
    for database in restore(DataFolder(arguments.data), arguments.source, services):
        print(f"{database} is as it was backed up")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from suite.demo.main import run  # noqa: PLC0415 - `up` is to start fast

    return run(arguments)


def _addresses(arguments: argparse.Namespace) -> dict[str, str]:
    ports: dict[str, str] | None = arguments.ports
    return ports or addresses_from(os.environ)
