"""Keys against thieves, operators and clocks (security rows X-01, X-03, X-04, X-05)."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from flask.testing import FlaskClient
from sqlalchemy import func, select, text

from idp.accounts.models import Account
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import material, rotation
from idp.oidc.models import SigningKey
from idp.services import services_of
from tests.builders import PASSWORD
from tests.databases import SECRET
from tests.pages import follow, heading, sign_in, submit
from tests.protocol.flow import code_for, refused, tokens_for
from tests.protocol.nodes import moved, node, published
from tests.relying_party import Attempt, RelyingParty
from tests.signatures import b64, read, verified

OTHER = "another secret key, of more than 32 bytes: 9876543210"


def secret_numbers(pem: bytes) -> list[bytes]:
    private = serialization.load_pem_private_key(pem, None)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return [private.private_bytes_raw()]
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return [private.private_numbers().private_value.to_bytes(32, "big")]
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    parts = (numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp)
    return [part.to_bytes((part.bit_length() + 7) // 8, "big") for part in parts]


def written(secret: bytes) -> list[bytes]:
    """Return the ways in which somebody may write a number down."""
    return [
        secret,
        secret.hex().encode(),
        base64.b64encode(secret).rstrip(b"="),
        b64(secret).encode(),
        str(int.from_bytes(secret, "big")).encode(),
    ]


def dump() -> list[bytes]:
    values = []
    with db.engine.connect() as connection:
        for table in db.metadata.sorted_tables:
            for row in connection.execute(text(f'SELECT * FROM "{table.name}"')):  # noqa: S608 - our own names
                values += [bytes(v) if isinstance(v, bytes | memoryview) else str(v).encode() for v in row]
    return values


@pytest.mark.row("X-01", "D-03")
def test_a_copy_of_the_database_cannot_sign(
    browser: FlaskClient, settings: Settings, ent: RelyingParty, session: Account
) -> None:
    for alg in material.ALGORITHMS[1:]:
        rotation.rotate(settings, alg)
    tokens_for(browser, ent)
    values = dump()
    rows = list(db.session.scalars(select(SigningKey)))
    db.session.rollback()
    assert len(rows) == 4
    everything = b"\n".join(values)
    for row in rows:
        assert row.kid.encode() in everything, "the dump is a dump"
        assert row.private_sealed in values
        for secret in secret_numbers(material.unseal(settings, row.kid, row.private_sealed)):
            assert len(secret) >= 31
            assert [way for way in written(secret) if way in everything] == []
    assert b"PRIVATE KEY" not in everything
    guesses = {value for value in values if len(value) < 5000}
    guesses |= {b"", settings.issuer.encode(), b"development only: not a secret, and never in production"}
    assert SECRET.encode() not in guesses
    with_nothing = settings.model_copy()
    object.__setattr__(with_nothing, "secrets", tuple(guesses))
    for row in rows:
        assert material.sealed_by(with_nothing, row.kid, row.private_sealed) is None
    assert sum(material.sealed_by(settings, row.kid, row.private_sealed) == 0 for row in rows) == 4


@pytest.mark.row("X-03")
def test_signatures_of_a_former_secret_key_are_valid_while_it_is_a_fallback(
    browser: FlaskClient, ent: RelyingParty, parent: Account, database_url: str, attempt: Attempt
) -> None:
    # Security row X-03. A session itself is a row of the database, and does not hang on the secret.
    page = follow(browser, browser.get(ent.url(attempt)))
    assert heading(page) == "Connexion"
    begun = moved(browser, browser.application)
    with (
        node(database_url, secret_key=OTHER, secret_key_fallbacks=(SECRET,)) as overlap,
        node(database_url, secret_key=OTHER) as over,
    ):
        lost = moved(begun, over).get(page.request.full_path)
        assert (lost.status_code, heading(lost) == "Connexion") == (400, False)
        during = moved(begun, overlap)
        again = during.get(page.request.full_path)
        answer = submit(during, again, identifiant=parent.username, mot_de_passe=PASSWORD)
        tokens = ent.tokens(during, ent.answer(answer)["code"], attempt)
        assert read(tokens["id_token"])[0]["kid"] in published(during), "the key of before signs on"
        later = moved(during, over)
        assert ent.answer(later.get(ent.url(Attempt(), prompt="none")))["code"], "the session is the database's"
        response = ent.exchange(later, code_for(later, ent, attempt), attempt)
        refused(response, "temporarily_unavailable", 503)
        assert later.get("/readyz").get_json() == {"status": "signing key"}


@pytest.mark.row("X-04")
@pytest.mark.parametrize("fault", ["no key", "another secret"])
def test_a_node_that_cannot_sign_says_so_and_makes_no_key(
    browser: FlaskClient, ent: RelyingParty, session: Account, database_url: str, fault: str, attempt: Attempt
) -> None:
    # Security row X-04; RFC 9110, 15.6.4.
    code = code_for(browser, ent, attempt)
    if fault == "no key":
        with db.engine.begin() as connection:
            connection.execute(text("DELETE FROM signing_key"))
    before = db.session.scalar(select(func.count()).select_from(SigningKey))
    db.session.rollback()
    with node(database_url, secret_key=OTHER, secret_key_fallbacks=()) as app:
        stranger = app.test_client()
        for _ in range(2):
            assert (stranger.get("/readyz").status_code, stranger.get("/healthz").status_code) == (503, 200)
            assert stranger.get("/readyz").get_json() == {"status": "signing key"}
            for path in ("/jwks.json", "/.well-known/openid-configuration"):
                assert stranger.get(path).status_code == 200
            response = ent.exchange(stranger, code, attempt)
            refused(response, "temporarily_unavailable", 503)
            assert response.headers["Retry-After"] == "5"
    assert db.session.scalar(select(func.count()).select_from(SigningKey)) == before
    db.session.rollback()
    if fault == "another secret":
        assert ent.tokens(browser, code, attempt), "the code is good still, at a node that can sign"


MINUTES = 5
"""How far the clocks of the two nodes are apart."""


@pytest.mark.row("X-05")
def test_nodes_five_minutes_apart_know_each_other_s_keys_all_through_a_rotation(
    browser: FlaskClient, ent: RelyingParty, session: Account, settings: Settings, database_url: str
) -> None:
    # Security row X-05; OpenID Connect Core 1.0, 10.1.1.
    first, second = next(iter(published(browser))), rotation.rotate(settings).kid
    start, signed = datetime.now(UTC), []
    with node(database_url) as ahead:
        for minute in range(-10, 11):
            moment = start + timedelta(hours=24, minutes=minute)
            with time_machine.travel(moment):
                page = sign_in(browser, "/connexion", session.username, PASSWORD) if minute == -10 else None
                assert page is None or page.status_code == 200
                behind_signs = tokens_for(browser, ent)["id_token"]
                behind_shows = published(browser)
            with time_machine.travel(moment + timedelta(minutes=MINUTES)):
                other = moved(browser, ahead)
                ahead_signs = tokens_for(other, ent)["id_token"]
                ahead_shows = published(other)
            verified(behind_signs, ahead_shows)
            verified(ahead_signs, behind_shows)
            signed.append((read(behind_signs)[0]["kid"], read(ahead_signs)[0]["kid"]))
    assert (signed[0], signed[-1]) == ((first, first), (second, second))
    assert (first, second) in signed, "for five minutes each signs with its own"


@pytest.mark.row("X-05")
def test_a_clock_that_is_behind_stops_no_sign_in_when_a_key_signs_at_once(
    browser: FlaskClient, ent: RelyingParty, session: Account, settings: Settings
) -> None:
    # Security row X-05; OpenID Connect Core 1.0, 10.1.1.
    [lost] = published(browser)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=MINUTES)):
        successor = rotation.drop(settings, lost)
    assert successor is not None
    services_of(browser.application).server.ring.forget()
    assert read(tokens_for(browser, ent)["id_token"])[0]["kid"] == successor.kid


@pytest.mark.row("X-05")
def test_expiry_is_decided_by_the_clock_of_the_requested_node(
    browser: FlaskClient, ent: RelyingParty, session: Account, database_url: str
) -> None:
    # RFC 6749, 5.1; Security row X-05. Codes live a minute, so nodes must agree within one: five minutes apart, a code
    # of the one is over at the other.
    start = datetime.now(UTC)
    tokens, attempt = tokens_for(browser, ent), Attempt()
    code = code_for(browser, ent, attempt)
    with node(database_url) as ahead:
        other = moved(browser, ahead)
        for minutes, status in ((0, 200), (4, 200), (6, 401), (9, 401)):
            with time_machine.travel(start + timedelta(minutes=minutes + MINUTES)):
                assert ent.userinfo(other, tokens["access_token"]).status_code == status, minutes
            with time_machine.travel(start + timedelta(minutes=minutes)):
                assert ent.userinfo(browser, tokens["access_token"]).status_code == 200, "by its own clock"
        with time_machine.travel(start + timedelta(minutes=MINUTES)):
            refused(ent.exchange(other, code, attempt), "invalid_grant")
            from_ahead = tokens_for(other, ent)["access_token"]
        for minutes, status in ((0, 200), (14, 200), (16, 401)):
            with time_machine.travel(start + timedelta(minutes=minutes)):
                assert ent.userinfo(browser, from_ahead).status_code == status, "longer by the difference, no more"
    assert ent.tokens(browser, code, attempt), "refused there, it was not used up"
