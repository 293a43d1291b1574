"""A demonstration before and after its first start."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from idp.db import Base, db
from tests.demo.house import House


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[House]:
    """A demonstration before its first start."""
    house = House(tmp_path)
    with house.context():
        Base.metadata.create_all(db.engine)
        yield house


@pytest.fixture(scope="session")
def after_its_first_start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    house = House(tmp_path_factory.mktemp("demo"))
    with house.context():
        Base.metadata.create_all(db.engine)
        assert len(house.seed()) == 40
    return house.folder


@pytest.fixture
def house(tmp_path: Path, after_its_first_start: Path) -> Iterator[House]:
    """A demonstration that was started once."""
    house = House(shutil.copytree(after_its_first_start, tmp_path / "demo"))
    with house.context():
        yield house
