"""The lock files: every file by hash, everything the project asks for, and no word of where it came from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "requirements.lock"
DEVELOPMENT = "requirements-dev.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

both = pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])


def entries(lock: str) -> dict[str, list[str]]:
    """Pinned requirement → its hash options."""
    lines = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    parts = [re.split(r"\s+(?=--)", line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    return {requirement: [option.strip() for option in options] for requirement, *options in parts}


def versions(lock: str) -> dict[str, str]:
    """Package → the one version that the lock allows."""
    found: dict[str, str] = {}
    for requirement in map(Requirement, entries(lock)):
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        found[canonicalize_name(requirement.name)] = pin.version
    return found


@both
def test_every_package_is_pinned_and_hashed(lock: str) -> None:
    assert entries(lock)
    assert versions(lock)
    for requirement, options in entries(lock).items():
        assert options, requirement
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", option) for option in options), requirement


@both
def test_no_place_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")

    assert not re.findall(r"://|@|--(?:index|extra-index|find-links|trusted-host)\S*|^\s*[./]\S*", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        (RUNTIME, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["editable"]]),
        (DEVELOPMENT, [*PROJECT["dependencies"], *(r for e in PROJECT["optional-dependencies"].values() for r in e)]),
    ],
)
def test_everything_the_project_asks_for_is_locked_within_its_bounds(lock: str, requirements: list[str]) -> None:
    locked = versions(lock)

    for requirement in map(Requirement, requirements):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), f"{requirement}: make lock"


def test_tests_run_on_the_versions_that_run_in_production() -> None:
    assert versions(RUNTIME).items() <= versions(DEVELOPMENT).items()
