"""The `idp` command on the database of a test, and files of a small school year."""

from pathlib import Path

import pytest

from tests.commands.conftest import act, bare, engine, idp  # noqa: F401 - fixtures
from tests.rostering.aaf_school import Year, small_year


@pytest.fixture
def year() -> Year:
    """Twelve families in two schools."""
    return small_year()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where files are written."""
    return tmp_path / "fichiers"
