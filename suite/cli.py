"""The command `autoimage`."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from servicekit import names
from suite import up
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import STEPPED, WALL, DataFolder
from suite.output import stop_printing
from suite.services import addresses_from


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code. 2: something is wrong that a person can mend, and was told."""
    parsed = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        code = run(parsed)
        print(end="", flush=True)  # to nowhere, if standard output is closed
    except SuiteError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        stop_printing()
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("autoimage", description="Automatic Image Policy: the four services together.")
    parser.add_argument("--version", action=_Version, nargs=0, help="tell the version, and end")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    data, ports = _data_option(), _ports_option()

    command = _command(commands, "up", "run the four services until Ctrl-C", data, ports)
    command.add_argument(
        "--clock",
        choices=[WALL, STEPPED],
        default=WALL,
        help="product time: the wall clock's, or what the file DATA/clock says (default: wall)",
    )
    command.set_defaults(run=_up)

    command = _command(commands, "load", "make what a fleet file describes, in a running suite", ports)
    command.add_argument("fleet", type=Path, metavar="FLEET.yaml", help="such as suite/fleets/demo.yaml")
    command.set_defaults(run=_load)

    command = _command(
        commands,
        "verify",
        "hold what exists against the history of the schedules, in a running suite",
        ports,
        more="Exit code 0: every scheduled time has its outcome. 1: something is missing, doubled or orphaned. "
        "2: it could not be found out.",
    )
    command.add_argument("places", nargs="+", type=_place, metavar="PLACE", help="accounts/ACCOUNT/regions/REGION")
    command.add_argument(
        "--from",
        dest="start",
        type=_time,
        metavar="TIME",
        help="such as 2030-01-07T02:00:00Z; default: a day before --to",
    )
    command.add_argument("--to", dest="end", type=_time, metavar="TIME", help="not included; default: now")
    command.add_argument("--json", action="store_true", help="for a program to read")
    command.set_defaults(run=_verify)

    command = _command(
        commands,
        "confirm-clock",
        "tell the services that product time is right, after they stopped since it leapt ahead",
        ports,
    )
    command.add_argument(
        "time",
        type=_time,
        metavar="TIME",
        help="what time it is, from a clock that you trust, such as 2030-01-07T02:00:00Z",
    )
    command.set_defaults(run=_confirm_clock)

    command = _command(commands, "backup", "copy the databases of a suite, running or not", data)
    command.add_argument("target", type=_folder, metavar="FOLDER", help="where to; must not exist yet, or be empty")
    command.set_defaults(run=_back_up)

    command = _command(commands, "restore", "put copies back, in a suite that does not run", data)
    command.add_argument("source", type=_folder, metavar="FOLDER", help="what `autoimage backup` made")
    command.add_argument(
        "--only",
        action="append",
        choices=list(SERVICES),
        metavar="SERVICE",
        help=f"this one's database, may be repeated: {', '.join(SERVICES)}",
    )
    command.set_defaults(run=_restore)

    command = _command(commands, "demo", "live through four virtual days, and check every image at the end")
    command.set_defaults(run=_demo)
    return parser


class _Version(argparse.Action):
    """Looks for the version only when it is asked for: `up` is to start fast."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import importlib.metadata  # noqa: PLC0415

        print(importlib.metadata.version("automatic-image-policy"))
        parser.exit()


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    what: str,
    *options: argparse.ArgumentParser,
    more: str = "",
) -> argparse.ArgumentParser:
    description = f"{what[0].upper()}{what[1:]}. {more}"
    return commands.add_parser(name, parents=options, help=what, description=description)


def _data_option() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--data",
        type=_folder,
        default=Path("data"),
        metavar="DIR",
        help="where the suite keeps its data (default: ./data)",
    )
    return options


def _ports_option() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument(
        "--ports",
        type=_ports,
        metavar="P,S,C,L",
        help="ports of policy, scheduler, compute and log (default: <SERVICE>_LISTEN, else 50051,50052,50053,50054)",
    )
    return options


def _folder(text: str) -> Path:
    """An empty text would be the folder that the person is just in: most likely it is a variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError("must not be empty")
    return Path(text)


def _ports(text: str) -> dict[str, str]:
    ports = text.split(",")
    are_ports = all(re.fullmatch(r"\d{1,5}", port) and 0 < int(port) < 65536 for port in ports)
    if not are_ports or len({int(port) for port in ports}) != len(ports) or len(ports) != len(SERVICES):
        raise argparse.ArgumentTypeError("must be four different ports such as 50051,50052,50053,50054")
    return {service: f"127.0.0.1:{port}" for service, port in zip(SERVICES, ports, strict=True)}


def _place(text: str) -> str:
    if names.ACCOUNT_REGION.match(text) is None:
        raise argparse.ArgumentTypeError(f"must be such as accounts/acme/regions/cn-north-1, is {text!r}")
    return text


def _time(text: str) -> datetime:
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise argparse.ArgumentTypeError(f"must be a time with its offset such as 2030-01-07T02:00:00Z, is {text!r}")


def _up(arguments: argparse.Namespace) -> int:
    return up.run(arguments.data, _addresses(arguments), arguments.clock)


def _load(arguments: argparse.Namespace) -> int:
    from suite.fleet import command  # noqa: PLC0415 - `up` is to start fast

    return command.run(arguments.fleet, _addresses(arguments))


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
