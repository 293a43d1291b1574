"""One installation of the service for all tests of a process, and browsers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop.installation import Installation, installed
from tests.interop.visitor import Visitor


@pytest.fixture(scope="session")
def installation(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(shared, tmp_path_factory.mktemp("installation")) as running:
        yield running


@pytest.fixture
def new_visitor(installation: Installation) -> Iterator[Callable[[], Visitor]]:
    with ExitStack() as stack:

        def opened() -> Visitor:
            visitor = Visitor(installation.trusted)
            stack.callback(visitor.close)
            return visitor

        yield opened


@pytest.fixture
def visitor(new_visitor: Callable[[], Visitor]) -> Visitor:
    return new_visitor()
