"""Copies of a suite's databases: whole or not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from suite.backup import back_up, restore
from suite.clients import SERVICES
from suite.errors import SuiteError
from suite.folder import DataFolder


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    found = DataFolder(tmp_path / "data")
    found.path.mkdir()
    for service in SERVICES:
        put(found.path / f"{service}.db", "first")
    return found


def put(database: Path, value: str) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS facts (value TEXT)")
        connection.execute("INSERT INTO facts VALUES (?)", [value])


def facts(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM facts ORDER BY rowid")]


def test_what_was_committed_is_in_the_copy_while_someone_writes(folder: DataFolder, tmp_path: Path) -> None:
    with closing(sqlite3.connect(folder.path / "compute_sim.db", isolation_level=None)) as writer:
        writer.execute("INSERT INTO facts VALUES ('committed')")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO facts VALUES ('under way')")
        copies = back_up(folder, tmp_path / "copy")
        writer.execute("COMMIT")
    assert [copy.name for copy in copies] == [
        "policy_service.db",
        "scheduler_service.db",
        "compute_sim.db",
        "log_service.db",
    ]
    assert facts(tmp_path / "copy" / "compute_sim.db") == ["first", "committed"]


def test_a_restored_database_is_as_it_was_backed_up(folder: DataFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "copy")
    for service in SERVICES:
        put(folder.path / f"{service}.db", "later")
    restore(folder, tmp_path / "copy", ("policy_service",))
    found = {service: facts(folder.path / f"{service}.db") for service in SERVICES}
    assert found.pop("policy_service") == ["first"]
    assert all(values == ["first", "later"] for values in found.values())


def test_the_write_ahead_log_of_the_database_that_goes_does_not_stay(folder: DataFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "copy")
    database = folder.path / "policy_service.db"
    put(database, "later")
    for suffix in ("-wal", "-shm"):
        database.with_name(database.name + suffix).write_bytes(b"of the old one")
    restore(folder, tmp_path / "copy")
    assert facts(database) == ["first"]


def test_a_copy_is_not_written_over(folder: DataFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "copy")
    with pytest.raises(SuiteError, match="not empty"):
        back_up(folder, tmp_path / "copy")


@pytest.mark.parametrize("target", [".", "..", "/"])
def test_a_folder_that_is_there_is_no_place_for_a_copy_however_it_is_named(
    folder: DataFolder, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    with pytest.raises(SuiteError, match="not empty"):
        back_up(folder, Path(target))


def test_nothing_looks_like_a_copy_when_a_database_is_missing(folder: DataFolder, tmp_path: Path) -> None:
    (folder.path / "log_service.db").unlink()
    with pytest.raises(SuiteError, match=r"log_service\.db does not exist"):
        back_up(folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_broken_copy_is_refused_and_nothing_is_changed(folder: DataFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "copy")
    put(folder.path / "policy_service.db", "later")
    broken = tmp_path / "copy" / "log_service.db"
    broken.write_bytes(b"no database" * 1000)
    with pytest.raises(SuiteError, match="is broken"):
        restore(folder, tmp_path / "copy")
    assert facts(folder.path / "policy_service.db") == ["first", "later"]


def test_the_databases_of_a_suite_that_runs_are_not_replaced(folder: DataFolder, tmp_path: Path) -> None:
    back_up(folder, tmp_path / "copy")
    put(folder.path / "policy_service.db", "later")
    with folder.locked(), pytest.raises(SuiteError, match="in use"):
        restore(DataFolder(folder.path), tmp_path / "copy")
    assert facts(folder.path / "policy_service.db") == ["first", "later"]
