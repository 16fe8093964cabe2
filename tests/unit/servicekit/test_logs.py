"""In a process of its own: logging is set up once per process."""

import json
import subprocess
import sys
from typing import Any

_SCRIPT = """
import logging, structlog
from servicekit import logs
logs.configure("policy_service", {level!r})
log = structlog.get_logger("x")
with structlog.contextvars.bound_contextvars(request_id="r-1"):
    log.info("policy_created", policy="p")
log.debug("detail")
try:
    raise ValueError("说明")
except ValueError:
    log.exception("internal_error", error_id="e")
    logging.getLogger("grpc").error("broken %s", "pipe", exc_info=True)
logging.getLogger("sqlalchemy").info("too much")
logging.getLogger("alembic").warning("odd %d", "x")
"""


def _lines(level: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(level=level)], capture_output=True, encoding="utf-8", check=True
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def test_events_are_json_lines_on_standard_error_with_their_context() -> None:
    created, failed, grpc, *_ = _lines("info")
    assert created.pop("timestamp").endswith("Z")
    assert created == {
        "event": "policy_created",
        "level": "info",
        "service": "policy_service",
        "policy": "p",
        "request_id": "r-1",
    }
    assert (failed["event"], failed["error_id"], failed["level"]) == ("internal_error", "e", "error")
    assert failed["exception"].endswith("ValueError: 说明")
    assert (grpc["event"], grpc["logger"], grpc["message"]) == ("library_message", "grpc", "broken pipe")
    assert "ValueError" in grpc["exception"]


def test_the_level_is_kept_and_libraries_speak_from_warnings_on() -> None:
    assert [line["event"] for line in _lines("info")] == ["policy_created", "internal_error", "library_message"]
    assert [line["event"] for line in _lines("debug")][:2] == ["policy_created", "detail"]
    assert [line["event"] for line in _lines("error")] == ["internal_error", "library_message"]
