"""The command `autoimage`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from suite.folder import FolderInUse, FolderUnusable
from suite.supervisor import StartFailed


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all is well, 1 when the answer is no, 2 when it could not be done; then one clear message on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (FolderInUse, FolderUnusable, StartFailed) as error:
        print(f"autoimage: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoimage", description="Automatic Image Policy: backs up instances by policy."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="run the four services here, until Ctrl-C")
    up.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="data folder (default: ./data)")
    up.add_argument("--clock", choices=("wall", "stepped"), default="wall", help="product time (default: wall)")
    up.set_defaults(run=_up)
    demo = commands.add_parser(
        "demo", help="live through four virtual days in a temporary folder, and check the outcome"
    )
    demo.set_defaults(run=_demo)
    return parser


def _up(options: argparse.Namespace) -> int:
    from suite.up import up  # noqa: PLC0415 - each command imports what it needs

    return up(options.data, options.clock)


def _demo(_options: argparse.Namespace) -> int:
    from suite.demo.run import demo  # noqa: PLC0415

    return demo()
