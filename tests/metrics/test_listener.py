"""Requests to the port of the metrics: those that cannot be read are answered, and slow clients are disconnected."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from threading import Thread, active_count

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from idp.config_watch import WatchSettings
from idp.metrics import listener
from idp.metrics.listener import place_of
from tests.commands.processes import PATIENCE, read_all
from tests.rows import each_row
from tests.waiting import wait_for


@pytest.fixture
def port() -> Iterator[int]:
    """The metrics of no process, served in this one."""
    server = listener._server(socket.create_server(("127.0.0.1", 0)), CollectorRegistry(), "serve", str)
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


ASK = b"GET /healthz HTTP/1.0\r\n\r\n"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def ask(port: int) -> bytes:
    """Return the answer; empty if the connection is refused."""
    with connect(port) as connection, suppress(ConnectionError):
        connection.sendall(ASK)
        return read_all(connection)
    return b""


@pytest.mark.parametrize("begun", [b"GET /metr", b"GET /metrics HTTP/1.0\r\nX: "], ids=["in its line", "in a header"])
def test_a_request_has_a_deadline_for_the_whole(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_SECONDS", 1.0)
    with connect(port) as slow:
        slow.sendall(begun)
        slow.settimeout(0.2)
        start = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < start + 10:
                slow.sendall(b"s")
                with suppress(TimeoutError):
                    slow.recv(1000)
                    break
        assert 0.9 <= time.monotonic() - start < 10


def test_few_connections_are_open_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = active_count()
    with ExitStack() as stack:
        idle = [stack.enter_context(connect(port)) for _ in range(3 * listener._CONNECTIONS)]
        for refused in idle[listener._CONNECTIONS :]:
            assert refused.recv(1) == b""
        assert active_count() - threads == listener._CONNECTIONS
    wait_for(lambda: ask(port).startswith(b"HTTP/1.0 200 "))  # the server has noticed that the others are gone


@each_row(
    ("bind", "worker"),
    [("127.0.0.1:9464", ("127.0.0.1", 9465)), ("[::1]:9464", ("::1", 9465)), ("192.0.2.1:65533", ("192.0.2.1", 65534))],
)
def test_each_command_has_a_port_of_its_own(bind: str, worker: tuple[str, int]) -> None:
    assert place_of(WatchSettings(metrics_bind=bind).metrics_bind, "worker") == worker


@each_row("bind", ["127.0.0.1", "9464", ":9464", "127.0.0.1:65534", "127.0.0.1:0", "127.0.0.1:x", "metrics.fr:9464"])
def test_a_bind_that_cannot_be_used_is_refused(bind: str) -> None:
    with pytest.raises(ValidationError, match="metrics_bind"):
        WatchSettings(metrics_bind=bind)
