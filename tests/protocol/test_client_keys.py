"""The keys of clients at their `jwks_uri` (security rows T-16 and L-07)."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from http.server import BaseHTTPRequestHandler
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.clients import registry
from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.http_client import outgoing
from idp.oidc.client_auth import client_keys
from idp.throttle import limits
from tests.builders import Build
from tests.databases import settings_for
from tests.dpop_party import Key, KeyedParty
from tests.protocol.ent_server import EntServer, Resolver, authority, listening_ent
from tests.protocol.test_assertions import believed, jwks, not_believed, shown


@pytest.fixture(scope="module")
def key() -> Key:
    return Key.new("ES256")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EntServer]:
    Resolver(monkeypatch).hosts["ent.test"] = ["127.0.0.1"]
    with listening_ent(authority(tmp_path, "ent.test").chain) as listening:
        yield listening


@pytest.fixture
def settings(database_url: str, server: EntServer, tmp_path: Path) -> Settings:
    """Settings that allow its host name and trust its certificate authority."""
    return settings_for(database_url, outgoing_allow=("ent.test",), ca_bundle=tmp_path / "ent.test.root.pem")


class Hung:
    """A response that is delayed until `left` is set; `asked` is set when a request arrives."""

    def __init__(self) -> None:
        self.asked, self.left = threading.Event(), threading.Event()

    def answer(self, _handler: BaseHTTPRequestHandler) -> None:
        self.asked.set()
        self.left.wait(60)


@pytest.fixture
def hung(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hung]:
    monkeypatch.setattr(outgoing, "TIMEOUT", 60)
    behaviour = Hung()
    yield behaviour
    behaviour.left.set()


def published(server: EntServer, *keys: Key) -> None:
    server.served["/keys"] = (200, {"Content-Type": "application/json"}, json.dumps(jwks(*keys)).encode())


def asked_to_come_back(answer: Any) -> None:
    assert (answer.status_code, answer.get_json()) == (503, {"error": "temporarily_unavailable"})
    assert 5 <= int(answer.headers["Retry-After"]) <= 10


def moved(ent: KeyedParty, uri: str) -> None:
    """Register another `jwks_uri` of the client, as another process would."""
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    client.jwks_uri = uri
    client.version += 1
    db.session.commit()
    registry.forget()


def at_address(build: Build, server: EntServer, key: Key) -> KeyedParty:
    more = {"auth_method": "private_key_jwt", "jwks_uri": server.uri(path="/keys")}
    return KeyedParty.of(build.ent(**more), client=key)


@pytest.mark.row("T-16")
def test_new_keys_at_the_jwks_uri_are_fetched(
    browser: FlaskClient, build: Build, server: EntServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    first, second = Key.new(), Key.new()
    published(server, first)
    ent = at_address(build, server, first)
    for _ in range(3):
        believed(shown(browser, ent, ent.assertion()))
    assert len(server.asked) == 1, "the keys are kept"
    published(server, second)
    ent.client = second
    not_believed(shown(browser, ent, ent.assertion()))  # no second request within a minute
    assert len(server.asked) == 1
    monkeypatch.setattr(client_keys, "MIN_REFETCH_SECONDS", 0.0)
    believed(shown(browser, ent, ent.assertion()))
    ent.client = first
    not_believed(shown(browser, ent, ent.assertion()))


@pytest.mark.row("T-16")
def test_a_jwks_uri_without_keys_is_an_error_of_the_client_and_one_that_fails_is_not(
    browser: FlaskClient, build: Build, server: EntServer
) -> None:
    # OpenID Connect Registration 1.0, 2; RFC 7523, 3.2.
    key = Key.new()
    elsewhere = (302, {"Location": server.uri(path="/keys")}, b"")
    broken: list[Any] = [(500, {}, b""), elsewhere, (200, {}, b"["), (200, {}, b'{"keys": [' + b"[" * 50_000)]
    useless: list[Any] = [(200, {}, text) for text in (b"{}", b'{"keys": 5}', b'{"keys": [7, null, {"kty": "RSA"}]}')]
    for number, answer in enumerate([*broken, *useless]):
        published(server, key)
        ent = KeyedParty.of(
            build.ent(auth_method="private_key_jwt", jwks_uri=server.uri(path=f"/keys?{number}")), client=key
        )
        server.next = [answer, answer]
        (asked_to_come_back if answer in broken else not_believed)(shown(browser, ent, ent.assertion()))
        server.next = []


def test_fetches_that_fail_count_as_failed_authentications(
    browser: FlaskClient, build: Build, server: EntServer, key: Key
) -> None:
    ent = at_address(build, server, key)
    for _ in range(limits.CLIENT_PROOF.free):
        asked_to_come_back(shown(browser, ent, ent.assertion()))
    assert shown(browser, ent, ent.assertion()).status_code == 429


@pytest.mark.row("T-16")
def test_keys_of_an_address_that_is_down_serve_a_day_longer(
    browser: FlaskClient,
    build: Build,
    server: EntServer,
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # RFC 9111, 4.2.4.
    day = client_keys.MAX_STALE_SECONDS
    published(server, key)
    ent = at_address(build, server, key)
    believed(shown(browser, ent, ent.assertion()))
    server.served.clear()
    clock = time.monotonic
    for later, judge in ((2 * client_keys.FRESH_SECONDS, believed), (day + 60, asked_to_come_back)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: clock() + later)
        judge(shown(browser, ent, ent.assertion()))
    assert len(server.asked) >= 3


@pytest.mark.row("T-16")
def test_a_slow_jwks_uri_does_not_block_transactions_or_other_ents(
    app: Flask, browser: FlaskClient, build: Build, server: EntServer, key: Key, hung: Hung
) -> None:
    # OWASP ASVS 5, V 13.2.6. A slow `jwks_uri` of one ENT blocks neither the requests to another ENT nor
    # writes to the database.
    published(server, key)
    server.served["/slow"] = hung.answer
    uri = server.uri(path="/slow")
    slow = KeyedParty.of(build.ent("Lent", "lent.test", auth_method="private_key_jwt", jwks_uri=uri), client=key)
    quick = at_address(build, server, key)

    def wait() -> Any:
        with app.app_context():
            return shown(app.test_client(), slow, slow.assertion())

    threads = ThreadPoolExecutor(2)
    waiting = [threads.submit(wait) for _ in range(2)]
    assert hung.asked.wait(30)
    believed(shown(browser, quick, quick.assertion()))  # writes: store a proof, try to claim a code
    assert not any(future.done() for future in waiting)
    hung.left.set()
    for future in waiting:
        asked_to_come_back(future.result(60))
    assert [request.path for request in server.asked] == ["/slow", "/keys"], "the second found what the first got"


@pytest.mark.row("T-16")
def test_a_slow_jwks_uri_times_out(
    browser: FlaskClient,
    build: Build,
    server: EntServer,
    key: Key,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # OWASP ASVS 5, V 13.2.6.
    left = threading.Event()
    monkeypatch.setattr(outgoing, "TIMEOUT", 0.5)

    def hang(_handler: BaseHTTPRequestHandler) -> None:
        left.wait(60)

    server.served["/keys"] = hang
    ent = at_address(build, server, key)
    for _ in range(3):
        asked_to_come_back(shown(browser, ent, ent.assertion()))
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + client_keys.RETRY_SECONDS)
    published(server, key)
    believed(shown(browser, ent, ent.assertion()))
    left.set()
    assert len(server.asked) == 2, "it was asked again as soon as the time was over, and not before"


@pytest.mark.row("T-16")
def test_no_more_than_a_few_threads_wait_for_one_ent(
    app: Flask, browser: FlaskClient, build: Build, server: EntServer, key: Key, hung: Hung
) -> None:
    # RFC 9110, 15.6.4. Anybody can send the id of a client with a slow server.
    most = client_keys.MAX_WAITING_PER_CLIENT
    published(server, key)
    server.served["/slow"] = hung.answer
    slow_keys = {"auth_method": "private_key_jwt", "jwks_uri": server.uri(path="/slow")}
    slow = KeyedParty.of(build.ent("Lent", "lent.test", **slow_keys), client=key)
    quick = at_address(build, server, key)

    def wait() -> Any:
        with app.app_context():
            return shown(app.test_client(), slow, slow.assertion())

    with ThreadPoolExecutor(most + 4) as threads:
        waiting = [threads.submit(wait) for _ in range(most + 4)]
        try:
            assert hung.asked.wait(30)
            turned_away = [future.result() for future in islice(as_completed(waiting, 60), 4)]
            assert [answer.status_code for answer in turned_away] == [503] * 4
            assert all(answer.get_json() == {"error": "temporarily_unavailable"} for answer in turned_away)
            assert all(int(answer.headers["Retry-After"]) >= 1 for answer in turned_away)
            believed(shown(browser, quick, quick.assertion()))
        finally:
            hung.left.set()
    assert len(server.asked) == 2


@pytest.mark.row("T-16")
def test_old_keys_are_used_during_a_refresh(
    app: Flask,
    browser: FlaskClient,
    build: Build,
    server: EntServer,
    key: Key,
    hung: Hung,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # RFC 5861, 3. One request waits for the ENT, the others use the cached keys.
    published(server, key)
    ent = at_address(build, server, key)
    believed(shown(browser, ent, ent.assertion()))
    server.served["/keys"] = hung.answer
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 2 * client_keys.FRESH_SECONDS)

    def first() -> Any:
        with app.app_context():
            return shown(app.test_client(), ent, ent.assertion())

    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(first)
        try:
            assert hung.asked.wait(30)
            for _ in range(3):
                believed(shown(browser, ent, ent.assertion()))
            assert not waiting.done()
        finally:
            hung.left.set()
        believed(waiting.result(60))


@pytest.mark.row("T-16")
def test_a_changing_jwks_uri_is_fetched_as_seldom_as_one_that_fails(
    browser: FlaskClient, build: Build, server: EntServer, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenID Connect Core 1.0, 10.1.1.
    published(server, key)
    ent = at_address(build, server, key)
    believed(shown(browser, ent, ent.assertion()))
    clock, later = time.monotonic, 120.0
    monkeypatch.setattr(time, "monotonic", lambda: clock() + later)
    for path, judge in (("/second", believed), ("/third", asked_to_come_back), ("/fourth", asked_to_come_back)):
        server.served[path] = server.served["/keys"]
        moved(ent, server.uri(path=path))
        judge(shown(browser, ent, ent.assertion()))
    assert [request.path for request in server.asked] == ["/keys", "/second"]
    later += client_keys.RETRY_SECONDS
    believed(shown(browser, ent, ent.assertion()))


@pytest.mark.row("T-16")
@pytest.mark.parametrize(
    "members",
    [{"use": "enc"}, {"alg": "ES256"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"kty": "EC"}, {"d": "AQAB"}],
    ids=lambda members: next(iter(members)),
)
def test_a_key_for_something_else_checks_no_signature(
    browser: FlaskClient, build: Build, server: EntServer, members: dict[str, Any]
) -> None:
    # RFC 7517, 4.2, 4.3, 4.4.
    key = Key.new("RS256")
    ent, odd = at_address(build, server, key), {**key.jwk, "kid": key.kid, **members}
    server.served["/keys"] = (200, {}, json.dumps({"keys": [odd]}).encode())
    not_believed(shown(browser, ent, ent.assertion()))


@pytest.mark.row("T-16")
def test_other_keys_beside_the_right_one_do_no_harm(browser: FlaskClient, build: Build, server: EntServer) -> None:
    # RFC 7517, 5.
    key, other = Key.new(), Key.new("RS256")
    named: list[Any] = [{"kty": "AKP"}, {"kty": "EC", "crv": "P-521"}, {"kty": "EC", "crv": "P-256", "x": "AA"}]
    strange: list[Any] = [
        7,
        None,
        [],
        {},
        *({**jwk, "kid": key.kid} for jwk in named),
        other.jwk,
        {**key.jwk, "use": "enc"},
    ]
    ent = at_address(build, server, key)
    server.served["/keys"] = (200, {}, json.dumps({"keys": [*strange, {**key.jwk, "kid": key.kid}]}).encode())
    believed(shown(browser, ent, ent.assertion()))


@pytest.mark.row("T-16")
def test_keys_are_not_fetched_from_internal_networks(
    browser: FlaskClient, build: Build, server: EntServer, key: Key
) -> None:
    # OWASP ASVS 5, V 1.3.6. A URL chosen by others must not lead into the network of the service.
    with listening_ent(None) as inside:
        for origin in ("https://127.0.0.1", "https://169.254.169.254", "https://[::1]", "https://10.0.0.1"):
            uri = f"{origin}:{inside.port}/keys"
            ent = KeyedParty.of(build.ent(auth_method="private_key_jwt", jwks_uri=uri), client=key)
            not_believed(shown(browser, ent, ent.assertion()))
        assert inside.asked == []
