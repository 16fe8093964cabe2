"""Writes the Python package autoimage/ from protos/.

The whole folder is this script's: what the protos no longer describe is removed, so that a fresh checkout and a
long-lived one hold the same code. A test runs it into a temporary folder and compares.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "autoimage"

INIT = '"""Generated from protos/ by `make proto`; edits are lost."""\n'


def proto_files(protos: Path) -> list[str]:
    """The names of all contract files, as protoc wants them: relative to the proto root, in a stable order."""
    return sorted(path.relative_to(protos).as_posix() for path in (protos / PACKAGE).rglob("*.proto"))


def include_options(protos: Path) -> list[str]:
    """Where imports are found: our own, google.api and google.rpc in site-packages, google.protobuf in grpcio-tools."""
    folders = [protos, Path(sysconfig.get_path("purelib")), files("grpc_tools").joinpath("_proto")]
    return [f"--proto_path={folder}" for folder in folders]


def protoc(protos: Path, *options: str) -> None:
    """Runs protoc over every contract file. A failure ends the program: protoc has said what is wrong."""
    names = proto_files(protos)
    if not names:
        sys.exit(f"error: there is no .proto file under {protos / PACKAGE}")
    scripts = sysconfig.get_path("scripts")  # the plugins, whether or not the environment is activated
    environ = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", *include_options(protos), *options, *names]
    status = subprocess.run(command, env=environ, check=False).returncode
    if status:
        sys.exit(status)


def generate(protos: Path, package: Path) -> None:
    """Makes `package` hold exactly what `protos` describes; nothing changes when protoc fails."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / PACKAGE
        protoc(
            protos,
            f"--python_out={folder}",
            f"--grpc_python_out={folder}",
            f"--mypy_out=quiet:{folder}",
            f"--mypy_grpc_out=quiet,only_sync:{folder}",
        )
        for directory in [fresh, *(path for path in fresh.rglob("*") if path.is_dir())]:
            (directory / "__init__.py").write_text(INIT, encoding="utf-8")
        (fresh / "py.typed").touch()
        remove_services_without_methods(fresh)
        mirror(fresh, package)


def mirror(source: Path, target: Path) -> None:
    """Makes `target` hold the files of `source` and no others, touching only what differs: programs may be running."""
    wanted = {path.relative_to(source): path.read_bytes() for path in source.rglob("*") if path.is_file()}
    for relative, content in wanted.items():
        path = target / relative
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(target.rglob("*"), reverse=True):  # the deepest first, so that folders are empty in time
        if path.is_file() and path.relative_to(target) not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def remove_services_without_methods(package: Path) -> None:
    """The gRPC plugin writes a module for every file, and without a service it is nothing but imports."""
    for module in package.rglob("*_pb2_grpc.py"):
        if "class " not in module.read_text(encoding="utf-8"):
            module.unlink()
            module.with_suffix(".pyi").unlink(missing_ok=True)


def write_image(protos: Path, image: Path) -> None:
    """Writes the descriptors of all contract files, of what they import, and their comments."""
    protoc(protos, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protos", type=Path, default=ROOT / "protos", help="the proto root (default: protos/)")
    parser.add_argument("--into", type=Path, default=ROOT / PACKAGE, help="the package to write (default: autoimage/)")
    parser.add_argument("--image", type=Path, help="write no package, but this file of descriptors, for buf")
    arguments = parser.parse_args()
    if arguments.image:
        write_image(arguments.protos, arguments.image)
    else:
        generate(arguments.protos, arguments.into)


if __name__ == "__main__":
    main()
