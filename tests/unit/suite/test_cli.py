"""The command `autoimage`: what it takes, and how it tells what is wrong."""

from pathlib import Path

import pytest

from suite.cli import main


@pytest.mark.parametrize("ports", ["", "1", "1,2,3", "1,2,3,4,5", "0,1,2,3", "1,2,3,65536", "a,b,c,d", "1,2,3,-4"])
def test_wrong_ports_are_refused(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["up", f"--ports={ports}"])
    assert caught.value.code == 2
    assert "must be four ports such as 50051,50052,50053,50054" in capsys.readouterr().err


def test_a_missing_fleet_file_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "fleet.yaml"
    assert main(["load", str(missing)]) == 2
    assert capsys.readouterr().err == f"{missing}: cannot be read: No such file or directory\n"


def test_a_command_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "COMMAND" in capsys.readouterr().err
