"""Responses to outgoing requests: timeouts and size limits (security row L-07)."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from idp.http_client import outgoing
from idp.http_client.outgoing import OutgoingError
from tests.protocol.calling import (  # noqa: F401 - fixtures too
    FORM,
    called_authority,
    called_ent,
    called_resolver,
    production,
)
from tests.protocol.ent_server import Authority, EntServer, Resolver, listening_ent
from tests.rows import each_row


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
