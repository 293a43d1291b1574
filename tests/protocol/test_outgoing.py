"""Requests of this service to others (security row L-07): permitted addresses and names, timeouts, size limits."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from idp.config import ConfigurationError, load
from idp.http_client import outgoing
from idp.http_client.outgoing import Outgoing, OutgoingError, UrlRefusedError
from tests.databases import ISSUER, SECRET
from tests.protocol.ent_server import (  # noqa: F401 - fixtures too
    FORM,
    Authority,
    EntServer,
    Resolver,
    authority,
    called_authority,
    called_ent,
    called_resolver,
    listening_ent,
    production,
    trust_only,
)
from tests.rows import each_row

LOOPBACK_ISSUER = "http://127.0.0.1:8000"


def development(*allowed: str) -> Outgoing:
    return Outgoing(load(issuer=LOOPBACK_ISSUER, env="development", outgoing_allow=allowed))


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    tried: list[Any] = []

    def note(_self: socket.socket, endpoint: Any) -> None:
        tried.append(endpoint)
        raise ConnectionRefusedError

    class Noted(socket.socket):
        connect = note

    monkeypatch.setattr(socket, "socket", Noted)
    return tried


@pytest.mark.row("L-07")
@each_row(
    "host",
    [
        *("127.0.0.1", "127.8.9.1", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),  # noqa: S104
        *("100.64.0.1", "198.18.0.1", "192.0.2.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *("[::1]", "[::]", "[fe80::1]", "[fd12::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[::127.0.0.1]"),
        *("[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]", "[64:ff9b:1::1]", "[2002:7f00:1::1]", "[2002:a9fe:a9fe::1]"),
        *("2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0", "localhost", "LOCALHOST", "localhost."),
    ],
)
def test_an_internal_ip_is_refused_before_any_connection(host: str, connections: list[Any]) -> None:
    # OWASP ASVS 5, V 1.3.6; Security row L-07.
    with pytest.raises(UrlRefusedError) as refusal:
        production().post_form(f"https://{host}/logout", FORM)
    assert "IDP_OUTGOING_ALLOW" in refusal.value.reason
    assert connections == []


@pytest.mark.row("L-07")
@each_row(
    "ips",
    [["127.0.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["93.184.215.14", "10.0.0.1"]],
)
def test_a_name_with_one_internal_ip_is_refused(ips: list[str], resolver: Resolver, connections: list[Any]) -> None:
    resolver.hosts["rebind.test"] = ips
    with pytest.raises(UrlRefusedError):
        production("autre.test", "192.168.0.0/16").post_form("https://rebind.test/", FORM)
    assert connections == []


@pytest.mark.parametrize("ip", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_a_public_ip_is_requested(ip: str, resolver: Resolver, connections: list[Any]) -> None:
    # Back-Channel Logout 1.0, 2.5.
    resolver.hosts["public.test"] = [ip]
    with pytest.raises(OutgoingError) as failure:
        production().post_form("https://public.test/", FORM)
    assert not isinstance(failure.value, UrlRefusedError)
    assert [(endpoint[0], endpoint[1]) for endpoint in connections] == [(ip, 443)]


@pytest.mark.row("L-07")
@each_row(
    "url",
    [
        *("http://ent.test/", "ftp://ent.test/", "file:///etc/passwd", "//ent.test/", "ent.test", "", "https://"),
        *(
            "https://user@ent.test/",
            "https://a:b@ent.test/",
            "https://ent.test:99999/",
            "https://[::1",
            "http://[::1]/",
        ),
    ],
)
def test_only_https_urls_are_requested(url: str, resolver: Resolver, connections: list[Any]) -> None:
    # Back-Channel Logout 1.0, 2.2; OWASP ASVS 5, V 1.3.6.
    resolver.hosts["ent.test"] = ["93.184.215.14"]
    with pytest.raises(UrlRefusedError):
        production("ent.test", "127.0.0.0/8", "::1").post_form(url, FORM)
    assert connections == []
    assert resolver.questions == []


def test_in_development_loopback_is_called_without_tls_and_nothing_else_is(
    resolver: Resolver, connections: list[Any]
) -> None:
    # Back-Channel Logout 1.0, 2.2.
    resolver.hosts |= {"ent.test": ["127.0.0.1"], "public.test": ["93.184.215.14"]}
    for url in ("http://ent.test/", "http://public.test/", "http://127.0.0.2/", "http://10.0.0.1/"):
        with pytest.raises(UrlRefusedError):
            development().post_form(url, FORM)
    with pytest.raises(UrlRefusedError):
        development().post_form("https://10.0.0.1/", FORM)
    assert connections == []


@pytest.mark.parametrize("allowed", ["ent.test", "ENT.test", "127.0.0.1", "127.0.0.0/8"])
def test_an_allowed_host_is_requested_by_its_name_over_tls(allowed: str, ent: EntServer) -> None:
    # OWASP ASVS 5, V 13.2.4.
    answer = production(allowed).post_form(ent.uri(), FORM)
    assert (answer.status, answer.retry_after) == (200, None)
    [request] = ent.asked
    assert (request.method, request.path, request.body) == ("POST", "/backchannel-logout", "logout_token=a.b.c")
    assert request.headers["Host"] == f"ent.test:{ent.port}"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.row("L-07")
def test_the_name_is_resolved_once_and_the_checked_ip_is_requested(
    ent: EntServer, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OWASP ASVS 5, V 1.3.6. A name that leads elsewhere when it is asked a second time is not asked a second time.
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert production("127.0.0.0/8").post_form(ent.uri(), FORM).status == 200
    assert resolver.questions == ["ent.test"]


def test_an_unreachable_ip_leaves_time_for_the_next_ip(ent: EntServer, resolver: Resolver) -> None:
    # OWASP ASVS 5, V 13.2.6.
    resolver.hosts["ent.test"] = ["127.0.0.9", "127.0.0.1"]  # nobody listens on the first
    assert production("ent.test").post_form(ent.uri(), FORM).status == 200


@pytest.mark.row("L-07")
def test_a_certificate_of_another_name_is_refused(ent: EntServer, resolver: Resolver) -> None:
    # OWASP ASVS 5, V 12.3.2.
    resolver.hosts["other.test"] = ["127.0.0.1"]
    with pytest.raises(OutgoingError, match="invalid certificate: Hostname mismatch"):
        production("127.0.0.0/8").post_form(ent.uri("other.test"), FORM)
    assert ent.asked == []


@pytest.mark.row("L-07")
def test_a_certificate_of_an_unknown_authority_is_refused(ent: EntServer, resolver: Resolver, tmp_path: Path) -> None:
    # OWASP ASVS 5, V 12.3.2.
    resolver.hosts["foreign.test"] = ["127.0.0.1"]
    with (
        listening_ent(authority(tmp_path, "foreign.test").chain) as foreign,
        pytest.raises(OutgoingError, match="invalid certificate"),
    ):
        production("127.0.0.0/8").post_form(foreign.uri("foreign.test"), FORM)
    assert foreign.asked == []


@each_row("entry", ["10.0.0.1/8", "*.exemple.fr", "https://ent.test", "ent test", "", "1.2.3", "a..b", "-a"])
def test_an_entry_that_is_neither_host_nor_network_is_refused_at_the_start(
    entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OWASP ASVS 5, V 13.2.4.
    monkeypatch.setenv("IDP_OUTGOING_ALLOW", f'["ent.intranet", "10.0.0.0/8", "fd00::/8", "{entry}"]')
    with pytest.raises(ConfigurationError) as refusal:
        load(issuer=ISSUER, secret_key=SECRET)
    assert [fault for fault in refusal.value.faults if "IDP_OUTGOING_ALLOW: entry 4 must be" in fault]


def test_the_operator_s_authorities_are_trusted_besides_the_system_s(
    resolver: Resolver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OWASP ASVS 5, V 12.3.2. An ENT inside a network often has a certificate that nobody outside knows.
    ours, systems = authority(tmp_path, "ours.test"), authority(tmp_path, "theirs.test")
    trust_only(monkeypatch, systems.trusted)
    allowed = ("ours.test", "theirs.test")
    plain = Outgoing(load(issuer=ISSUER, secret_key=SECRET, outgoing_allow=allowed))
    outgoing_client = Outgoing(load(issuer=ISSUER, secret_key=SECRET, outgoing_allow=allowed, ca_bundle=ours.trusted))
    resolver.hosts |= {"ours.test": ["127.0.0.1"], "theirs.test": ["127.0.0.1"]}
    with listening_ent(ours.chain) as near, listening_ent(systems.chain) as far:
        far.served["/keys"] = near.served["/keys"] = (200, {}, b"{}")
        assert outgoing_client.get(near.uri("ours.test", "/keys")).status == 200
        assert outgoing_client.get(far.uri("theirs.test", "/keys")).status == 200
        with pytest.raises(OutgoingError, match="invalid certificate"):
            plain.get(near.uri("ours.test", "/keys"))
    [request] = near.asked
    assert (request.method, request.headers["Accept"], request.body) == ("GET", "application/json", "")
    assert "Content-Type" not in request.headers


@each_row("content", [None, b"", b"-----BEGIN CERTIFICATE-----", b"\xff\xfe"])
def test_a_bundle_without_authorities_is_refused_at_the_start(content: bytes | None, tmp_path: Path) -> None:
    # OWASP ASVS 5, V 12.3.2. A bundle that holds no authority validates none, and is no setting.
    bundle = tmp_path / "authorities.pem"
    if content is not None:
        bundle.write_bytes(content)
    with pytest.raises(ConfigurationError) as refusal:
        load(issuer=ISSUER, secret_key=SECRET, ca_bundle=bundle)
    assert any("IDP_CA_BUNDLE: must be a readable PEM file" in fault for fault in refusal.value.faults)


def test_a_server_without_tls_or_http_is_an_error(ent: EntServer, resolver: Resolver) -> None:
    # Back-Channel Logout 1.0, 2.8.
    with listening_ent(None) as clear, pytest.raises(OutgoingError, match="no TLS"):
        production("127.0.0.0/8").post_form(f"https://ent.test:{clear.port}/", FORM)
    ent.next = [greet]
    with pytest.raises(OutgoingError, match="not an HTTP response"):
        production("ent.test").post_form(ent.uri(), FORM)
    with pytest.raises(OutgoingError, match="unknown host"):
        production().post_form("https://unknown.test/", FORM)
    with pytest.raises(OutgoingError, match="unknown host"):
        production().post_form(f"https://{'a' * 64}.fr/", FORM)


@pytest.mark.row("L-07")
def test_a_redirect_is_an_answer_and_is_not_followed(ent: EntServer) -> None:
    # OWASP ASVS 5, V 15.3.2.
    for status in (301, 302, 303, 307, 308):
        ent.next = [(status, {"Location": ent.uri(path="/elsewhere")}, b"")]
        assert production("ent.test").post_form(ent.uri(), FORM).status == status
    assert {request.path for request in ent.asked} == {"/backchannel-logout"}
    assert len(ent.asked) == 5


def greet(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.test ESMTP\r\n")


def hang(handler: BaseHTTPRequestHandler, left: threading.Event) -> None:
    left.wait(60)


def drip(handler: BaseHTTPRequestHandler, left: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not left.wait(0.02):
        handler.wfile.write(b"s")


@pytest.fixture
def left() -> Iterator[threading.Event]:
    """A slow server waits until it is set, at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.row("L-07")
@pytest.mark.parametrize("behaviour", [hang, drip], ids=["hangs", "one byte at a time"])
def test_a_slow_server_times_out_and_is_not_requested_again_at_once(
    behaviour: Any, ent: EntServer, left: threading.Event, resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OWASP ASVS 5, V 13.2.6; Security row L-07.
    monkeypatch.setattr(outgoing, "TIMEOUT", 1)
    caller = production("ent.test")
    ent.next = [partial(behaviour, left=left)]
    start = time.monotonic()
    with pytest.raises(OutgoingError, match="no response within 1 second"):
        caller.post_form(ent.uri(), FORM)
    assert time.monotonic() - start >= 1
    with pytest.raises(OutgoingError, match="not requested"):
        caller.post_form(ent.uri(), FORM)
    assert (len(ent.asked), len(resolver.questions)) == (1, 1)
    monkeypatch.setattr(outgoing, "TIMEOUT", 60)
    assert caller.post_form(ent.uri(path="/neighbour"), FORM).status == 200, "another ENT of that host is asked"
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + outgoing.REST)
    assert caller.post_form(ent.uri(), FORM).status == 200, "after its rest it is asked again"


@pytest.mark.row("L-07")
def test_an_endless_handshake_times_out(known: Authority, resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    # OWASP ASVS 5, V 13.2.6; Security row L-07.
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.4)
    resolver.hosts["ent.test"] = ["127.0.0.1"]
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as mute,
        pytest.raises(OutgoingError, match="no response within"),
    ):
        production("ent.test").post_form(f"https://ent.test:{mute.getsockname()[1]}/", FORM)


@pytest.mark.row("L-07")
def test_a_slow_name_resolution_times_out(left: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    # OWASP ASVS 5, V 13.2.6; Security row L-07.
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.3)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [][: left.wait(60)])
    with pytest.raises(OutgoingError, match="no response within"):
        production().post_form("https://slow.test/", FORM)


def test_an_answer_without_end_is_read_up_to_64_kib(ent: EntServer) -> None:
    # Back-Channel Logout 1.0, 2.8. 64 KiB are enough.
    ent.next = [(400, {}, b"x" * 300_000)]
    answer = production("ent.test").post_form(ent.uri(), FORM)
    assert (answer.status, len(answer.body)) == (400, 64 * 1024)


def test_a_status_is_read_without_its_body(
    ent: EntServer, left: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Back-Channel Logout 1.0, 2.8.
    monkeypatch.setattr(outgoing, "TIMEOUT", 60)

    def half(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n")
        left.wait(60)

    ent.next = [half, half, half]
    caller = production("ent.test")
    start = time.monotonic()
    answer = caller.post_form(ent.uri(), FORM)
    assert (answer.status, answer.body) == (200, b"")
    assert time.monotonic() - start < 30, "a sign-out that was taken is not waited for"
    monkeypatch.setattr(outgoing, "TIMEOUT", 1)
    assert caller.get(ent.uri()).body == b""
    assert caller.get(ent.uri()).status == 200, "somebody waits for a document: its URL does not rest"


@pytest.mark.row("L-07")
@pytest.mark.parametrize("size", [b"-1", b"-ffff", b"+ffffff", b"ffffff"])
def test_an_invalid_chunk_size_does_not_extend_the_read(ent: EntServer, size: bytes) -> None:
    # RFC 9112, 7.1. `int` also accepts signs, and a negative length would read to the end.
    sent = []

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        with suppress(OSError):
            for _ in range(500):
                handler.wfile.write(b"x" * 65_536)
                sent.append(65_536)

    ent.next = [endless]
    assert len(production("ent.test").get(ent.uri()).body) <= 64 * 1024
    assert sum(sent) < 500 * 65_536


@pytest.mark.row("L-07")
def test_endless_response_headers_are_an_error(ent: EntServer) -> None:
    # RFC 9110, 5.4.

    def headers(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 9000) for n in range(60)))

    ent.next = [headers]
    with pytest.raises(OutgoingError, match="response larger than 80 KiB"):
        production("ent.test").get(ent.uri())


@each_row(
    ("value", "seconds"),
    [
        ("120", 120), ("0", 0), ("", None), ("-5", None), ("9" * 5000, None), ("soon", None), ("1.5", None),
        ("٣", None), ("Wed, 21 Oct 2015 07:28:00 GMT", None), ("Wed, 99 Oct 9999999 07:28:00 GMT", None),
    ],
)  # fmt: skip
def test_an_invalid_retry_after_is_ignored(value: str, seconds: int | None) -> None:
    # RFC 9110, 10.2.3.
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert outgoing._retry_after(value) == expected


def test_retry_after_may_be_a_date() -> None:
    # RFC 9110, 10.2.3.
    wait = outgoing._retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True))
    assert wait is not None
    assert timedelta(hours=1, minutes=59) < wait <= timedelta(hours=2)
