"""The servers for tests of `idp client test`: the provider's public URL, and those of an ENT."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from joserfc.jwk import ECKey

from idp.config import Settings
from tests.builders import Build
from tests.commands.conftest import Run
from tests.databases import settings_for
from tests.protocol.ent_server import FINE, Answer, EntServer, Resolver, authority, listening_ent
from tests.relying_party import RelyingParty

HOSTS = ("ent.test", "connexion.test")
METADATA = "/.well-known/openid-configuration"
REFUSED: Answer = (400, {}, b'{"error": "invalid_request"}')


@dataclass
class Place:
    """The provider's public server, and the ENT's servers: its pages, and its back channel."""

    provider: EntServer
    ent: EntServer
    back: EntServer

    @property
    def host(self) -> str:
        return f"ent.test:{self.ent.port}"


@pytest.fixture(name="resolver")
def trial_resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver(monkeypatch)
    resolver.hosts = {host: ["127.0.0.1"] for host in (*HOSTS, "interne.test", "autre.test")}
    return resolver


@pytest.fixture(name="place")
def trial_place(resolver: Resolver, tmp_path: Path) -> Iterator[Place]:
    chain = authority(tmp_path, *HOSTS, "interne.test").chain
    with listening_ent(chain) as provider, listening_ent(chain) as ent, listening_ent(chain) as back:
        ent.served = {"/": FINE, "/cb": (400, {}, b"no code"), "/bye": FINE}
        back.next = [REFUSED]
        yield Place(provider, ent, back)


@pytest.fixture(name="settings")
def trial_settings(database_url: str, place: Place, tmp_path: Path) -> Settings:
    issuer = place.provider.uri("connexion.test", "")
    trusted = tmp_path / "ent.test.root.pem"
    return settings_for(database_url, issuer=issuer, ca_bundle=trusted, outgoing_allow=("ent.test",))


@pytest.fixture(autouse=True)
def trial_published(app: Flask, settings: Settings, place: Place) -> None:
    for path in (METADATA, "/jwks.json"):
        content = app.test_client().get(path, base_url=settings.issuer).data
        place.provider.served[path] = (200, {"Content-Type": "application/json"}, content)
    place.provider.served["/authorize"] = nobody_signed_in


def nobody_signed_in(handler: BaseHTTPRequestHandler, error: str = "login_required") -> Answer:
    """Answer a request with `prompt=none` as the service does; a test compares both."""
    asked = parse_qs(urlsplit(handler.path).query)
    return 303, {"Location": f"{asked['redirect_uri'][0]}?error={error}&state={asked['state'][0]}"}, b""


@pytest.fixture(name="ent")
def trial_ent(build: Build, place: Place) -> RelyingParty:
    build.school()
    return build.ent(host=place.host)


def tried(act: Run, client_id: str) -> tuple[int, list[dict[str, Any]]]:
    answer = act("client", "test", client_id, "--json")
    assert answer.err == "", answer.err
    return answer.code, json.loads(answer.out)


def wrong(act: Run, ent: RelyingParty) -> list[tuple[str, str]]:
    code, findings = tried(act, ent.client_id)
    bad = [(finding["check"], finding["message"]) for finding in findings if not finding["ok"]]
    assert code == (1 if bad else 0)
    return bad


def public_keys() -> bytes:
    key = ECKey.import_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    return json.dumps({"keys": [key.as_dict(private=False)]}).encode()
