"""nginx and deploy/nginx-desk.conf in front of `idp desk serve`."""

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPSConnection
from pathlib import Path
from urllib.parse import quote

import pytest

from idp.web.http import FORM_WITH_FILES, MAX_UPLOAD
from tests.commands.processes import PATIENCE, connect, free_port, running
from tests.databases import postgresql_copy, settings_for
from tests.protocol.ent_server import authority
from tests.serving.proxy import curl_post, nginx, supplied, supplied_desk, titles_of

pytestmark = pytest.mark.interop


@dataclass(frozen=True)
class ProxiedDesk:
    """The desk behind the proxy."""

    port: int
    trusted: Path
    log: Path

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, HTTPMessage, str]:
        """Return the status, the headers and the body of an answer."""
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
    """The desk says how large files may be to a person who is signed in, and leads others to the sign-in."""
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


def test_the_log_has_neither_links_nor_queries(desk: ProxiedDesk) -> None:
    assert desk.ask("/invitation/0123456789")[0] == 410
    before = desk.log.read_text().count("/connexion")
    assert desk.ask("/connexion?suite=/recherche?q=secret")[0] == 200
    until = time.monotonic() + PATIENCE
    while (text := desk.log.read_text()).count("/connexion") == before:
        assert time.monotonic() < until, text
        time.sleep(0.05)  # the proxy writes its line after it has sent the answer
    assert "0123456789" not in text
    assert "secret" not in text
