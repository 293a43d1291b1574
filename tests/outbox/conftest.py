from collections.abc import Iterator

import pytest
from flask import Flask

from tests.outbox.application import running


@pytest.fixture
def queue_app(database_url: str) -> Iterator[Flask]:
    with running(database_url) as app:
        yield app
