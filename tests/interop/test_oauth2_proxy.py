"""oauth2-proxy, asked by nginx, with the recipe of clients/recipes."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from tests.commands.processes import connect, free_port
from tests.interop.installation import HOST, RECIPES, Installation, Registered, localised
from tests.interop.visitor import PATIENCE, Visitor
from tests.serving.proxy import adapted, nginx

_FOLDER = RECIPES / "oauth2-proxy"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scolarite-services"


@dataclass(frozen=True)
class Ent:
    origin: str
    log: Path

    @property
    def inside(self) -> str:
        return f"{self.origin}/espace"


def oauth2_proxy() -> str:
    """Return the path of the program, from PATH or built by .ci/install; skip the test without it."""
    path = shutil.which("oauth2-proxy") or max(_CACHE.glob("oauth2-proxy-*/oauth2-proxy"), default=None)
    if path is None:
        pytest.skip("oauth2-proxy is not installed (.ci/install builds it)")
    return str(path)


def read_headers(page: requests.Response) -> dict[str, str]:
    assert page.status_code == 200, f"{page.status_code} {page.url}"
    return dict(page.json())


@contextmanager
def ent_behind_nginx(
    installation: Installation, client: Registered, port: int, folder: Path, **settings: str
) -> Iterator[Ent]:
    proxy, log = free_port(), folder / "oauth2-proxy.log"
    ent = f"{HOST}:{port}"
    configuration = folder / "oauth2-proxy.cfg"
    text = localised((_FOLDER / configuration.name).read_text(encoding="utf-8"), ent, installation)
    configuration.write_text(adapted(text, {"127.0.0.1:4180": f"127.0.0.1:{proxy}"}))
    environment = {
        "PATH": os.environ["PATH"],
        "SSL_CERT_FILE": str(installation.trusted),
        "OAUTH2_PROXY_CLIENT_ID": client.client_id,
        "OAUTH2_PROXY_CLIENT_SECRET": client.secret,
        "OAUTH2_PROXY_COOKIE_SECRET": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        **{f"OAUTH2_PROXY_{name.upper()}": value for name, value in settings.items()},
    }
    with ExitStack() as stack:
        application = stack.enter_context(_telling())
        out = stack.enter_context(log.open("wb"))
        command = [oauth2_proxy(), "--config", str(configuration)]
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.terminate)
        connect(proxy, process, log).close()
        site = _site(ent, installation, port, folder, {"4180": str(proxy), "8080": str(application)})
        stack.enter_context(nginx(folder / "nginx", port, site))
        yield Ent(f"https://{ent}", log)


def _site(ent: str, installation: Installation, port: int, folder: Path, ports: dict[str, str]) -> str:
    changes = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/ent/fullchain.pem": str(installation.chain),
        "/etc/ssl/ent/key.pem": str(installation.chain),
        "root /var/www/ent;": "return 200 Accueil;",
        "server_name ent.exemple.fr;": f"server_name {HOST};",
    }
    text = adapted((_FOLDER / "nginx.conf").read_text(encoding="utf-8"), changes)
    for ours, theirs in ports.items():
        text = text.replace(f"http://127.0.0.1:{ours};", f"http://127.0.0.1:{theirs};")
    return localised(text, ent, installation)


@contextmanager
def _telling() -> Iterator[int]:
    class Application(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"path": self.path, **dict(self.headers)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Do not log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


SECTION = "nginx: oauth2-proxy"
Start = Callable[..., Ent]


@pytest.fixture
def start(installation: Installation, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(**settings: str) -> Ent:
            port = free_port()
            client = installation.register(SECTION, f"{HOST}:{port}")
            installation.publish_charter(client)
            return stack.enter_context(ent_behind_nginx(installation, client, port, tmp_path, **settings))

        yield started


SOON = "500ms"
"""The age at which a session is renewed, in whole seconds."""


def until(visitor: Visitor, ent: Ent, holds: Callable[[], bool]) -> None:
    patience = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < patience, visitor.page.text
        time.sleep(0.3)
        visitor.open(ent.inside)


def enter(visitor: Visitor, ent: Ent, parent: str, page: str = "") -> dict[str, str]:
    visitor.open(page or ent.inside)
    visitor.sign_in(parent)
    visitor.accept_the_charter()
    return read_headers(visitor.page)


@pytest.mark.interop
def test_the_application_reads_from_headers_who_signed_in(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent, parent = start(), installation.parent()
    headers = enter(visitor, ent, parent, f"{ent.inside}/notes?trimestre=1&matiere=2")
    assert headers["path"] == "/espace/notes?trimestre=1&matiere=2", "back where the parent wanted to go"
    assert headers["X-Username"] == parent
    who = requests.get(
        f"{installation.issuer}/userinfo",
        headers={"Authorization": f"Bearer {headers['X-Access-Token']}"},
        verify=str(installation.trusted),
        timeout=PATIENCE,
    ).json()
    assert (who["sub"], who["given_name"]) == (headers["X-Sub"], "Noémie")


@pytest.mark.interop
def test_the_application_believes_nginx_alone(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start()
    headers = enter(visitor, ent, installation.parent())
    forged = dict.fromkeys(("X-Sub", "X-Username", "X-Access-Token", "X-Auth-Request-User"), "forged")
    again = read_headers(visitor.open(ent.inside, forged))
    for name in ("X-Sub", "X-Username", "X-Access-Token"):
        assert again[name] == headers[name]


@pytest.mark.interop
def test_the_session_fits_in_one_cookie(installation: Installation, start: Start, visitor: Visitor) -> None:
    enter(visitor, start(), installation.parent())
    assert "__Host-ent" in visitor.cookies
    assert not [name for name in visitor.cookies if name.startswith("__Host-ent_") and "csrf" not in name]


@pytest.mark.interop
def test_the_session_is_renewed(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start(cookie_refresh=SOON)
    headers, cookie = enter(visitor, ent, installation.parent()), visitor.cookies["__Host-ent"]
    tokens = [headers["X-Access-Token"]]
    for _ in range(2):  # the second time with the refresh token of the first response
        until(visitor, ent, lambda: read_headers(visitor.page)["X-Access-Token"] not in tokens)
        tokens.append(read_headers(visitor.page)["X-Access-Token"])
    assert read_headers(visitor.page)["X-Sub"] == headers["X-Sub"]
    assert visitor.cookies["__Host-ent"] != cookie, "nginx hands the renewed session to the browser"


@pytest.mark.interop
def test_a_session_that_ended_at_the_provider_ends_at_the_next_renewal(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start(cookie_refresh=SOON)
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    visitor.open(ent.inside)
    until(visitor, ent, lambda: visitor.heading == "Connexion")


@pytest.mark.interop
def test_signing_out_goes_through_the_provider_and_comes_back(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start()
    enter(visitor, ent, installation.parent())
    visitor.open(f"{ent.origin}/deconnexion")
    assert (visitor.page.text, visitor.page.url) == ("Accueil", f"{ent.origin}/")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion", "the session at the provider is over too"
