"""`acr_values`, and `acr` as a claim that may be essential (security rows A-25, A-26).

There are three classes: the password, the password on a browser that the account had signed in on before, and a
passkey. Each satisfies the weaker ones.
"""

import json
import time
from collections.abc import Iterator

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.models import Client
from idp.db import db
from idp.oidc.claims.release import KNOWN_DEVICE_CLASS, PASSKEY_CLASS, PASSWORD_CLASS
from idp.sessions.devices import SETTLED
from idp.sessions.models import PASSKEY_IN_HARDWARE, PASSKEY_IN_SOFTWARE, Session
from idp.sessions.models import PASSWORD as BY_PASSWORD
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, posted_answer, step_of, tokens_for
from tests.relying_party import Attempt, RelyingParty

UNMET = "unmet_authentication_requirements"


def essential(*values: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": values}}})


def acr_of(browser: FlaskClient, ent: RelyingParty, **changes: str | None) -> str:
    return str(tokens_for(browser, ent, **changes)["claims"]["acr"])


def signed_in_with(strength: str) -> None:
    db.session.execute(update(Session).where(Session.ended_at.is_(None)).values(acr=strength))
    db.session.commit()


@pytest.fixture
def next_day() -> Iterator[None]:
    with time_machine.travel(time.time() + SETTLED.total_seconds() + 60):
        yield


@pytest.fixture
def known(browser: FlaskClient, session: Account, next_day: None) -> Account:
    """The parent, signed in on a browser that they had signed in on the day before."""
    sign_in(browser, "/connexion", session.username, PASSWORD)
    return session


@pytest.mark.row("A-25")
def test_repeated_sign_ins_do_not_make_a_browser_known(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.1.
    for _ in range(3):
        sign_in(browser, "/connexion", session.username, PASSWORD)
        assert acr_of(browser, ent) == PASSWORD_CLASS
    sign_in(browser, ent.url(Attempt(), claims=essential(KNOWN_DEVICE_CLASS)), session.username, PASSWORD)
    assert ent.answer(browser.get(ent.url(Attempt(), claims=essential(KNOWN_DEVICE_CLASS), prompt="none")))["error"]


@pytest.mark.row("A-25")
@pytest.mark.parametrize(
    ("wished", "acr"),
    [
        (PASSWORD_CLASS, PASSWORD_CLASS),
        (KNOWN_DEVICE_CLASS, KNOWN_DEVICE_CLASS),
        (f"urn:none {PASSWORD_CLASS} {KNOWN_DEVICE_CLASS}", PASSWORD_CLASS),
        (f"{KNOWN_DEVICE_CLASS} {PASSWORD_CLASS}", KNOWN_DEVICE_CLASS),
        ("urn:none 1 é", KNOWN_DEVICE_CLASS),
        ("", KNOWN_DEVICE_CLASS),
    ],
)
def test_the_id_token_has_the_first_requested_acr_that_the_sign_in_satisfies(
    browser: FlaskClient, ent: RelyingParty, known: Account, wished: str, acr: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    assert acr_of(browser, ent, acr_values=wished) == acr
    claims_request = json.dumps({"id_token": {"acr": {"values": wished.split()}}})
    assert acr_of(browser, ent, claims=claims_request) == acr
    assert acr_of(browser, ent, claims=claims_request, acr_values="urn:none") == acr


@pytest.mark.row("A-25")
@pytest.mark.parametrize(("strength", "method"), [(PASSKEY_IN_SOFTWARE, "swk"), (PASSKEY_IN_HARDWARE, "hwk")])
def test_a_passkey_has_a_class_of_its_own_and_satisfies_the_others(
    browser: FlaskClient, ent: RelyingParty, session: Account, strength: str, method: str
) -> None:
    # OpenID Connect Core 1.0, 2; RFC 8176, 2.
    signed_in_with(strength)
    claims = tokens_for(browser, ent)["claims"]
    assert (claims["acr"], claims["amr"]) == (PASSKEY_CLASS, [method, "user"])
    for wished in (PASSKEY_CLASS, "phr", KNOWN_DEVICE_CLASS, PASSWORD_CLASS):
        assert acr_of(browser, ent, acr_values=wished) == wished
        assert acr_of(browser, ent, claims=essential(wished), prompt="none") == wished


@pytest.mark.row("A-26")
@pytest.mark.parametrize("strength", [BY_PASSWORD, "pwd+device"])
def test_a_password_does_not_satisfy_the_class_of_a_passkey(
    browser: FlaskClient, ent: RelyingParty, session: Account, strength: str
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.1.
    signed_in_with(strength)
    required = essential(PASSKEY_CLASS, "phr")
    assert ent.answer(browser.get(ent.url(Attempt(), claims=required, prompt="none")))["error"] == "login_required"
    page = sign_in(browser, ent.url(Attempt(), claims=required), session.username, PASSWORD)
    assert ent.answer(page)["error"] == UNMET


@pytest.mark.row("A-25")
def test_the_registered_acr_values_are_the_default_of_a_request(
    browser: FlaskClient, ent: RelyingParty, known: Account
) -> None:
    # OpenID Connect Registration 1.0, 2.
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    client.description = {"default_acr_values": ["urn:none", PASSWORD_CLASS]}
    client.version += 1
    db.session.commit()
    registry.forget()
    assert acr_of(browser, ent) == PASSWORD_CLASS
    assert acr_of(browser, ent, acr_values=KNOWN_DEVICE_CLASS) == KNOWN_DEVICE_CLASS
    claims_request = json.dumps({"id_token": {"acr": {"value": KNOWN_DEVICE_CLASS}}})
    assert acr_of(browser, ent, claims=claims_request) == KNOWN_DEVICE_CLASS


@pytest.mark.row("A-25")
def test_a_voluntary_acr_is_never_an_error(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 5.5.1.1.
    for changes in (
        {"acr_values": KNOWN_DEVICE_CLASS},
        {"claims": json.dumps({"id_token": {"acr": {"value": KNOWN_DEVICE_CLASS}}})},
        {"claims": json.dumps({"id_token": {"acr": {"essential": False, "values": ["urn:none"]}}})},
        {"claims": json.dumps({"id_token": {"acr": {"essential": True}}})},
        {"claims": json.dumps({"id_token": {"acr": None}})},
        {"claims": json.dumps({"userinfo": {"acr": {"essential": True, "value": "urn:none"}}})},
        {"claims": essential(KNOWN_DEVICE_CLASS, PASSWORD_CLASS)},
    ):
        assert acr_of(browser, ent, prompt="none", **changes) == PASSWORD_CLASS, changes


@pytest.mark.row("A-26")
def test_an_essential_class_that_the_session_lacks_asks_the_password_once_more(
    browser: FlaskClient, ent: RelyingParty, known: Account
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.1.
    attempt, required = Attempt(), essential("urn:none", KNOWN_DEVICE_CLASS)
    signed_in_with(BY_PASSWORD)
    assert step_of(browser.get(ent.url(attempt, claims=required))) == "/connexion"
    page = sign_in(browser, ent.url(attempt, claims=required), known.username, PASSWORD)
    claims = ent.tokens(browser, ent.answer(page)["code"], attempt)["claims"]
    assert claims["acr"] == KNOWN_DEVICE_CLASS
    assert acr_of(browser, ent, claims=required, prompt="none") == KNOWN_DEVICE_CLASS  # without another sign-in


@pytest.mark.row("A-26")
@pytest.mark.parametrize("mode", [None, "form_post"])
def test_a_sign_in_that_does_not_satisfy_the_essential_acr_is_an_error(
    app: Flask, ent: RelyingParty, parent: Account, mode: str | None
) -> None:
    # OpenID Connect Core 1.0, 5.5.1.1; Unmet Authentication Requirements 1.0, 1.
    stranger, attempt = app.test_client(), Attempt()
    url = ent.url(attempt, claims=essential(KNOWN_DEVICE_CLASS), response_mode=mode)
    page = sign_in(stranger, url, parent.username, PASSWORD)
    answer = posted_answer(ent, page) if mode else ent.answer(page)
    assert (answer["error"], answer["state"]) == (UNMET, attempt.state)
    assert acr_of(stranger, ent) == PASSWORD_CLASS, "the person is signed in all the same"


@pytest.mark.row("A-26")
def test_an_unreachable_essential_acr_is_refused_at_once(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # Unmet Authentication Requirements 1.0.
    for visitor in (browser, app.test_client()):
        for required in (essential("urn:none"), essential(), essential(PASSWORD_CLASS.upper())):
            assert ent.answer(visitor.get(ent.url(Attempt(), claims=required)))["error"] == UNMET, required


@pytest.mark.row("T-20")
def test_a_refresh_keeps_the_class_of_the_sign_in(browser: FlaskClient, build: Build, known: Account) -> None:
    # OpenID Connect Core 1.0, 12.2.
    ent = build.ent(scopes=OFFLINE)
    for wished, acr in ((None, KNOWN_DEVICE_CLASS), (PASSWORD_CLASS, PASSWORD_CLASS)):
        first = tokens_for(browser, ent, scope=OFFLINE, acr_values=wished)
        assert first["claims"]["acr"] == acr
        signed_in_with(PASSKEY_IN_SOFTWARE)
        again = ent.read(browser, ent.refresh(browser, first["refresh_token"]).get_json()["id_token"])
        same = ("acr", "amr", "auth_time")
        assert [again[name] for name in same] == [first["claims"][name] for name in same]
        signed_in_with("pwd+device")
