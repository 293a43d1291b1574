"""B-08 and W-03 with nginx and deploy/nginx.conf in front of `idp serve`."""

import json
import re
import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from idp.config import Settings
from idp.http_client import connections
from idp.operations.checks import proxy as doctor
from idp.operations.checks.finding import Site
from idp.web.http import MAX_BODY
from tests.applications import lent
from tests.builders import Build
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import NOWHERE, postgresql_copy, settings_for
from tests.protocol.ent_server import authority
from tests.relying_party import Attempt, RelyingParty
from tests.serving.proxy import adapted, curl_post, nginx, program, supplied, titles_of
from tests.waiting import wait_for

pytestmark = pytest.mark.interop
ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HEAD = b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
BODY = b"grant_type=x"
CHUNKED = b"c\r\n" + BODY + b"\r\n0\r\n\r\n"
SLOW_HEAD = b"GET /connexion HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
SLOW_BODY = HEAD + b"Content-Length: 60000\r\n\r\n"
SLOW_HELLO = b"\x16\x03\x01\x02\x00"
"""The beginning of a TLS record: nginx does not count a connection without a request."""


@dataclass(frozen=True)
class Proxied:
    port: int
    trusted: Path
    proxy_log: Path
    service_log: Path
    ent: RelyingParty

    def connect_plainly(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=self.trusted)
        return context.wrap_socket(self.connect_plainly(), server_hostname="localhost")

    def ask(self, request: bytes = ASK) -> bytes:
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


@pytest.fixture(scope="module")
def proxied(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder, port, upstream = tmp_path_factory.mktemp("proxied"), free_port(), free_port()
    certified, log = authority(folder, "localhost"), folder / "serve.log"
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_copy(shared))
        settings = settings_for(url, issuer=f"https://localhost:{port}", trusted_proxies=1)
        arguments = ("serve", "--bind", f"127.0.0.1:{upstream}", "--workers", "1", "--threads", "4")
        ent = registered(settings)
        connect(upstream, stack.enter_context(running(settings, log, *arguments)), log).close()
        site = supplied(folder, port, upstream, certified.chain)
        proxy_log = stack.enter_context(nginx(folder / "nginx", port, site))
        yield Proxied(port, certified.trusted, proxy_log, log, ent)


def registered(settings: Settings) -> RelyingParty:
    with lent(settings, own=True):
        return Build(settings).ent()


def test_the_service_answers_through_the_proxy(proxied: Proxied) -> None:
    assert proxied.ask().startswith(b"HTTP/1.1 200 ")
    body = BODY + b"&client_id=x"
    answer = proxied.ask(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b'"error"' in answer, "the service's own answer"


def test_the_proxy_begins_a_trace_that_the_lines_of_the_service_have(proxied: Proxied) -> None:
    foreign = "4bf92f3577b34da6a3ce929d0e0e4736"
    proxied.ask(
        ASK.replace(b"/healthz", b"/jamais")[:-2] + b"traceparent: 00-%s-00f067aa0ba902b7-01\r\n\r\n" % foreign.encode()
    )
    lines = proxied.service_log.read_text().splitlines()
    [line] = [json.loads(line) for line in lines if '"status": 404' in line][-1:]
    log = proxied.service_log.with_name("idp.log")
    wait_for(lambda: " GET /jamais 404 " in log.read_text())
    written = re.findall(r" GET /jamais 404 .* (\w{32})$", log.read_text(), re.MULTILINE)
    assert line["trace_id"] == written[-1] != foreign


def test_pages_come_by_http_2_and_a_person_who_is_signed_in_gets_none_compressed(proxied: Proxied) -> None:
    asking = [program("curl"), "-s", "-o", "-", "-D", "-", "--http2", "--cacert", str(proxied.trusted)]
    url, accepts = f"https://localhost:{proxied.port}", ("-H", "Accept-Encoding: gzip, br")
    for more, coding in (((), b"gzip"), (("-H", "Cookie: __Host-ss=x"), b"")):
        command = [*asking, *accepts, *more, f"{url}/connexion"]
        answer = subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout
        assert answer.startswith(b"HTTP/2 200 ")
        assert re.findall(rb"\r\ncontent-encoding: (\S+)", answer) == ([coding] if coding else [])
    style = subprocess.run(
        [*asking, *accepts, f"{url}/static/base.css"], check=True, capture_output=True, timeout=PATIENCE
    )
    assert b"\r\ncontent-encoding: br\r\n" in style.stdout


def test_readyz_is_for_monitoring_and_not_for_the_public(proxied: Proxied) -> None:
    assert proxied.ask(ASK.replace(b"/healthz", b"/readyz")).startswith(b"HTTP/1.1 404 ")
    assert proxied.ask(ASK).startswith(b"HTTP/1.1 200 ")


def test_doctor_sees_the_visitor_through_the_proxy_and_no_invented_ip(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "tls_context", connections.tls_context.__wrapped__)
    issuer = f"https://localhost:{proxied.port}"
    behind = settings_for(NOWHERE, issuer=issuer, ca_bundle=proxied.trusted, trusted_proxies=1)
    findings = {finding.check: finding for finding in doctor.check(Site(behind))}
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert set(findings) == {"public URL", "readiness", "forwarded headers"}
    assert findings["forwarded headers"].result == f"{issuer}, from 127.0.0.1"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Proxied]:
    port, upstream = free_port(), free_port()
    certified = authority(tmp_path, "localhost")
    limited = {"rate=200r/s": "rate=1r/m", "burst=400 nodelay": "burst=3 nodelay"}
    site = adapted(supplied(tmp_path, port, upstream, certified.chain), limited)
    with nginx(tmp_path / "nginx", port, site) as log:
        yield Proxied(port, certified.trusted, log, log, RelyingParty("", "", "", "", []))


def test_a_service_that_is_away_is_a_page_in_french_and_a_flood_is_refused(alone: Proxied) -> None:
    answers = [alone.ask(ASK.replace(b"/healthz", b"/connexion")) for _ in range(8)]
    head, _, body = answers[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 ")
    assert b"\r\nRetry-After: 60\r\n" in head
    assert b"\r\nCache-Control: no-store\r\n" in head
    assert '<!doctype html>\n<html lang="fr">' in body.decode()
    assert titles_of(body.decode()) == ["Le service est arrêté un moment"] * 2
    assert "Beaucoup de demandes" not in body.decode()
    assert [answer[9:12] for answer in answers] == [b"502"] * 4 + [b"429"] * 4
    head, _, body = answers[-1].partition(b"\r\n\r\n")
    assert b"\r\nRetry-After: 10\r\n" in head
    assert titles_of(body.decode()) == ["Un peu de patience"] * 2
    assert "arrêté" not in body.decode()
    assert alone.ask(ASK.replace(b"/healthz", b"/502.html")).startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 429 "))


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_a_long_request_meets_a_page_of_the_service_and_a_longer_one_that_of_the_proxy(
    proxied: Proxied, version: str, tmp_path: Path
) -> None:
    url, body = f"https://localhost:{proxied.port}/connexion", tmp_path / "body"
    body.write_bytes(b"x" * (MAX_BODY + 8 * 1024))
    head, page = curl_post(url, body, proxied.trusted, version)
    assert " 413" in head.splitlines()[0]
    assert "<h1>Ce message est trop long</h1>" in page
    body.write_bytes(b"x" * (2 * MAX_BODY))
    head, page = curl_post(url, body, proxied.trusted, version)
    assert " 413" in head.splitlines()[0]
    assert "retry-after" not in head.lower()
    assert titles_of(page) == ["C’est trop lourd"] * 2
    assert "Rien n’a été enregistré." in page
    assert "Beaucoup de demandes" not in page


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
@pytest.mark.parametrize("length", [8_300, 14_000])
def test_a_longer_url_than_the_service_reads_meets_its_page(proxied: Proxied, version: str, length: int) -> None:
    url = f"https://localhost:{proxied.port}/connexion?x={'x' * length}"
    command = [program("curl"), "-s", "-D", "-", version, "--cacert", str(proxied.trusted), url]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout
    head, _, page = answer.partition("\n\n")
    assert " 414" in head.splitlines()[0]
    assert "<h1>Cette adresse est trop longue</h1>" in page


def test_a_longer_url_or_cookie_than_the_proxy_reads_meets_its_page(alone: Proxied) -> None:
    # By HTTP/2, nginx 1.22 closes the connection instead.
    long_url = alone.ask(ASK.replace(b"/healthz", b"/connexion?" + b"a" * 20_000))
    long_cookie = alone.ask(ASK.replace(b"\r\n\r\n", b"\r\nCookie: a=" + b"b" * 20_000 + b"\r\n\r\n"))
    for status, answer in (("414", long_url), ("400", long_cookie)):
        head, _, body = answer.decode().partition("\r\n\r\n")
        assert head[9:12] == status
        assert titles_of(body) == ["La demande est trop longue"] * 2
        assert "effacez les cookies de ce site" in body


LONGEST = Attempt(state=secrets.token_urlsafe(3072), nonce=secrets.token_urlsafe(450))
WIDE = Attempt(state="*" * 4096, nonce=LONGEST.nonce)
"""Return 4,096 characters that a URL may contain as they are or percent-encoded."""
WIDEST = Attempt(state="😀" * 4096)


def redirected(proxied: Proxied, attempt: Attempt, *, posted: bool = False, **changes: str) -> str:
    """Send an authorization request with as little percent-encoding as possible; return the redirect."""
    path, _, query = proxied.ent.url(attempt, **changes).replace("%2A", "*").partition("?")
    head = f"Host: localhost:{proxied.port}\r\nConnection: close\r\n"
    if posted:
        head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(query)}\r\n"
        answer = proxied.ask(f"POST {path} HTTP/1.1\r\n{head}\r\n{query}".encode())
    else:
        answer = proxied.ask(f"GET {path}?{query} HTTP/1.1\r\n{head}\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 303 "), answer[:500]
    [location] = re.findall(rb"\r\nlocation: (\S+)\r\n", answer, re.IGNORECASE)
    return str(location, "ascii")


@pytest.mark.parametrize("attempt", [LONGEST, WIDE], ids=["longest", "wide"])
def test_the_longest_request_passes(proxied: Proxied, attempt: Attempt) -> None:
    # nginx responds with 502 if the response headers, with the state in a URL, are larger than its buffer.
    assert urlsplit(redirected(proxied, attempt)).path == "/connexion"
    assert read_refusal(proxied, redirected(proxied, attempt, prompt="none")) == ["login_required", attempt.state]


def test_the_longest_answer_passes(proxied: Proxied) -> None:
    answer = redirected(proxied, WIDEST, posted=True, prompt="none")
    assert len(answer) > 49_000
    assert read_refusal(proxied, answer) == ["login_required", WIDEST.state]


def read_refusal(proxied: Proxied, location: str) -> list[str]:
    assert location.startswith(f"{proxied.ent.redirect_uri}?")
    parameters = parse_qs(urlsplit(location).query)
    return [*parameters["error"], *parameters["state"]]


def test_the_proxy_hides_its_version(proxied: Proxied) -> None:
    for request in (ASK, HEAD + b"Transfer-Encoding: xchunked\r\n\r\n"):
        answer = proxied.ask(request)
        assert b"\r\nServer: nginx\r\n" in answer
        assert not re.search(rb"nginx/|granian", answer)


AMBIGUOUS = {
    "two lengths": (b"Content-Length: 12\r\nContent-Length: 13\r\n", BODY),
    "the same length twice": (b"Content-Length: 12\r\nContent-Length: 12\r\n", BODY),
    "a list of lengths": (b"Content-Length: 12, 12\r\n", BODY),
    "a length with a sign": (b"Content-Length: +12\r\n", BODY),
    "a blank before the colon": (b"Content-Length : 12\r\n", BODY),
    "a length in a folded line": (b"X: y\r\n Content-Length: 12\r\n", BODY),
    "length, then coding": (b"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
    "coding, then length": (b"Transfer-Encoding: chunked\r\nContent-Length: 12\r\n", CHUNKED),
    "a coding of no name": (b"Transfer-Encoding: xchunked\r\n", CHUNKED),
    "a coding of no name, and a length": (b"Content-Length: 12\r\nTransfer-Encoding: xchunked\r\n", BODY),
    "two codings": (b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
    "the coding twice": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", CHUNKED),
    "a tab before the coding": (b"Transfer-Encoding:\tchunked\r\n", CHUNKED),
    "a blank after the coding's name": (b"Transfer-Encoding : chunked\r\n", CHUNKED),
}


@pytest.mark.row("B-08")
@pytest.mark.parametrize("fields", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(
    proxied: Proxied, fields: tuple[bytes, bytes]
) -> None:
    head, body = fields
    before = proxied.service_log.read_text()
    hidden = b"GET /connexion HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = proxied.ask(HEAD + head + b"\r\n" + body + hidden)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1, "what follows is not answered"
    assert proxied.service_log.read_text() == before, "the service sees nothing of it"


@pytest.mark.row("B-08")
def test_a_body_in_chunks_reaches_the_service_with_its_length(proxied: Proxied) -> None:
    answer = proxied.ask(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"unsupported_grant_type" in answer


def drip(connections: list[socket.socket], stop: threading.Event) -> None:
    while not stop.wait(1):
        for connection in connections:
            with suppress(OSError):  # closed by the server
                connection.send(b"s")


@pytest.mark.row("W-03")
@pytest.mark.parametrize(
    ("begun", "number"),
    [(SLOW_HEAD, 64), (SLOW_BODY, 64), (SLOW_HELLO, 900)],
    ids=["heads", "bodies", "hellos, more than a worker of Debian's nginx has connections"],
)
def test_clients_at_a_byte_a_second_do_not_delay_other_clients(proxied: Proxied, begun: bytes, number: int) -> None:
    # While slow clients send, other requests are answered; the slow connections are still open afterwards.
    stop = threading.Event()
    connect = proxied.connect_plainly if begun == SLOW_HELLO else proxied.connect
    with ExitStack() as stack:
        slow = [stack.enter_context(connect()) for _ in range(number)]
        for connection in slow:
            connection.sendall(begun)
        dripping = threading.Thread(target=drip, args=(slow, stop))
        dripping.start()
        try:
            for _ in range(4):
                time.sleep(0.5)
                assert proxied.ask().startswith(b"HTTP/1.1 200 ")
        finally:
            stop.set()
            dripping.join()
        for connection in slow:
            connection.setblocking(False)
            with pytest.raises((ssl.SSLWantReadError, BlockingIOError)):  # neither answered nor closed
                connection.recv(1)
