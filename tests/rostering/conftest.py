"""The fixtures that run `idp` commands on the database of a test, and a small school year."""

from pathlib import Path

import pytest

from tests.commands.conftest import act, bare, engine, idp  # noqa: F401 - fixtures
from tests.rostering.aaf_school import Year, small_year


@pytest.fixture
def year() -> Year:
    return small_year()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "fichiers"
