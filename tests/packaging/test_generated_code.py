"""The committed code in autoimage/ is what protos/ says, and the package asks for runtimes that can load it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def generate(*options: str) -> None:
    subprocess.run([sys.executable, "-m", "tools.generate", *options], cwd=ROOT, check=True)


def floor(package: str) -> Version:
    """The lowest version of `package` that an installation may have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirement = next(r for r in map(Requirement, project["dependencies"]) if r.name == package)
    return Version(next(s.version for s in requirement.specifier if s.operator == ">="))


def test_generating_anew_changes_nothing(tmp_path: Path) -> None:
    generate("--into", str(tmp_path / "autoimage"))

    assert tree(tmp_path / "autoimage") == tree(ROOT / "autoimage"), "run `make proto` and commit what it writes"


def test_what_the_contract_no_longer_describes_is_removed(tmp_path: Path) -> None:
    package = tmp_path / "autoimage"
    (package / "gone" / "v1").mkdir(parents=True)
    (package / "gone" / "v1" / "gone_pb2.py").touch()

    generate("--into", str(package))

    assert not (package / "gone").exists()
    assert (package / "py.typed").is_file()


def test_a_contract_that_does_not_compile_leaves_the_code_alone(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    (protos / "autoimage").mkdir(parents=True)
    (protos / "autoimage" / "broken.proto").write_text("message {", encoding="utf-8")
    package = tmp_path / "autoimage"
    package.mkdir()
    (package / "kept_pb2.py").touch()

    with pytest.raises(subprocess.CalledProcessError):
        generate("--protos", str(protos), "--into", str(package))

    assert tree(package) == {"kept_pb2.py": ""}


def test_the_floor_of_grpcio_is_not_below_the_generator() -> None:
    pattern = re.compile(r"GRPC_GENERATED_VERSION = '([\d.]+)'")
    generators = {Version(v) for text in tree(ROOT / "autoimage").values() for v in pattern.findall(text)}

    assert generators
    assert floor("grpcio") >= max(generators)


def test_the_floor_of_protobuf_is_not_below_the_generator() -> None:
    pattern = re.compile(r"^# Protobuf Python Version: ([\d.]+)$", re.MULTILINE)
    generators = {Version(v) for text in tree(ROOT / "autoimage").values() for v in pattern.findall(text)}

    assert generators
    assert floor("protobuf") >= max(generators)
