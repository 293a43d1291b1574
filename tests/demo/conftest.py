"""A demonstration before and after its first start."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.databases import Rows, postgresql_copy, replace_rows, rows_of
from tests.demo.house import House


@pytest.fixture
def empty(tmp_path: Path, database_url: str) -> Iterator[House]:
    house = House(tmp_path, database_url)
    with house.context():
        yield house


@pytest.fixture(scope="session")
def after_its_first_start(tmp_path_factory: pytest.TempPathFactory, shared: Path) -> tuple[Path, Rows]:
    folder = tmp_path_factory.mktemp("demo")
    with postgresql_copy(shared) as url:
        house = House(folder, url)
        with house.context():
            assert len(house.seed()) == 40
        return folder, rows_of(url)


@pytest.fixture
def house(tmp_path: Path, database_url: str, after_its_first_start: tuple[Path, Rows]) -> Iterator[House]:
    folder, rows = after_its_first_start
    replace_rows(database_url, rows)
    house = House(shutil.copytree(folder, tmp_path / "demo"), database_url)
    with house.context():
        yield house
