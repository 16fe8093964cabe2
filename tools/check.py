"""Runs every check, shows every finding, and fails if any check failed: one run tells all there is to mend."""

import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tools import generate

SERVICES = ["compute_sim", "log_service", "policy_service", "scheduler_service"]
SOURCES = [*SERVICES, "servicekit", "suite"]


def tool(name: str) -> str:
    """The path of a program of the environment that runs this, so that it need not be activated."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def checks(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Headline and command of each check. `folder` is for what they leave behind."""
    yield "format", [tool("ruff"), "format", "--check", "--diff", "."]
    yield "lint", [tool("ruff"), "check", "."]
    yield "types", [tool("mypy")]
    yield "layers", [tool("lint-imports"), "--no-logo"]
    yield "contract format", [tool("buf"), "format", "--diff", "--exit-code", "protos"]
    # buf cannot resolve google/api by itself without its registry: protoc does, and buf reads what protoc found.
    image = folder / "image.binpb"
    yield "contract compiles", [sys.executable, "-m", "tools.generate", "--image", str(image)]
    yield "contract lint", [tool("buf"), "lint", str(image), "--path", generate.PACKAGE, "--config", "buf.yaml"]
    yield "duplicates", [tool("pylint"), *SOURCES]


def main() -> int:
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for headline, command in checks(Path(folder)):
            print(f"==> {headline}", flush=True)
            start = time.monotonic()
            passed = subprocess.run(command, cwd=generate.ROOT, check=False).returncode == 0
            print(f"    {'ok' if passed else 'FAILED'} ({time.monotonic() - start:.1f} s)", flush=True)
            if not passed:
                failed.append(headline)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
        return 1
    print("\nall checks passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
