"""The supplied proxies with no service behind them: their logs, and the names that they answer to."""

import ipaddress
import random
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask

from idp.throttle.limits import network_of, site_of
from idp.web import declarations
from tests.commands.processes import PATIENCE, free_port, read_all
from tests.protocol.ent_server import authority
from tests.serving.proxy import adapted, nginx, supplied, supplied_desk

pytestmark = pytest.mark.interop

SECRET = "5ecre7"


@dataclass(frozen=True)
class Proxies:
    """Both proxies, and the port of the redirects."""

    folder: Path
    trusted: Path
    ports: dict[str, int]

    def status(self, of: str, path: str, more: str = "", host: str = "localhost", method: str = "GET") -> str:
        """Return the status of the answer to a request."""
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
        """Begin a request whose line drops among the headers."""
        client = ssl.create_default_context(cafile=self.trusted)
        with (
            socket.create_connection(("127.0.0.1", self.ports[of]), timeout=PATIENCE) as plain,
            client.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode())

    def logs(self) -> dict[str, str]:
        """Return all that nginx wrote, by the names of its files."""
        return {file.name: file.read_text() for file in self.folder.rglob("*.log")}


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[Proxies]:
    """Both proxies with low limits."""
    ports = {name: free_port() for name in ("http", "idp", "desk")}
    certified = authority(tmp_path, "localhost")
    site = supplied(tmp_path, ports["idp"], free_port(), certified.chain, ports["http"])
    site += supplied_desk(tmp_path, ports["desk"], free_port(), certified.chain)
    site = site.replace("rate=200r/s", "rate=1r/m").replace("burst=400 nodelay", "burst=6 nodelay")
    with nginx(tmp_path / "nginx", ports["desk"], site):
        yield Proxies(tmp_path, certified.trusted, ports)


def test_no_log_has_a_link_or_a_query_though_requests_fail(proxies: Proxies) -> None:
    """A link that found no service is unused: a person who reads it in a log can use it."""
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
    until = time.monotonic() + PATIENCE
    while "/equipe 400" not in (logs := proxies.logs())["idp-desk.log"]:
        assert time.monotonic() < until, logs
        time.sleep(0.05)
    assert [name for name, text in logs.items() if SECRET in text] == []


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
    """nginx does not yet know which name is asked for: the limit is that of the default server."""
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
    """A subscriber has all addresses of a /64, and a site those of a /48."""
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
