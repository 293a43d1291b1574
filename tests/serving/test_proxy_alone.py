"""The supplied proxies with no service behind them: their logs, and the names that they answer to."""

import ipaddress
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from flask import Flask

from idp.throttle.limits import network_of, site_of
from idp.web import declarations
from idp.web.http import FORM_WITH_FILES, MAX_UPLOAD
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import postgresql_copy, settings_for
from tests.protocol.ent_server import authority
from tests.serving.proxy import adapted, curl_post, nginx, supplied, supplied_desk, titles_of
from tests.waiting import wait_for

pytestmark = pytest.mark.interop


SECRET = "5ecre7"


@dataclass(frozen=True)
class Proxies:
    folder: Path
    trusted: Path
    ports: dict[str, int]

    def status(self, of: str, path: str, more: str = "", host: str = "localhost", method: str = "GET") -> str:
        request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n".encode()
        with socket.create_connection(("127.0.0.1", self.ports[of]), timeout=PATIENCE) as plain:
            if of == "http":
                plain.sendall(request)
                return str(read_all(plain)[9:12], "ascii")
            client = ssl.create_default_context(cafile=self.trusted)
            with client.wrap_socket(plain, server_hostname="localhost") as connection:
                connection.sendall(request)
                return str(read_all(connection)[9:12], "ascii")

    def cut_off(self, of: str, path: str) -> None:
        client = ssl.create_default_context(cafile=self.trusted)
        with (
            socket.create_connection(("127.0.0.1", self.ports[of]), timeout=PATIENCE) as plain,
            client.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode())

    def logs(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in self.folder.rglob("*.log")}


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[Proxies]:
    ports = {name: free_port() for name in ("http", "idp", "desk")}
    certified = authority(tmp_path, "localhost")
    site = supplied(tmp_path, ports["idp"], free_port(), certified.chain, ports["http"])
    site += supplied_desk(tmp_path, ports["desk"], free_port(), certified.chain)
    site = site.replace("rate=200r/s", "rate=1r/m").replace("burst=400 nodelay", "burst=6 nodelay")
    with nginx(tmp_path / "nginx", ports["desk"], site):
        yield Proxies(tmp_path, certified.trusted, ports)


def test_no_log_has_a_link_or_a_query_though_requests_fail(proxies: Proxies) -> None:
    # A link that found no service is unused: a person who reads it in a log can use it.
    referrer = f"Referer: https://localhost/mot-de-passe/lien/{SECRET}\r\n"
    links = [f"/{path}/{SECRET}" for path in ("mot-de-passe/lien", "adresse/lien", "adresse/contestation")]
    asked = [("idp", path) for path in (*links, f"/authorize?login_hint={SECRET}")]
    asked += [("desk", path) for path in (f"/invitation/{SECRET}", f"/recherche?q={SECRET}")]
    away = [proxies.status(of, path, referrer) for of, path in asked]
    too_long = proxies.status("idp", links[0], f"{referrer}Content-Length: 900000\r\n")
    refused = [proxies.status(of, path, referrer) for of, path in asked]
    plain = proxies.status("http", f"/authorize?login_hint={SECRET}", referrer)
    assert (set(away), too_long, set(refused), plain) == ({"502"}, "413", {"429"}, "301")
    logs = proxies.logs()
    assert [name for name, text in logs.items() if SECRET in text] == []
    assert logs["idp-error.log"] == ""
    for name in ("idp.log", "idp-desk.log"):
        assert set(re.findall(r" GET (\S+ \d+) ", logs[name])) >= {"/502.html 502", "/502.html 429"}, (
            "failures are seen"
        )


def test_no_log_has_the_link_of_a_request_that_ends_before_its_headers(proxies: Proxies) -> None:
    links = [("idp", f"/{path}/{SECRET}") for path in ("mot-de-passe/lien", "adresse/lien", "adresse/contestation")]
    for of, path in (*links, ("idp", f"/adresse/signalement/{SECRET}"), ("desk", f"/invitation/{SECRET}")):
        proxies.cut_off(of, path)
        assert proxies.status(of, path, "Host: localhost\r\n") == "400"
        assert proxies.status(of, path, method="TRACE") == "405"
    proxies.cut_off("desk", "/equipe")
    wait_for(lambda: "/equipe 400" in proxies.logs()["idp-desk.log"], tell=proxies.logs)
    assert [name for name, text in proxies.logs().items() if SECRET in text] == []


def test_the_forms_of_people_have_a_lower_limit_than_pages_and_programs(app: Flask, tmp_path: Path) -> None:
    port = free_port()
    certified = authority(tmp_path, "localhost")
    lower = {"rate=30r/s": "rate=1r/m", "burst=60 nodelay;": "nodelay;"}
    site = adapted(supplied(tmp_path, port, free_port(), certified.chain), lower)
    declared = declarations.of(app)
    posted = [rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())]
    programs = [path for path in posted if not declared.is_for_people(path) and "<" not in path]
    with nginx(tmp_path / "nginx", port, site):
        proxy = Proxies(tmp_path, certified.trusted, {"idp": port})
        for path in ("/connexion", *programs):
            sent = [proxy.status("idp", path, "Content-Length: 0\r\n", method="POST") for _ in range(2)]
            assert sent == ["502", "429" if path == "/connexion" else "502"], path
        assert [proxy.status("idp", "/connexion", method=method) for method in ("GET", "HEAD", "DELETE")] == [
            "502",
            "502",
            "429",
        ]
    assert len(programs) > 5


@pytest.mark.parametrize("of", ["http", "idp"])
@pytest.mark.parametrize("host", ["ailleurs.exemple.fr", "127.0.0.1", "localhost.ailleurs.exemple.fr"])
def test_a_request_for_another_host_does_not_reach_the_service(proxies: Proxies, of: str, host: str) -> None:
    assert proxies.status(of, "/connexion", host=host) == "421"
    assert proxies.status(of, "/connexion") == {"http": "301", "idp": "502"}[of]


def test_a_connection_that_does_not_finish_its_handshake_is_closed_after_the_time_for_a_head(tmp_path: Path) -> None:
    # nginx does not yet know which name is asked for: the limit is that of the default server.
    port = free_port()
    site = supplied(tmp_path, port, free_port(), authority(tmp_path, "localhost").chain)
    with nginx(tmp_path / "nginx", port, site.replace("client_header_timeout 10s", "client_header_timeout 1s")):
        start = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as slow:
            slow.sendall(b"\x16")
            assert slow.recv(1) == b""
        assert 1 <= time.monotonic() - start < 20


NETWORKS = (
    "203.0.113.9",
    "203.0.113.10",
    "2001:db8:1:2:3:4:5:6",
    "2001:db8:1:2::1",
    "2001:db8:1:3::1",
    "2001:db8::1",
    "2001:db8::1:2:3:4",
    "2001:db8:0:0:1::",
    "2001:db8:0:1::1",
    "2001:db8:1::1",
    "2001:db8:1:0:1::",
    "2001:db8:1:1::",
    "2001::b:1:2:3:4",
    "2001:0:0:b:1::",
    "2001::1",
    "2001::1:2:3:4",
    "2001:0:0:0:1::",
    "fd00::",
    "::ffff:203.0.113.9",
    "::ffff:203.0.113.11",
    "::1",
)
"""The short forms of IPv6 in which a run of zeros begins before the end of a /64, and ends before or after it."""


def random_networks(number: int) -> list[str]:
    """Return IPv6 of few groups other than zero, so that many have a network in common."""
    dice = random.Random(16)
    words = [[dice.choice((0x2001, 0x2A01)), *dice.choices((0, 0, 1), k=7)] for _ in range(number)]
    return [str(ipaddress.IPv6Address(":".join(f"{word:x}" for word in group))) for group in words]


@pytest.mark.row("I-10")
@pytest.mark.parametrize(
    ("rate", "burst", "method", "counted"),
    [
        ("200r/s", 400, "GET", network_of),
        ("30r/s", 60, "POST", network_of),
        ("800r/s", 1600, "GET", site_of),
        ("120r/s", 240, "POST", site_of),
    ],
)
def test_the_limits_of_the_proxy_count_a_network_as_the_service_does(
    tmp_path: Path, rate: str, burst: int, method: str, counted: Callable[[str], str | None]
) -> None:
    port = free_port()
    certified = authority(tmp_path, "localhost")
    once = {f"rate={rate}": "rate=1r/m", f"burst={burst} nodelay;": "nodelay;"}
    site = adapted(supplied(tmp_path, port, free_port(), certified.chain), once)
    ips, seen = (*NETWORKS, *random_networks(60)), set[str]()
    forwarded = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Test-Ip;\n"
    with nginx(tmp_path / "nginx", port, forwarded + site):
        proxy = Proxies(tmp_path, certified.trusted, {"idp": port})
        for ip in ips:
            network = counted(ip)
            expected = "429" if network in seen else "502"
            sent = f"X-Test-Ip: {ip}\r\nContent-Length: 0\r\n"
            assert proxy.status("idp", "/connexion", sent, method=method) == expected, ip
            if network and network != "::/48":  # no site of the Internet
                seen.add(network)
    assert 5 < len(seen) < len(ips) / 2


@dataclass(frozen=True)
class ProxiedDesk:
    port: int
    trusted: Path
    log: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, HTTPMessage, str]:
        context = ssl.create_default_context(cafile=self.trusted)
        with closing(HTTPSConnection("localhost", self.port, timeout=PATIENCE, context=context)) as connection:
            connection.request(method, path, None, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()


@pytest.fixture(scope="module")
def desk(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedDesk]:
    folder = tmp_path_factory.mktemp("proxied_desk")
    port, desk_port, upstream = free_port(), free_port(), free_port()
    certified, log = authority(folder, "localhost"), folder / "desk.log"
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_copy(shared))
        settings = settings_for(url, desk_url=f"https://localhost:{desk_port}", trusted_proxies=1)
        process = stack.enter_context(running(settings, log, "desk", "serve", "--bind", f"127.0.0.1:{upstream}"))
        connect(upstream, process, log).close()
        site = supplied(folder, port, free_port(), certified.chain)
        site += supplied_desk(folder, desk_port, upstream, certified.chain)
        stack.enter_context(nginx(folder / "nginx", desk_port, site))
        yield ProxiedDesk(desk_port, certified.trusted, folder / "idp-desk.log")


def test_the_desk_answers_behind_the_proxy(desk: ProxiedDesk) -> None:
    status, headers, page = desk.ask("/connexion")
    assert status == 200
    assert "Connexion au bureau" in page
    assert "Secure" in headers["Set-Cookie"]


def test_a_long_url_leads_to_the_sign_in(desk: ProxiedDesk) -> None:
    status, headers, _ = desk.ask(f"/recherche?q={quote('é' * 1200)}")
    assert status == 303
    assert len(headers["Location"]) > 8192


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_large_files_meet_the_desk_and_larger_ones_a_page_of_the_proxy(
    desk: ProxiedDesk, version: str, tmp_path: Path
) -> None:
    # The desk says how large files may be to a person who is signed in, and leads others to the sign-in.
    url, files = f"https://localhost:{desk.port}/fichiers", tmp_path / "files"
    form = ("-H", f"Content-Type: {FORM_WITH_FILES}; boundary=x", version)
    with files.open("wb") as sparse:
        sparse.truncate(MAX_UPLOAD + 1024**2)
    head, _ = curl_post(url, files, desk.trusted, *form)
    assert " 303" in head.splitlines()[0]
    assert re.search(r"^location: /connexion\?", head, re.MULTILINE | re.IGNORECASE)
    with files.open("wb") as sparse:
        sparse.truncate(2 * MAX_UPLOAD + 1024**2)
    head, page = curl_post(url, files, desk.trusted, *form)
    assert " 413" in head.splitlines()[0]
    assert titles_of(page) == ["C’est trop lourd"] * 2
    assert "envoyez-en moins à la fois" in page


def test_an_unknown_transfer_coding_is_an_error_of_the_client(desk: ProxiedDesk) -> None:
    assert desk.ask("/connexion", "POST", Transfer_Encoding="gzip")[0] == 400
