"""W-03 and W-04: `idp serve` as a process, with slow and malicious clients.

Its deadline for a request is shorter than in production (`tests.serving.short_deadline`).
"""

import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from idp.paths import CHECKOUT
from idp.serving import server
from idp.web.http import MAX_BODY
from tests import forked
from tests.commands.processes import PATIENCE, connect, environment, free_port, read_all
from tests.databases import postgresql_copy, settings_for
from tests.rows import each_row
from tests.serving.short_deadline import READ_SECONDS

THREADS = 4
SOON = READ_SECONDS / 2
"""Seconds. A request that waits for a slow client takes `READ_SECONDS` at least; other requests take 0.01 s."""
ASK = b"GET /connexion HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
SLOW_HEAD = b"GET /connexion HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"s" * 200
CHUNKED = b"POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + FORM + b"\r\n"
SLOW_CHUNK = CHUNKED + b"000000fff\r\n" + b"s" * 200
SLOW_BODY = b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"s" * 200


@dataclass(frozen=True)
class Served:
    """A running server with one worker and `THREADS` threads."""

    port: int
    log: Path
    pid: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, request: bytes = ASK) -> tuple[bytes, float]:
        start = time.monotonic()
        with self.connect() as connection:
            connection.sendall(request)
            answer = read_all(connection)
        return answer, time.monotonic() - start


@pytest.fixture(scope="module")
def served(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder, port = tmp_path_factory.mktemp("served"), free_port()
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", str(THREADS))
    with postgresql_copy(shared) as url, (folder / "log").open("ab") as log:
        env = environment(settings_for(url))
        with forked.Program("tests.serving.short_deadline", *arguments, env=env, output=log) as process:
            with connect(port, process, folder / "log") as connection:
                connection.sendall(ASK)
                assert read_all(connection).startswith(b"HTTP/1.1 200 ")
            yield Served(port, folder / "log", process.pid)
            process.terminate()
            assert process.wait(PATIENCE) == 0
            assert "Traceback" not in (folder / "log").read_text()


@dataclass(frozen=True)
class Lasting:
    """Connections that outlast `READ_SECONDS`: after how many seconds the server closed each of them."""

    closings: list[Future[float]]


@pytest.fixture(scope="module")
def lasting(served: Served) -> Iterator[Lasting]:
    """Open connections that outlast `READ_SECONDS` during the other tests: slow, silent, and with one response."""
    with (
        served.connect() as slow,
        served.connect() as silent,
        served.connect() as kept,
        ThreadPoolExecutor(3) as threads,
    ):
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        first = b""
        while not first.endswith(b"}"):
            first += kept.recv(65536) or pytest.fail("the connection was closed")
        slow.sendall(SLOW_HEAD)
        yield Lasting([threads.submit(_seconds_to_closing, connection) for connection in (slow, silent, kept)])


def _seconds_to_closing(connection: socket.socket) -> float:
    """Return the seconds until the server closes a connection on which it says nothing."""
    start = time.monotonic()
    assert connection.recv(1) == b""
    return time.monotonic() - start


def drip(connections: list[tuple[socket.socket, bytes]], stop: threading.Event) -> None:
    """Send each text at once except its last 200 bytes, then ten bytes per second."""
    for connection, text in connections:
        connection.sendall(text[:-200])
    for place in range(-200, 0):
        for connection, text in connections:
            try:
                connection.send(text[place : place + 1 or None])
            except OSError:  # closed by the server
                continue
        if stop.wait(0.1):
            return


@pytest.mark.row("W-03")
@pytest.mark.parametrize(
    "texts",
    [[SLOW_HEAD], [SLOW_BODY], [SLOW_CHUNK], [SLOW_HEAD, SLOW_BODY, SLOW_CHUNK]],
    ids=["heads", "bodies", "chunks", "all"],
)
@pytest.mark.usefixtures("lasting")
def test_clients_that_send_byte_by_byte_keep_nobody_waiting(served: Served, texts: list[bytes]) -> None:
    stop = threading.Event()
    with ExitStack() as stack:
        slow = [(stack.enter_context(served.connect()), text) for text in texts for _ in range(64)]
        dripping = threading.Thread(target=drip, args=(slow, stop))
        dripping.start()
        stack.callback(dripping.join)
        stack.callback(stop.set)
        for _ in range(4):
            time.sleep(0.15)
            answer, seconds = served.ask()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert seconds < SOON


@pytest.mark.row("W-03")
def test_clients_that_do_not_hang_up_keep_nobody_waiting(served: Served) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(served.connect()).sendall(ASK)  # answered; the client does not close it
        answer, seconds = served.ask()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert seconds < SOON


@pytest.mark.row("W-03")
def test_clients_that_do_not_read_keep_nobody_waiting(served: Served) -> None:
    ask = b"GET /mentions-legales HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(3 * THREADS):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            deaf.connect(("127.0.0.1", served.port))
            deaf.sendall(ask)
        time.sleep(0.3)
        answer, seconds = served.ask()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert seconds < SOON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"c\r\ngrant_type=x\r\n0\r\n\r\n",
        b"000000fff\r\nx",
        b" 3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabcXX0\r\n\r\n",
        b"-1\r\n",
        b"0\r\n: no trailer\r\n\r\n",
    ],
)
def test_a_body_in_chunks_is_refused_unread(served: Served, body: bytes) -> None:
    answer, seconds = served.ask(CHUNKED + body)
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert answer.endswith(b"\r\n\r\n")
    assert answer.count(b"HTTP/") == 1
    assert seconds < SOON


def test_bytes_after_a_chunked_body_are_no_request(served: Served) -> None:
    first = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    answer, _ = served.ask(first + CHUNKED + b"0\r\n\r\n" + first)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"411"]


def test_a_client_that_expects_to_send_chunks_is_refused(served: Served) -> None:
    answer, _ = served.ask(CHUNKED[:-2] + b"Expect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")


def test_a_refusal_is_logged_once_and_without_what_it_was(served: Served) -> None:
    before = served.log.read_text().count("refused before it was answered")
    served.ask(CHUNKED.replace(b"/token", b"/adresse/lien/JETON-SECRET"))
    assert served.log.read_text().count("refused before it was answered") == before + 1
    assert "JETON" not in served.log.read_text()


FIELDS = b"&".join(b"f%d=" % n for n in range(100_000))
NESTED = b"identifiant" + b"[a]" * 10_000 + b"="
FILES = b"".join(
    b'--b\r\nContent-Disposition: form-data; name="f%d"; filename="%d"\r\n\r\nx\r\n' % (n, n) for n in range(200)
)


def post(body: bytes, kind: bytes = FORM) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST /connexion HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + kind + length + b"\r\n" + body


@pytest.mark.row("W-04")
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(FIELDS), 413),
        (post(NESTED), 400),  # a form without a CSRF token
        (post(NESTED.replace(b"[", b"%5B").replace(b"]", b"%5D")), 413),
        (post(FILES + b"--b--\r\n", b"Content-Type: multipart/form-data; boundary=b\r\n"), 415),
        (b"GET /connexion HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: " + b"c" * 16_500 + b"\r\n\r\n", 413),
        (b"GET /connexion HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + b"X: y\r\n" * 120 + b"\r\n", 431),
        (b"GET /connexion?x=" + b"x" * 65_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /connexion HTTP/1.1\r\nHost: x\r\n" + b"X-Long: " + b"x" * 500_000, 431),
        (b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\nx", 413),
        (b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxx", 400),
        (b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 0x5\r\n\r\nxxxxx", 400),
        (b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n 5\r\n\r\nxxxxx", 400),
        (b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length : 5\r\n\r\nxxxxx", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
    ids=[
        *("fields", "nested", "nested-coded", "files", "cookies", "headers", "address", "endless-header"),
        *("announced", "two-lengths", "no-number", "folded", "spaced", "tls"),
    ],
)
def test_a_malformed_request_is_refused_at_once(served: Served, request_: bytes, status: int) -> None:
    before = processor_seconds(served.pid)
    answer, seconds = served.ask(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:100]
    assert processor_seconds(served.pid) - before < 1
    assert seconds < SOON


@pytest.mark.row("W-04")
def test_the_content_of_a_refused_request_is_never_logged(served: Served) -> None:
    served.ask(b"GET /adresse/lien/JETON-SECRET HTTP/9.9\r\nHost: x\r\n\r\n")
    served.ask(b"GET /adresse/lien/JETON-SECRET HTTP/1.1\r\nJETON SECRET\r\n\r\n")
    _, *lines = served.log.read_text().splitlines()  # the first says where the server listens
    shown = "\n".join(lines)
    assert "JETON" not in shown
    assert "127.0.0.1" not in shown


@pytest.mark.row("W-03")
def test_slow_requests_and_idle_connections_are_closed(lasting: Lasting) -> None:
    assert server.READ_SECONDS == 10, "the product's deadline, which the served one shortens"
    for closing in lasting.closings:
        assert closing.result(PATIENCE) >= READ_SECONDS - 0.5


@pytest.mark.row("W-03")
def test_the_proxy_that_we_supply_closes_idle_connections_first() -> None:
    # Otherwise it could send a request on a connection that the service closes, and answer 502.
    text = CHECKOUT.joinpath("deploy", "nginx.conf").read_text(encoding="utf-8")
    [upstream] = re.findall(r"^upstream idp \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    [seconds] = re.findall(r"^\s*keepalive_timeout (\d+)s;", upstream, re.MULTILINE)
    assert int(seconds) < server.READ_SECONDS


def processor_seconds(pid: int) -> float:
    """Return the processor time of the server and its workers in seconds (Linux; precision 0.01 s)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    used = 0
    for process in (str(pid), *children):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / 100


@pytest.mark.row("W-03")
@each_row(
    ("directive", "most"),
    [
        ("client_header_timeout", 10),
        ("client_body_timeout", 10),
        ("send_timeout", 10),
        ("keepalive_timeout", 75),
        ("proxy_connect_timeout", 5),
        ("proxy_read_timeout", 30),
    ],
)
def test_the_proxy_that_we_supply_has_time_limits(directive: str, most: int) -> None:
    text = CHECKOUT.joinpath("deploy", "nginx.conf").read_text(encoding="utf-8")
    values = re.findall(rf"^\s*{directive} (\d+)s;", text, re.MULTILINE)
    assert values
    assert all(0 < int(seconds) <= most for seconds in values)


@pytest.mark.row("W-03")
def test_the_proxy_that_we_supply_collects_requests() -> None:
    text = CHECKOUT.joinpath("deploy", "nginx.conf").read_text(encoding="utf-8")
    assert re.search(r"^\s*proxy_request_buffering on;", text, re.MULTILINE)
    [most] = re.findall(r"^    client_max_body_size (\d+)k;", text, re.MULTILINE)
    assert MAX_BODY < int(most) * 1024 < 2 * MAX_BODY, "the service refuses a long form with its own page"
    assert f"\n    client_body_buffer_size {most}k;" in text, "nothing is written to the disk"


@pytest.mark.row("O-01")
def test_the_proxy_that_we_supply_logs_no_link(app: Flask) -> None:
    text = CHECKOUT.joinpath("deploy", "nginx.conf").read_text(encoding="utf-8")
    [unlogged] = re.findall(r'map \$uri \$idp_logged \{\s*"~(\S+)" 0;', text)
    [without_errors] = re.findall(r"location ~ (\S+) \{\s*error_log /dev/null emerg;", text)
    secret = [rule.rule for rule in app.url_map.iter_rules() if "token" in rule.arguments]
    assert len(secret) >= 2
    for paths in (unlogged, without_errors):
        assert [path for path in secret if not re.match(paths, path)] == []
