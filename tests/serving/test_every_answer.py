"""B-02 on `idp serve` as a process: every response has the security headers, and no header contains the request.

The tests use raw sockets, to send requests that no client library sends.
"""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import postgresql_copy, settings_for

PROTECTING = (
    b"x-content-type-options: nosniff",
    b"referrer-policy: no-referrer",
    b"cross-origin-opener-policy: same-origin",
    b"permissions-policy: camera=(), microphone=(), geolocation=()",
    b"strict-transport-security: max-age=31536000; includesubdomains",
    b"cross-origin-resource-policy: ",
)
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def port(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("answers"), free_port()
    arguments = ("serve", "--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "4")
    with postgresql_copy(shared) as url, running(settings_for(url), folder / "log", *arguments) as process:
        with connect(port, process, folder / "log") as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        yield port
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert "Traceback" not in (folder / "log").read_text()


def ask(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    head, _, body = ask_as_sent(port, request).partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), head.lower(), body


def ask_as_sent(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        return read_all(connection)


def request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{length}\r\n".encode() + body


ANSWERS = {
    "a page": (request("GET", "/connexion"), 200),
    "its head": (request("HEAD", "/connexion"), 200),
    "its options": (request("OPTIONS", "/connexion"), 200),
    "a redirect": (request("GET", "/"), 303),
    "the favicon": (request("GET", "/favicon.ico"), 404),
    "robots.txt": (request("GET", "/robots.txt"), 404),
    "nothing": (request("GET", "/rien"), 404),
    "no file": (request("GET", "/static/rien.css"), 404),
    "a file": (request("GET", "/static/base.css"), 200),
    "its head only": (request("HEAD", "/static/base.css"), 200),
    "a file that is known": (
        request("GET", "/static/base.css", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"),
        304,
    ),
    "a part of a file": (request("GET", "/static/base.css", "Range: bytes=0-9\r\n"), 206),
    "no part of a file": (request("GET", "/static/base.css", "Range: bytes=99999999-\r\n"), 416),
    "posted to a file": (request("POST", "/static/base.css"), 405),
    "options of a file": (request("OPTIONS", "/static/base.css"), 405),
    "discovery": (request("GET", "/.well-known/openid-configuration"), 200),
    "no well-known address": (request("GET", "/.well-known/rien"), 404),
    "the keys": (request("GET", "/jwks.json"), 200),
    "a frame": (request("GET", "/session/check"), 200),
    "a wrong method": (request("PUT", "/connexion"), 405),
    "a method of nobody": (request("BREW", "/connexion"), 405),
    "a wrong method of the protocol": (request("GET", "/token"), 405),
    "no client": (request("POST", "/token", FORM, b"grant_type=refresh_token&client_id=x&client_secret=y"), 401),
    "no token": (request("GET", "/userinfo"), 401),
    "no form token": (request("POST", "/connexion", FORM, b"x=y"), 400),
    "a request of nobody": (request("GET", "/authorize?client_id=nobody"), 400),
    "a dead link": (request("GET", "/adresse/lien/" + "A" * 43), 410),
    "too long a body": (request("POST", "/connexion", FORM, b"x" * 70_000), 413),
    "too long a URL": (request("GET", "/connexion?x=" + "x" * 8_180), 414),
    "too long a path": (request("GET", "/" + "x" * 9_000), 414),
    "too many fields": (request("POST", "/connexion", FORM, b"&".join([b"x=y"] * 60)), 413),
    "a file sent": (request("POST", "/connexion", "Content-Type: multipart/form-data; boundary=x\r\n", b"--x--"), 415),
    "a strange path": (request("GET", "/%00%ff/..%2f"), 404),
    "health": (request("GET", "/healthz"), 200),
    "readiness": (request("GET", "/readyz?x=y"), 200),
    "readiness with two slashes": (request("GET", "//readyz"), 404),
    "readiness with an encoded letter": (request("GET", "/%72eadyz"), 404),
}


@pytest.mark.row("B-02")
@pytest.mark.parametrize("name", ANSWERS)
def test_every_response_of_the_application_has_the_security_headers(port: int, name: str) -> None:
    sent, expected = ANSWERS[name]
    status, head, body = ask(port, sent)
    assert status == expected, head
    lines = head.split(b"\r\n")
    is_style = b"\r\ncontent-type: text/css" in head  # a page's own headers protect it
    for header in PROTECTING[:1] if is_style else PROTECTING:
        assert len([line for line in lines if line.startswith(header)]) == 1, (header, head)
        assert sum(line.startswith(header.partition(b":")[0] + b":") for line in lines) == 1, (header, head)
    if b"\r\ncontent-type: text/html" in head:
        assert b"content-security-policy: default-src 'none'" in head
        assert not body or b"<html lang=" in body, "no page but ours"


@pytest.mark.row("B-02")
@pytest.mark.parametrize(
    "sent",
    [
        b"rubbish\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        b"G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /static/" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(120)) + b"\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"x" * 500_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: five\r\n\r\n",
        b"GET /connexion HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /connexion HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        b"get /connexion HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
    ids=lambda sent: repr(sent[:20]),
)
def test_error_responses_of_the_server_have_no_body(port: int, sent: bytes) -> None:
    status, head, body = ask(port, sent)
    assert 400 <= status < 500
    assert body == b""
    assert b"content-type" not in head
    assert b"content-length: 0" in head


def test_too_long_a_url_is_a_page_for_a_person_and_nothing_for_a_program(port: int) -> None:
    for language, heading in (("fr", "Cette adresse est trop longue"), ("en", "This address is too long")):
        for _ in range(2):
            sent = request("GET", "/connexion?x=" + "x" * 8_180, f"Accept-Language: {language}\r\n")
            status, head, body = ask(port, sent)
            assert (status, f"<h1>{heading}</h1>" in body.decode()) == (414, True)
            assert b"\r\nconnection: close" in head
    assert ask(port, request("HEAD", "/" + "x" * 9_000))[::2] == (414, b"")
    for path in ("/token", "/userinfo", "/.well-known/openid-configuration"):
        assert ask(port, request("GET", f"{path}?x=" + "x" * 8_300))[::2] == (414, b""), path


@pytest.mark.row("B-08")
@pytest.mark.parametrize("name", ["SCRIPT_NAME", "Script_Name", "PATH_INFO", "SCRIPT-NAME", "Path-Info"])
@pytest.mark.parametrize("value", ["/connexion", "/mentions", "/", "//evil.test", "x"])
def test_headers_do_not_override_the_requested_path(port: int, name: str, value: str) -> None:
    status, head, body = ask(port, request("GET", "/mentions-legales", f"{name}: {value}\r\n"))
    plain = ask(port, request("GET", "/mentions-legales"))
    assert (status, body) == (plain[0], plain[2])
    status, head, _ = ask(port, request("GET", "/", f"{name}: {value}\r\n"))
    assert (status, b"\r\nlocation: /mon-compte\r\n" in head) == (303, True), head
    assert b"evil" not in head


@pytest.mark.row("B-08")
@pytest.mark.parametrize(
    "header",
    [
        "X_Forwarded_For: 198.51.100.9",
        "REMOTE_ADDR: 198.51.100.9",
        "Remote-Addr: 198.51.100.9",
        "wsgi.url_scheme: http",
    ],
)
def test_headers_do_not_override_variables_of_the_server(port: int, header: str) -> None:
    status, _, _ = ask(port, request("GET", "/connexion", f"{header}\r\n"))
    assert status == 200


@pytest.mark.row("B-08")
def test_a_cookie_with_other_letters_takes_no_other_cookie_away(port: int) -> None:
    # A site beside this one, below the same domain, can set any cookie.
    answer = ask_as_sent(port, request("GET", "/connexion"))
    token, *_ = re.findall(rb'name="csrf_token" value="([^"]+)"', answer)
    [own] = re.findall(rb"set-cookie: (\S*tx=[^;]+);", answer)
    form = b"csrf_token=" + token + b"&identifiant=personne&mot-de-passe=essai"
    plain = request("POST", "/connexion", FORM, form)
    for other in ("; ecole=Coll\u00e8ge".encode(), b"; ecole=Coll\xe8ge", b""):
        sent = plain.replace(b"Host: x\r\n", b"Host: x\r\nCookie: " + own + other + b"\r\n")
        status, _, page = ask(port, sent)
        assert (status, "n’êtes pas connecté".encode() in page) == (200, True), other
