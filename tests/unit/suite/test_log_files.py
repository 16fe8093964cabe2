"""Logs are bounded under the hands of those who write them."""

from pathlib import Path

import pytest

from suite.log_files import bound


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "policy_service.log"


def older(log: Path) -> Path:
    return log.with_name("policy_service.log.1")


def test_a_log_that_is_too_large_begins_anew_and_its_writer_goes_on(log: Path) -> None:
    with log.open("ab", buffering=0) as writer:
        writer.write(b"first line\n")
        bound(log, 10)
        writer.write(b"next\n")
        assert (log.read_bytes(), older(log).read_bytes()) == (b"next\n", b"first line\n")
        writer.write(b"second line\n")
        bound(log, 10)
        writer.write(b"last\n")
    assert (log.read_bytes(), older(log).read_bytes()) == (b"last\n", b"next\nsecond line\n")


@pytest.mark.parametrize("text", [b"", b"0123456789"])
def test_a_log_up_to_the_limit_is_left_alone(log: Path, text: bytes) -> None:
    log.write_bytes(text)
    bound(log, 10)
    assert log.read_bytes() == text
    assert not older(log).exists()


def test_a_log_that_is_not_there_yet_is_not_made(log: Path) -> None:
    bound(log, 0)
    assert not log.exists()
