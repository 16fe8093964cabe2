"""The wheel holds all that an installation needs: it is built here, without network, and looked into."""

import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email.parser import HeaderParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["compute_sim", "log_service", "policy_service", "scheduler_service"]
PACKAGES = [*SERVICES, "autoimage", "servicekit", "suite"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """File name → text, of the wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    # No isolation: the build backend is the locked one, and nothing is downloaded.
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    build = subprocess.run(command, check=False, capture_output=True, text=True)
    assert build.returncode == 0, build.stdout + build.stderr
    (path,) = folder.glob("*.whl")
    assert path.name == "automatic_image_policy-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def in_metadata(wheel: dict[str, str], name: str) -> str:
    return wheel[f"automatic_image_policy-0.1.0.dist-info/{name}"]


def test_it_holds_exactly_the_files_of_the_packages(wheel: dict[str, str]) -> None:
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert {name for name in wheel if ".dist-info/" not in name} == expected


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_importable_and_typed(wheel: dict[str, str], package: str) -> None:
    assert f"{package}/__init__.py" in wheel
    assert f"{package}/py.typed" in wheel


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_brings_its_migrations_and_runs_as_a_module(wheel: dict[str, str], service: str) -> None:
    assert f"{service}/store/migrations/env.py" in wheel
    assert f"{service}/store/migrations/versions/0001_initial.py" in wheel
    assert f"{service}/__main__.py" in wheel


def test_the_suite_brings_the_fleet_of_the_demo(wheel: dict[str, str]) -> None:
    assert wheel["suite/fleets/demo.yaml"] == (ROOT / "suite/fleets/demo.yaml").read_text(encoding="utf-8")


def test_five_commands_are_declared_and_each_names_a_module_of_the_wheel(wheel: dict[str, str]) -> None:
    scripts = ConfigParser()
    scripts.read_string(in_metadata(wheel, "entry_points.txt"))

    assert dict(scripts["console_scripts"]) == {
        "autoimage": "suite.cli:main",
        "compute-sim": "compute_sim.main:main",
        "log-service": "log_service.main:main",
        "policy-service": "policy_service.main:main",
        "scheduler-service": "scheduler_service.main:main",
    }
    for target in scripts["console_scripts"].values():
        assert target.partition(":")[0].replace(".", "/") + ".py" in wheel


def test_it_declares_its_license_and_the_oldest_python(wheel: dict[str, str]) -> None:
    metadata = HeaderParser().parsestr(in_metadata(wheel, "METADATA"))

    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Apache License" in in_metadata(wheel, "licenses/LICENSE")
