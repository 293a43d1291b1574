"""ENTs with back-channel logout: their servers with TLS, the worker, the received tokens."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.config import Settings
from idp.db import db
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.services import services_of
from tests import signatures
from tests.builders import Build
from tests.databases import ISSUER, settings_for
from tests.protocol.ent_server import EntServer, Resolver, authority, listening_ent, trust_only
from tests.relying_party import RelyingParty

EVENT = "http://schemas.openid.net/event/backchannel-logout"
HOSTS = ("ent.test", "horizon.test", "slow.test")
KINDS = ("sessions.ended", "backchannel.logout")
Work = Callable[..., int]


@pytest.fixture(name="settings")
def told_settings(database_url: str) -> Settings:
    return settings_for(database_url, outgoing_allow=HOSTS)


@pytest.fixture(autouse=True)
def told_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Resolver(monkeypatch)
    resolver.hosts = {host: ["127.0.0.1"] for host in HOSTS}
    trust_only(monkeypatch, authority(tmp_path, *HOSTS).trusted)


@pytest.fixture(name="server")
def told_server(told_names: None, tmp_path: Path) -> Iterator[EntServer]:
    with listening_ent(tmp_path / "ent.test.pem") as listening:
        yield listening


@pytest.fixture(name="other_server")
def other_told_server(told_names: None, tmp_path: Path) -> Iterator[EntServer]:
    with listening_ent(tmp_path / "ent.test.pem") as listening:
        yield listening


@pytest.fixture(name="notified_ent")
def told_ent(build: Build, server: EntServer) -> RelyingParty:
    return build.ent(backchannel_logout_uri=server.uri())


@pytest.fixture(name="work")
def told_work(app: Flask) -> Work:
    """Return a function that runs the worker at a later time until no message is ready, and returns the count."""

    def run(after: timedelta = timedelta()) -> int:
        db.session.rollback()
        handled = 0
        with time_machine.travel(datetime.now(UTC) + after):
            crew = Worker({kind: services_of(app).outbox_handlers[kind] for kind in KINDS})
            while count := crew.run_once():
                handled += count
        return handled

    return run


def log_out(browser: FlaskClient, tokens: dict[str, Any]) -> None:
    assert browser.get("/logout", query_string={"id_token_hint": tokens["id_token"]}).status_code == 200


def outbox(kind: str = "backchannel.logout") -> list[OutboxMessage]:
    db.session.rollback()
    messages = select(OutboxMessage).where(OutboxMessage.kind == kind).order_by(OutboxMessage.created_at)
    return list(db.session.scalars(messages.execution_options(populate_existing=True)))


def outcomes() -> list[tuple[str, str]]:
    return [(message.outcome, message.last_error) for message in outbox()]


def read(browser: FlaskClient, ent: RelyingParty, server: EntServer, index: int = -1) -> dict[str, Any]:
    """Verify a received logout token (2.6) without the provider's code; return its claims."""
    request = server.asked[index]
    assert (request.method, request.path) == ("POST", "/backchannel-logout")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert not {"Authorization", "Cookie"} & request.headers.keys()
    [(name, token)] = parse_qsl(request.body, strict_parsing=True)
    assert name == "logout_token"
    header, claims = signatures.read(token)
    assert set(header) == {"alg", "kid", "typ"}
    assert header["typ"] == "logout+jwt"
    signatures.verified(token, signatures.by_name(browser.get("/jwks.json").get_json()))
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", "events", "sid"}
    assert (claims["iss"], claims["aud"]) == (ISSUER, ent.client_id)
    assert claims["exp"] == claims["iat"] + 120
    assert claims["events"] == {EVENT: {}}
    assert len(claims["jti"]) == 43
    return dict(claims)
