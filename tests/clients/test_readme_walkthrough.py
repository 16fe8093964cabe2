"""What the README tells a reader to type works, word for word.

The blocks fenced `sh` under the heading run in order, in one bash, in the checkout; the suite that the reader
starts in another terminal (fenced `console`) is started here, on its default ports and a new data folder.
"""

import os
import re
import signal
import socket
import subprocess
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
HEADING = "A first policy with grpcurl"
PORTS = [50051, 50052, 50053, 50054]
PATIENCE = 120  # seconds; a slow machine is no failure, a suite that never comes is one


def blocks(markdown: str, heading: str) -> list[str]:
    """The `sh` blocks between the heading and the next of the same or a higher level."""
    start = re.search(rf"^(#+) {re.escape(heading)}\s*$", markdown, re.MULTILINE)
    assert start, f"there is no heading {heading!r}"
    found: list[str] = []
    block: list[str] | None = None  # the lines of the open block of any kind, or None outside
    language = ""
    for line in markdown[start.end() :].splitlines():
        fence = re.fullmatch(r"```(\w*)\s*", line)
        if fence and block is None:
            language, block = fence[1], []
        elif fence and block is not None:
            if language == "sh":
                found.append("\n".join(block) + "\n")
            block = None
        elif block is not None:
            block.append(line)
        elif re.match(rf"#{{1,{len(start[1])}}} ", line):
            break
    return found


def wait_until_serving(port: int, suite: subprocess.Popen[bytes]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        watch = stub.Watch  # type: ignore[attr-defined]  # the stubs lack it
        call = watch(request, timeout=PATIENCE, wait_for_ready=True)
        # A suite that is gone will never serve: do not wait for it.
        threading.Thread(target=lambda: (suite.wait(), call.cancel()), daemon=True).start()
        for answer in call:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
    pytest.fail(f"port {port} stopped before it served")


def refuse_foreign_servers() -> None:
    """Without this, a suite that someone left running would be tested instead."""
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.fail(f"port {port} is in use: stop what listens there", pytrace=False)


@pytest.fixture
def suite(tmp_path: Path) -> Iterator[Path]:
    """Runs `autoimage up`, with its data in a new folder. Gives the file of what it prints."""
    refuse_foreign_servers()
    output = tmp_path / "suite.log"
    command = [str(Path(sysconfig.get_path("scripts")) / "autoimage"), "up"]
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,  # ./data is here
            env=os.environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for port in PORTS:
            wait_until_serving(port, process)
        assert process.poll() is None, output.read_text()
        yield output
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, output.read_text()
    except grpc.RpcError as error:
        pytest.fail(f"the suite did not start: {error}\n{output.read_text()}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.timeout(3 * PATIENCE)
def test_every_command_of_the_first_policy_succeeds(grpcurl: Path, suite: Path) -> None:
    steps = blocks((ROOT / "README.md").read_text(encoding="utf-8"), HEADING)
    assert steps, "the walk-through has no blocks"
    script = "set -euo pipefail\n" + "".join(
        f"echo '--- block {number}'\n{step}" for number, step in enumerate(steps, start=1)
    )
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{grpcurl.parent}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    print(run.stdout)
    assert run.returncode == 0, f"{run.stdout}\nthe suite said:\n{suite.read_text()}"


def test_blocks_are_those_of_the_heading_in_order_and_of_the_shell_only() -> None:
    markdown = (
        "## Before\n```sh\nno\n```\n"
        "## Here\ntext\n```console\n$ make up\n```\n```sh\n# a comment, no heading\none\n```\n"
        "### Deeper\n```sh\ntwo \\\n  three\n```\n## After\n```sh\nno\n```\n"
    )

    assert blocks(markdown, "Here") == ["# a comment, no heading\none\n", "two \\\n  three\n"]


def test_blocks_without_the_heading_are_an_error() -> None:
    with pytest.raises(AssertionError, match="no heading"):
        blocks("# Other\n", "Here")
