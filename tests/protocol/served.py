"""The provider on a port of loopback, for tests with a real browser."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from werkzeug.serving import make_server

from idp.config import Settings
from idp.db import db
from idp.services import services_of
from tests import applications


@contextmanager
def served(settings: Settings, listener: socket.socket) -> Iterator[str]:
    """Run the provider on a listening socket, whose port is in the issuer; yield its URL."""
    app = applications.for_command(settings)
    server = make_server("127.0.0.1", listener.getsockname()[1], app, threaded=True, fd=listener.fileno())
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield settings.issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        with app.app_context():
            db.engine.dispose()
        services_of(app).close()


@pytest.fixture(scope="session")
def listener() -> Iterator[socket.socket]:
    """Yield a listening socket for the provider. Its port is in the settings: the tests share one application."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        yield taken


@pytest.fixture
def loopback(settings: Settings, listener: socket.socket) -> Iterator[str]:
    """Run the provider on that socket, with HTTP and the fixture `settings`; yield its URL."""
    with served(settings, listener) as url:
        yield url
