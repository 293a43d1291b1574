"""Requests to the port of the metrics that cannot be read are answered too."""

import socket
from collections.abc import Iterator
from threading import Thread

import pytest

from idp.metrics import listener
from idp.metrics.memory import Memory
from tests.commands.processes import PATIENCE, read_all


@pytest.fixture
def port() -> Iterator[int]:
    """The metrics of no process, served in this one."""
    server = listener._server(socket.create_server(("127.0.0.1", 0)), Memory(1), "serve", tuple, str)
    Thread(target=server.serve_forever, daemon=True).start()
    yield int(server.server_address[1])
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("target", "accept", "status"),
    [
        ("/metrics", "text/plain", 200),
        ("/metrics", "application/openmetrics-text; version=1.0.0", 200),
        ("/metrics", "application/openmetrics-text; version=abc; escaping=zzz", 400),
        ("/metrics", "text/plain; version=1.x", 400),
        ("http://[", "text/plain", 400),
        ("/healthz", "application/openmetrics-text; version=abc", 200),
        ("/jamais", "", 404),
    ],
)
def test_a_request_is_answered_whatever_it_says(port: int, target: str, accept: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(f"GET {target} HTTP/1.0\r\nAccept: {accept}\r\n\r\n".encode())
        assert read_all(connection).split(b"\r\n")[0].split()[1:2] == [b"%d" % status]
