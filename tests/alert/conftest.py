"""Fixtures of the tests of alerts."""

from tests.query.conftest import database, shared_database

__all__ = ["database", "shared_database"]
