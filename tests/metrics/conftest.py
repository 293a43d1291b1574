from collections.abc import Callable, Iterator

import pytest

from idp.metrics import instruments
from idp.metrics.exposition import Exposition
from idp.metrics.memory import Memory
from tests.metrics.scraping import Numbers, numbers_of


@pytest.fixture
def counted() -> Iterator[Callable[[], Numbers]]:
    """Count in this process; return the numbers so far."""
    memory = Memory(1)
    instruments.attach(memory)
    exposition = Exposition(memory, "serve")
    yield lambda: numbers_of(exposition.text("")[0].decode())
    instruments.detach()
