"""`acr_values` and `acr` as an essential claim, and `prompt=consent` (security rows A-15, A-25, A-26)."""

import json
import time
from collections.abc import Iterator

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clients import registry, released
from idp.clients.models import Client
from idp.db import db
from idp.oidc.claims.release import KNOWN_DEVICE_CLASS, PASSKEY_CLASS, PASSWORD_CLASS, SCOPES
from idp.sessions.devices import SETTLED
from idp.sessions.models import PASSKEY_IN_HARDWARE, PASSKEY_IN_SOFTWARE, PASSWORD as BY_PASSWORD, Session
from tests.builders import PASSWORD, Build, commit
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import OFFLINE, posted_answer, step_of, tokens_for
from tests.relying_party import Attempt, RelyingParty

UNMET = "unmet_authentication_requirements"


def essential(*values: str) -> str:
    return json.dumps({"id_token": {"acr": {"essential": True, "values": values}}})


def acr_of(browser: FlaskClient, ent: RelyingParty, **changes: str | None) -> str:
    return str(tokens_for(browser, ent, **changes)["claims"]["acr"])


def signed_in_with(strength: str) -> None:
    commit(update(Session).where(Session.ended_at.is_(None)).values(acr=strength))


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
    assert ent.tokens(browser, ent.answer(page)["code"], attempt)["claims"]["acr"] == KNOWN_DEVICE_CLASS
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


HEADING = "Ce que l’ENT va recevoir"


@pytest.mark.row("A-15")
def test_prompt_consent_asks_first_and_each_time(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for _ in range(2):
        attempt = Attempt()
        response = browser.get(ent.url(attempt, prompt="consent"))
        assert step_of(response) == "/authorize/accord"
        page = follow(browser, response)
        assert heading(page) == HEADING
        assert "Mme Noémie LEROY-VANDEPUTTE" in page.text
        ent.tokens(browser, ent.answer(submit(browser, page))["code"], attempt)


@pytest.mark.row("A-15")
def test_a_person_who_declines_returns_with_access_denied(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6; RFC 6749, 4.1.2.1.
    page = follow(browser, browser.get(ent.url(attempt, prompt="consent")))
    answer = ent.answer(browser.get(page.request.full_path.replace("/authorize/accord?", "/authorize/refus?")))
    assert (answer["error"], answer["state"]) == ("access_denied", attempt.state)


@pytest.mark.row("A-15")
def test_prompts_may_be_combined_but_with_none(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for prompt in ("login consent", "consent select_account login"):
        page = sign_in(browser, ent.url(Attempt(), prompt=prompt), session.username, PASSWORD)
        assert heading(page) == HEADING
        assert ent.answer(submit(browser, page))["code"]
    for prompt in ("none consent", "none login", "none none login", "create", "NONE", "consent,login"):
        assert ent.answer(browser.get(ent.url(Attempt(), prompt=prompt)))["error"] == "invalid_request", prompt


@pytest.mark.row("A-15")
def test_an_agreement_is_one_person_s_and_one_request_s(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. The next person in the same browser is asked again.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    data = {"csrf_token": form_token(page)}
    agreed = browser.post(page.request.full_path, data=data).headers["Location"]
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    assert step_of(browser.get(agreed)) == "/authorize/accord"
    assert step_of(browser.get(ent.url(Attempt(), prompt="consent"))) == "/authorize/accord"
    assert app.test_client().get(agreed).status_code == 400


@pytest.mark.row("A-15")
@pytest.mark.parametrize("touched", [True, False])
def test_the_consent_page_asks_for_the_sign_in_after_a_sign_out_in_another_tab(
    browser: FlaskClient, ent: RelyingParty, session: Account, *, touched: bool
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. Consent needs a session; after a new sign-in the person is asked again.
    page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent")))
    submit(browser, browser.get("/logout"))
    url = page.request.full_path
    data = {"csrf_token": form_token(page)}
    answer = browser.post(url, data=data) if touched else browser.get(url)
    assert step_of(answer) == "/authorize/resume"
    again = follow(browser, answer)
    assert heading(again) == "Connexion"
    consent_page = submit(browser, again, identifiant=session.username, mot_de_passe=PASSWORD)
    assert heading(consent_page) == HEADING
    assert ent.answer(submit(browser, consent_page))["code"]


@pytest.mark.row("A-15")
def test_the_page_says_what_is_asked_for_and_no_more(browser: FlaskClient, build: Build, session: Account) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4, 17.1.
    ent = build.ent(scopes="openid profile email address phone ent offline_access", always_claims=["charter"])

    def fetch_page_text(scope: str, claims: dict[str, object] | None = None) -> str:
        claims_request = json.dumps(claims) if claims else None
        page = follow(browser, browser.get(ent.url(Attempt(), prompt="consent", scope=scope, claims=claims_request)))
        assert heading(page) == HEADING
        return page.text

    assert "adresse mail" not in fetch_page_text("openid profile")
    assert "votre adresse mail confirmée" in fetch_page_text("openid email")
    assert "votre adresse mail confirmée" in fetch_page_text("openid", {"id_token": {"email": None}})
    assert "votre adresse postale" in fetch_page_text("openid", {"userinfo": {"address": {"essential": True}}})
    assert "si vous avez accepté sa charte" in fetch_page_text("openid")
    assert "aussi après votre visite" in fetch_page_text("openid offline_access")


def test_every_scope_has_its_words(app: Flask) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4. Only data is released that the page of `prompt=consent` and « Mes données dans
    # les ENT » list.
    always = [str(sentence) for sentence in released.sentences_of([], username=False, child=True)]
    for scope in SCOPES:
        sentences = [str(sentence) for sentence in released.sentences_of([scope], username=False, child=True)]
        assert len(sentences) == len(always) + (scope != "openid"), scope


def test_the_consent_page_names_the_children_only_if_they_are_released(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.4: "an interactive dialogue with the End-User that makes it clear what is being
    # consented to": a service for everyone serves no school, so that UserInfo tells it of no child.
    service = build.ent("Cantines", "cantines.test", uais=[], audience="everyone")
    page = follow(browser, browser.get(service.url(Attempt(), prompt="consent")))
    assert "que vous êtes parent" in page.text
    assert "enfants" not in page.text
    page = follow(browser, browser.get(build.ent().url(Attempt(), prompt="consent")))
    assert "pour chacun de vos enfants" in page.text
