"""oauth2-proxy, asked by nginx, with the recipe of clients/recipes."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from tests.commands.processes import free_port
from tests.interop.installation import HOST, Installation
from tests.interop.oauth2_proxy import Ent, ent_behind_nginx, read_headers
from tests.interop.visitor import PATIENCE, Visitor

SECTION = "nginx: oauth2-proxy"
pytestmark = pytest.mark.interop
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


def test_the_application_believes_nginx_alone(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start()
    headers = enter(visitor, ent, installation.parent())
    forged = dict.fromkeys(("X-Sub", "X-Username", "X-Access-Token", "X-Auth-Request-User"), "forged")
    again = read_headers(visitor.open(ent.inside, forged))
    for name in ("X-Sub", "X-Username", "X-Access-Token"):
        assert again[name] == headers[name]


def test_the_session_fits_in_one_cookie(installation: Installation, start: Start, visitor: Visitor) -> None:
    enter(visitor, start(), installation.parent())
    assert "__Host-ent" in visitor.cookies
    assert not [name for name in visitor.cookies if name.startswith("__Host-ent_") and "csrf" not in name]


def test_the_session_is_renewed(installation: Installation, start: Start, visitor: Visitor) -> None:
    ent = start(cookie_refresh=SOON)
    headers, cookie = enter(visitor, ent, installation.parent()), visitor.cookies["__Host-ent"]
    tokens = [headers["X-Access-Token"]]
    for _ in range(2):  # the second time with the refresh token of the first response
        until(visitor, ent, lambda: read_headers(visitor.page)["X-Access-Token"] not in tokens)
        tokens.append(read_headers(visitor.page)["X-Access-Token"])
    assert read_headers(visitor.page)["X-Sub"] == headers["X-Sub"]
    assert visitor.cookies["__Host-ent"] != cookie, "nginx hands the renewed session to the browser"


def test_a_session_that_ended_at_the_provider_ends_at_the_next_renewal(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start(cookie_refresh=SOON)
    enter(visitor, ent, installation.parent())
    visitor.sign_out_at(installation.issuer)
    visitor.open(ent.inside)
    until(visitor, ent, lambda: visitor.heading == "Connexion")


def test_signing_out_goes_through_the_provider_and_comes_back(
    installation: Installation, start: Start, visitor: Visitor
) -> None:
    ent = start()
    enter(visitor, ent, installation.parent())
    visitor.open(f"{ent.origin}/deconnexion")
    assert (visitor.page.text, visitor.page.url) == ("Accueil", f"{ent.origin}/")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion", "the session at the provider is over too"
