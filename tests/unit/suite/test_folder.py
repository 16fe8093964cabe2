"""The data folder: one suite at a time, and one kind of product time."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from servicekit.clock import SteppedClock, write_clock
from suite.errors import SuiteError
from suite.folder import STEPPED, WALL, DataFolder
from tests.support import START


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    return DataFolder(tmp_path / "data")


def test_a_locked_folder_refuses_a_second_suite_and_names_the_first(folder: DataFolder) -> None:
    with folder.locked():
        with pytest.raises(SuiteError) as caught, folder.locked():
            pass
        assert caught.value.problems == (
            f"data folder {folder.path} is in use by another suite, process {os.getpid()}",
        )
    with folder.locked():
        pass


def test_a_folder_that_cannot_be_made_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SuiteError, match="cannot be used: Not a directory"), DataFolder(tmp_path / "file").locked():
        pass


def test_product_time_is_the_wall_s_unless_it_is_stepped(folder: DataFolder) -> None:
    with folder.locked():
        assert folder.choose_clock(WALL) == "wall"
        assert folder.choose_clock(STEPPED) == str(folder.path / "clock")
        assert isinstance(SteppedClock(folder.clock_file).now(), datetime)


def test_stepped_time_goes_on_where_it_was(folder: DataFolder) -> None:
    with folder.locked():
        write_clock(folder.clock_file, START)
        folder.choose_clock(STEPPED)
        assert SteppedClock(folder.clock_file).now() == START


def test_a_folder_with_stepped_time_is_not_run_on_the_wall_clock(folder: DataFolder) -> None:
    with folder.locked():
        folder.choose_clock(STEPPED)
        with pytest.raises(SuiteError, match="go on with --clock stepped"):
            folder.choose_clock(WALL)
