"""Fixtures for outgoing requests of the service: one ENT with a name and TLS on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from idp.config import load
from idp.http_client.outgoing import Outgoing
from tests.databases import ISSUER, SECRET
from tests.protocol.ent_server import Authority, EntServer, Resolver, authority, listening_ent, trust_only

FORM = {"logout_token": "a.b.c"}


def production(*allowed: str) -> Outgoing:
    return Outgoing(load(issuer=ISSUER, secret_key=SECRET, outgoing_allow=allowed))


@pytest.fixture(name="resolver")
def called_resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    return Resolver(monkeypatch)


@pytest.fixture(name="known")
def called_authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    certificate_authority = authority(tmp_path, "ent.test")
    trust_only(monkeypatch, certificate_authority.trusted)
    return certificate_authority


@pytest.fixture(name="ent")
def called_ent(known: Authority, resolver: Resolver) -> Iterator[EntServer]:
    resolver.hosts["ent.test"] = ["127.0.0.1"]
    with listening_ent(known.chain) as listening:
        yield listening
