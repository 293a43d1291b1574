"""The Django recipe of clients/recipes, whose relying party is mozilla-django-oidc."""

import os
import re
import secrets
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from tests.commands.processes import free_port
from tests.interop.installation import HOST, RECIPES, Ent, Installation, Registered, Server, behind_tls
from tests.interop.visitor import PATIENCE, Visitor

SECTION = "Django: mozilla-django-oidc"
PROJECT = RECIPES / "django"
SETTINGS = PROJECT / "ent" / "settings.py"
pytestmark = pytest.mark.interop


@contextmanager
def running(installation: Installation, issuer: str, client: Registered, port: int, folder: Path) -> Iterator[Ent]:
    """Make the project's tables and run it; it asks the provider again after a second, not ten minutes."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "REQUESTS_CA_BUNDLE": str(installation.trusted),
        "ENT_ISSUER": issuer,
        "ENT_CLIENT_ID": client.client_id,
        "ENT_CLIENT_SECRET": client.secret,
        "ENT_HOST": HOST,
        "ENT_DATABASE": str(folder / "ent.sqlite3"),
        "ENT_SECRET_KEY": secrets.token_urlsafe(50),
        "ENT_ASK_AGAIN_SECONDS": "1",
    }
    migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(migrate, cwd=PROJECT, env=environment, check=True)
    command = [sys.executable, "-m", "gunicorn", "ent.wsgi", "--bind", "127.0.0.1:{port}", "--no-control-socket"]
    with behind_tls(installation, client, port, Server(command, PROJECT, environment), folder) as ent:
        yield ent


@pytest.fixture(scope="module")
def ent(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ent]:
    port = free_port()
    client = installation.register(SECTION, f"{HOST}:{port}")
    installation.publish_charter(client)
    with running(installation, installation.issuer, client, port, tmp_path_factory.mktemp("django")) as started:
        yield started


def enter(visitor: Visitor, ent: Ent, parent: str) -> None:
    visitor.open(ent.inside)
    visitor.sign_in(parent)
    visitor.accept_the_charter()
    assert (visitor.heading, visitor.page.url) == ("Mon espace", ent.inside), visitor.page.text


def test_a_parent_signs_in(installation: Installation, ent: Ent, visitor: Visitor) -> None:
    enter(visitor, ent, installation.parent())
    assert "Bonjour Noémie LEROY-VANDEPUTTE." in visitor.page.text
    assert "<li>Malo, 6e 1</li>" in visitor.page.text


def test_two_parents_of_one_mail_address_are_two_people(
    installation: Installation, ent: Ent, new_visitor: Callable[[], Visitor]
) -> None:
    before = accounts(ent)
    for _ in range(2):
        enter(new_visitor(), ent, installation.parent())
    new_accounts = accounts(ent)[len(before) :]
    assert len({sub for sub, _ in new_accounts}) == 2
    assert [email for _, email in new_accounts] == ["noemie.leroy@exemple.fr"] * 2
    assert not [sub for sub, _ in new_accounts if "@" in sub]


def test_the_provider_is_asked_again_without_a_page(installation: Installation, ent: Ent, visitor: Visitor) -> None:
    parent = installation.parent()
    enter(visitor, ent, parent)
    before = accounts(ent)
    asked_again(visitor, ent)
    assert (visitor.heading, visitor.page.url) == ("Mon espace", ent.inside)
    assert accounts(ent) == before
    visitor.sign_out_at(installation.issuer)
    asked_again(visitor, ent)
    assert visitor.heading == "Connexion impossible", "signed out there, so here too"
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion"


def test_a_new_version_of_the_charter_is_required_when_the_provider_is_asked_again(
    installation: Installation, ent: Ent, visitor: Visitor
) -> None:
    enter(visitor, ent, installation.parent())
    installation.publish_charter(ent.client, "2")
    asked_again(visitor, ent)
    assert visitor.heading == "Connexion impossible"
    visitor.open(ent.inside)
    visitor.accept_the_charter()
    assert visitor.heading == "Mon espace"


def test_signing_out_goes_through_the_provider_and_comes_back(
    installation: Installation, ent: Ent, visitor: Visitor
) -> None:
    enter(visitor, ent, installation.parent())
    visitor.submit()
    assert (visitor.heading, visitor.page.url) == ("Mon ENT", f"{ent.origin}/")
    visitor.open(ent.inside)
    assert visitor.heading == "Connexion", "the session at the provider is over too"


def accounts(ent: Ent) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(ent.log.with_name("ent.sqlite3"))) as connection:
        return connection.execute("SELECT username, email FROM auth_user ORDER BY id").fetchall()


def asked_again(visitor: Visitor, ent: Ent) -> None:
    """Look at the page for parents until the ENT asks the provider on the way, which it does after a second."""
    until = time.monotonic() + PATIENCE
    while True:
        visitor.open(ent.inside)
        if any("prompt=none" in step for step in visitor.steps):
            return
        assert time.monotonic() < until
        time.sleep(0.3)


def test_the_addresses_of_the_settings_are_the_provider_s(installation: Installation) -> None:
    url = f"{installation.issuer}/.well-known/openid-configuration"
    metadata = requests.get(url, verify=str(installation.trusted), timeout=PATIENCE).json()
    named = re.findall(r'^OIDC_OP_(\w+)_ENDPOINT = f"\{OIDC_OP_ISSUER\}(.+)"$', SETTINGS.read_text(), re.MULTILINE)
    assert {name: f"{installation.issuer}{path}" for name, path in named} == {
        "AUTHORIZATION": metadata["authorization_endpoint"],
        "TOKEN": metadata["token_endpoint"],
        "USER": metadata["userinfo_endpoint"],
        "JWKS": metadata["jwks_uri"],
        "LOGOUT": metadata["end_session_endpoint"],
    }
