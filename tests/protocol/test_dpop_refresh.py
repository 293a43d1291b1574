"""Refresh tokens and DPoP keys (RFC 9449 5): bound tokens stay bound, also after a lost response."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.db import db
from idp.oidc.models import Token
from tests.builders import Build
from tests.dpop_party import Key, KeyedParty
from tests.protocol.flow import OFFLINE, bound, refused, tokens_for


@pytest.fixture
def party(build: Build, session: Account) -> KeyedParty:
    return KeyedParty.of(build.ent(scopes=OFFLINE))


@pytest.fixture
def public(build: Build, session: Account) -> KeyedParty:
    """A public client, whose refresh tokens are bound to its DPoP key."""
    return KeyedParty.of(build.ent("Appli", "appli.test", scopes=OFFLINE, auth_method="none"))


def alive() -> int:
    return db.session.scalar(select(func.count()).select_from(Token).where(Token.revoked_at.is_(None))) or 0


@pytest.mark.row("T-22")
def test_a_bound_refresh_token_never_becomes_a_bearer_token(browser: FlaskClient, party: KeyedParty) -> None:
    """RFC 9449, 5."""
    first = bound(browser, party)
    refused(party.renew(browser, first["refresh_token"], None), "invalid_grant")
    party.key = Key.new()
    second = party.renew(browser, first["refresh_token"], party.fresh_proof()).get_json()
    assert second["token_type"] == "DPoP"
    assert party.read_userinfo(browser, second["access_token"])["sub"]


def test_a_public_client_keeps_its_key(browser: FlaskClient, public: KeyedParty) -> None:
    """RFC 9449, 5."""
    first = bound(browser, public)
    refused(public.renew(browser, first["refresh_token"], None), "invalid_grant")
    other = Key.new().proof("POST", f"{public.issuer}/token")
    refused(public.renew(browser, first["refresh_token"], other), "invalid_grant")
    second = public.renew(browser, first["refresh_token"], public.fresh_proof()).get_json()
    assert public.read_userinfo(browser, second["access_token"])["sub"]


@pytest.mark.row("T-22")
@pytest.mark.parametrize("thief_first", [True, False])
def test_a_lost_answer_is_not_given_to_another_key(
    browser: FlaskClient, public: KeyedParty, *, thief_first: bool
) -> None:
    """RFC 9700, 4.14.2."""
    token = tokens_for(browser, public, scope=OFFLINE)["refresh_token"]
    proofs = [public.fresh_proof(), None] if thief_first else [None, public.fresh_proof()]
    assert public.renew(browser, token, proofs[0]).status_code == 200
    assert alive() > 0
    refused(public.renew(browser, token, proofs[1]), "invalid_grant")
    assert alive() == 0


@pytest.mark.row("Z-02")
def test_concurrent_refreshes_with_two_keys_get_one_answer(
    app: Flask, browser: FlaskClient, public: KeyedParty
) -> None:
    """RFC 9700, 4.14.2. Neither transaction sees the other's rows."""
    for _ in range(10):
        token = tokens_for(browser, public, scope=OFFLINE)["refresh_token"]
        keys = [Key.new() for _ in range(2)]

        def renew(key: Key, token: str = token) -> int:
            with app.app_context():
                proof = key.proof("POST", f"{public.issuer}/token")
                return public.renew(app.test_client(), token, proof).status_code

        with ThreadPoolExecutor(2) as both:
            assert sorted(both.map(renew, keys)) == [200, 400]
        db.session.rollback()
        assert alive() == 0
