"""Client programs that the walk-throughs use: found on the machine, or built once and kept in the user's cache."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl"
GRPCURL_VERSION = "v1.9.1"  # the newest that Go 1.19 builds, which is Debian 12's


def unavailable(reason: str) -> NoReturn:
    """Skips the test that needs the program; where all must run, fails it."""
    if os.environ.get("AUTOIMAGE_REQUIRE_CLIENTS") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "automatic-image-policy"


def build_grpcurl(target: Path) -> None:
    """Builds with `go install`; `target` appears whole or not at all, also when several builds race."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        build = subprocess.run(
            ["go", "install", f"{GRPCURL}@{GRPCURL_VERSION}"],
            env={**os.environ, "GOBIN": folder},
            check=False,
            capture_output=True,
            text=True,
        )
        if build.returncode:
            unavailable(f"grpcurl is not on PATH and `go install` failed:\n{build.stderr}")
        (Path(folder) / "grpcurl").replace(target)


@pytest.fixture(scope="session")
def grpcurl() -> Path:
    """The program grpcurl."""
    installed = shutil.which("grpcurl")
    if installed:
        return Path(installed)
    built = cache_folder() / f"grpcurl-{GRPCURL_VERSION}" / "grpcurl"
    if not built.is_file():
        if not shutil.which("go"):
            unavailable("grpcurl is not on PATH, and there is no go to build it with")
        build_grpcurl(built)
    return built
