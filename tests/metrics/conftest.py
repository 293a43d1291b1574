from collections.abc import Callable, Iterator

import pytest

from idp.metrics import exposition, instruments
from tests.metrics.scraping import Numbers, numbers_of


@pytest.fixture
def counted() -> Iterator[Callable[[], Numbers]]:
    registry = instruments.start()
    yield lambda: numbers_of(exposition.text(registry, "")[0].decode())
    instruments.end()
