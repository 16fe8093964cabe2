"""What is in this folder runs on SQLite and on PostgreSQL."""

from tests.support.databases import on_both_engines as pytest_generate_tests

__all__ = ["pytest_generate_tests"]
