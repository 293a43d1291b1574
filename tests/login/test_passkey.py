"""Sign-in by a passkey: it opens what the password opens, and every failure shows the same page."""

import json
from collections.abc import Callable
from datetime import timedelta
from html import unescape

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Guardianship
from idp.accounts.notices import NOTICE, Notice
from idp.clock import now
from idp.db import db, unit_of_work
from idp.login import service
from idp.oidc.claims.release import PASSKEY_CLASS, PASSWORD_CLASS
from idp.outbox.queue import OutboxMessage
from idp.passkeys import ceremony, keys
from idp.passkeys.models import Passkey, PasskeyUser, SpentChallenge
from idp.sessions.models import Session
from tests.authenticator import Authenticator, key_of_parent, options
from tests.builders import PASSWORD, Build
from tests.closed import dispute, suspend
from tests.my_account import steps
from tests.my_account.passkeys import CHALLENGE, PAGE, answer_with, begin, owner, post, sign_in, stored
from tests.my_account.steps import LAPTOP, PHONE, device, enter, is_in, text_of
from tests.my_account.test_reauthentication import PAGE as VERIFICATION
from tests.pages import follow, form_token, heading, submit
from tests.protocol.flow import code_for, tokens_for
from tests.relying_party import Attempt, RelyingParty

REFUSED = "Cette clé d’accès n’ouvre pas de compte."
OFFER = "La prochaine fois, sans mot de passe ?"


@pytest.fixture
def key(app: Flask, parent: Account) -> Authenticator:
    return owner(app, parent, key_of_parent(count=5))


def refused(page: TestResponse) -> str:
    """Check that a page says that a passkey opened nothing; return its text without what differs at each request."""
    assert page.status_code == 200
    text = text_of(page)
    assert REFUSED in text
    return text


def reasons() -> list[str]:
    entries = [entry for entry in steps.journal("sign_in") if entry.result == "refused"]
    return [entry.details["reason"] for entry in entries if entry.details["door"] == "passkey"]


@pytest.mark.parametrize(("is_copyable", "method"), [(True, "swk"), (False, "hwk")])
def test_a_passkey_opens_a_session_and_the_ent_learns_how(
    app: Flask, parent: Account, ent: RelyingParty, *, is_copyable: bool, method: str
) -> None:
    # RFC 8176, 2; OpenID Connect Core 1.0, 2.
    key = owner(app, parent, key_of_parent(is_copyable=is_copyable))
    browser, attempt = device(app, LAPTOP), Attempt()
    url = follow(browser, browser.get(ent.url(attempt))).request.full_path
    answer = ent.answer(follow(browser, sign_in(browser, key, url)))
    claims = ent.tokens(browser, answer["code"], attempt)["claims"]
    assert (claims["amr"], claims["acr"]) == ([method, "user"], PASSKEY_CLASS)
    assert [row.is_backed_up for row in stored(parent)] == [is_copyable]
    page = text_of(browser.get("/mon-compte/sessions"))
    assert "réussie, par clé d’accès" in page
    assert "réussie, par mot de passe" in page
    [entry] = [entry for entry in steps.journal("sign_in", parent) if entry.details["amr"] != ["pwd"]]
    assert entry.details["amr"] == [method, "user"]
    mails = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE))
    assert Notice.NEW_DEVICE.value in {mail["notice"] for mail in mails}, "as after a password"


def test_max_age_and_prompt_login_ask_for_the_key_again(
    app: Flask, parent: Account, key: Authenticator, ent: RelyingParty
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    browser = device(app, LAPTOP)
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, key)
        for wish in ({"max_age": "60"}, {"prompt": "login"}):
            clock.shift(timedelta(minutes=2))
            attempt = Attempt()
            page = follow(browser, browser.get(ent.url(attempt, **wish)))
            assert heading(page) == "Connexion"
            answer = ent.answer(follow(browser, sign_in(browser, key, page.request.full_path)))
            claims = ent.tokens(browser, answer["code"], attempt)["claims"]
            assert (claims["auth_time"], claims["acr"]) == (int(now().timestamp()), PASSKEY_CLASS)


def test_a_session_becomes_one_of_the_password_when_it_is_typed(
    app: Flask, key: Authenticator, ent: RelyingParty
) -> None:
    browser = device(app, LAPTOP)
    sign_in(browser, key)
    attempt = Attempt()
    code = code_for(browser, ent, attempt)
    submit(browser, browser.get(VERIFICATION), mot_de_passe=PASSWORD)
    assert ent.tokens(browser, code, attempt)["claims"]["amr"] == ["hwk", "user"], "the code is of the passkey"
    claims = tokens_for(browser, ent)["claims"]
    assert (claims["amr"], claims["acr"]) == (["pwd"], PASSWORD_CLASS)


CHANGES: dict[str, tuple[str, Callable[[Authenticator], None]]] = {
    "another origin": ("wrong", lambda key: setattr(key, "origin", "https://connexion.exemple.test.mechant.test")),
    "the origin of the desk": ("wrong", lambda key: setattr(key, "origin", "https://bureau.exemple.test")),
    "another relying party": ("wrong", lambda key: setattr(key, "rp_id", "exemple.test")),
    "a frame of another site": ("wrong", lambda key: setattr(key, "is_framed", True)),
    "no user verification": ("wrong", lambda key: setattr(key, "is_verified", False)),
    "another key": ("wrong", lambda key: setattr(key, "key", Authenticator().key)),
    "the handle of another person": ("wrong", lambda key: setattr(key, "user_handle", b"0123456789abcdef")),
    "no handle": ("wrong", lambda key: setattr(key, "user_handle", b"")),
    "a counter that goes back": ("cloned", lambda key: setattr(key, "step", -1)),
    "a counter that stays": ("cloned", lambda key: setattr(key, "step", 0)),
    "a key that became copyable": ("changed", lambda key: setattr(key, "is_copyable", True)),
    "an unknown credential": ("unknown", lambda key: setattr(key, "credential_id", b"unknown")),
}


@pytest.mark.row("I-22")
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_answer_opens_nothing(app: Flask, parent: Account, key: Authenticator, change: str) -> None:
    # WebAuthn Level 3, 7.2.
    reason, misbehave = CHANGES[change]
    misbehave(key)
    browser = device(app, LAPTOP)
    refused(sign_in(browser, key))
    assert not is_in(browser)
    assert reasons() == [reason]
    assert steps.journal("sign_in")[-1].account_id == (None if reason == "unknown" else parent.id)


@pytest.mark.row("I-22")
def test_a_key_that_the_browser_made_by_itself_is_verified_at_its_first_use(app: Flask, parent: Account) -> None:
    # WebAuthn Level 3, 7.1.
    phone, key = device(app, PHONE), key_of_parent()
    enter(phone, parent)
    key.is_verified = False
    assert post(phone, PAGE, passkey=begin(phone, key), nom="téléphone", seule="1").status_code == 303
    browser = device(app, LAPTOP)
    refused(sign_in(browser, key))
    key.is_verified = True
    sign_in(browser, key)
    assert is_in(browser)


@pytest.mark.row("I-24")
def test_an_unknown_key_and_a_known_one_get_the_same_page(app: Flask, key: Authenticator) -> None:
    known = refused(sign_in(device(app, LAPTOP), key_of_parent(credential_id=key.credential_id)))
    assert known == refused(sign_in(device(app, LAPTOP), key_of_parent()))


@pytest.mark.row("I-24")
def test_the_browser_may_forget_a_removed_key_and_no_other(app: Flask, parent: Account, key: Authenticator) -> None:
    # WebAuthn Level 3, 5.1.10.
    browser = device(app, LAPTOP)
    assert "signalUnknownCredential" not in sign_in(browser, key_of_parent(credential_id=key.credential_id)).text
    with unit_of_work():
        keys.remove_all(parent.id, by="person")
    values = {"rpId": "connexion.exemple.test", "credentialId": ceremony.as_text(key.credential_id)}
    page = sign_in(browser, key).text
    assert 'data-signal="signalUnknownCredential"' in page
    assert json.loads(unescape(page.partition('data-values="')[2].partition('"')[0])) == values


@pytest.mark.row("I-24")
def test_no_challenge_names_a_key(app: Flask) -> None:
    begun = [options(device(app, LAPTOP), CHALLENGE, "/connexion") for _ in range(2)]
    assert [each["allowCredentials"] for each in begun] == [[], []], "no key is named before it answers"


@pytest.mark.row("I-22")
def test_an_answer_works_once_soon_and_in_its_browser(app: Flask, key: Authenticator) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        browser = device(app, LAPTOP)
        answer = key.get(options(browser, CHALLENGE, "/connexion"))
        refused(answer_with(device(app, LAPTOP), answer))
        assert answer_with(browser, answer).status_code == 303
        browser.delete_cookie("__Host-ss", domain=steps.HOST)
        refused(answer_with(browser, answer))
        late = key.get(options(browser, CHALLENGE, "/connexion"))
        clock.shift(timedelta(minutes=10))
        refused(answer_with(browser, late))
        refused(answer_with(browser, key_of_parent().get(json.loads('{"challenge": "AAAA"}'))))
    assert reasons() == ["late"] * 4


@pytest.mark.row("I-22")
@pytest.mark.parametrize(
    "answer", ["x", "[]", "{}", "null", '{"id": 1, "response": {"clientDataJSON": 1}}', "{" * 9000]
)
def test_what_is_no_answer_is_refused(app: Flask, answer: str) -> None:
    refused(answer_with(device(app, LAPTOP), answer))
    assert reasons() == ["malformed"]


def _erase(account: Account) -> None:
    for table in (Session, Passkey, PasskeyUser, Guardianship):
        db.session.query(table).filter_by(account_id=account.id).delete()
    db.session.query(Account).filter_by(id=account.id).delete()


def _set(**values: object) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        db.session.execute(update(Account).where(Account.id == account.id).values(**values))

    return change


@pytest.mark.row("I-23")
@pytest.mark.parametrize(
    "close",
    [
        pytest.param(_set(disabled_at=now()), id="disabled"),
        pytest.param(_set(activated_at=None), id="a new letter"),
        pytest.param(_erase, id="erased"),
    ],
)
def test_a_closed_account_is_refused_as_an_unknown_key(
    app: Flask, parent: Account, key: Authenticator, close: Callable[[Account], None]
) -> None:
    close(parent)
    db.session.commit()
    browser = device(app, LAPTOP)
    refused(sign_in(browser, key))
    assert not is_in(browser)
    assert reasons()[0] in {"closed", "unknown"}


@pytest.mark.row("I-23")
def test_an_account_that_was_closed_after_the_key_was_read_is_refused(
    app: Flask, parent: Account, key: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_slot = service.with_slot

    def closed_meanwhile(decide: Callable[[int | None], object]) -> object:
        with unit_of_work():
            _set(generation=Account.next_generation())(parent)
        return with_slot(decide)

    monkeypatch.setattr(service, "with_slot", closed_meanwhile)
    browser = device(app, LAPTOP)
    refused(sign_in(browser, key))
    assert not is_in(browser)


@pytest.mark.row("I-23")
@pytest.mark.parametrize("closed", ["disputed", "suspended"])
def test_a_closed_account_sends_its_person_to_the_school(
    app: Flask, parent: Account, key: Authenticator, closed: str
) -> None:
    if closed == "disputed":
        dispute()
    else:
        suspend(parent.id)
    db.session.commit()
    browser = device(app, LAPTOP)
    assert heading(sign_in(browser, key)) == "Ce compte est fermé pour le moment"
    assert not is_in(browser)


@pytest.mark.row("I-23")
def test_a_blocked_password_blocks_passkeys_until_another_is_chosen(
    app: Flask, parent: Account, key: Authenticator
) -> None:
    _set(password_state=PasswordState.BLOCKED)(parent)
    db.session.commit()
    browser = device(app, LAPTOP)
    assert "Un lien part maintenant à votre adresse mail" in text_of(sign_in(browser, key))
    assert "Un message a déjà été demandé" in text_of(sign_in(browser, key))
    assert not is_in(browser)


def test_the_password_works_beside_the_key(app: Flask, parent: Account, key: Authenticator) -> None:
    # Nobody is left with the key alone: an empty answer is no answer.
    browser = device(app, LAPTOP)
    page = browser.get("/connexion")
    data = {"csrf_token": form_token(page), "passkey": "", "identifiant": parent.username, "mot-de-passe": PASSWORD}
    assert browser.post("/connexion", data=data).headers["Location"] == "/mon-compte"


def test_wrong_answers_slow_down_and_do_not_count_for_passwords(
    app: Flask, parent: Account, key: Authenticator
) -> None:
    browser = device(app, LAPTOP)
    with time_machine.travel(now(), tick=False):
        assert [answer_with(browser, "{}").status_code for _ in range(30)] == [200] * 30
        braked = answer_with(browser, "{}")
    assert (braked.status_code, int(braked.headers["Retry-After"])) == (429, 60)
    assert "Vous pouvez taper votre mot de passe tout de suite." in text_of(braked)
    assert heading(_sign_in_with(browser, "/connexion", parent)) == "Gérer mon compte"
    at_home = device(app, steps.PHONE)
    steps.enter(at_home, parent)
    assert sign_in(at_home, key, "/connexion?compte=autre").status_code == 303, (
        "a known browser has a counter of its own"
    )


def test_a_challenge_writes_nothing(app: Flask, key: Authenticator) -> None:
    browser = device(app, LAPTOP)
    before = steps.count(SpentChallenge)
    options(browser, CHALLENGE, "/connexion")
    assert steps.count(SpentChallenge) == before


def test_a_passkey_is_offered_once_after_a_sign_in_by_password(app: Flask, ent: RelyingParty, parent: Account) -> None:
    without = device(app, LAPTOP)
    steps.enter(without, parent)  # a browser that cannot make passkeys, or has no script
    browser, attempt = device(app, steps.PHONE), Attempt()
    page = _sign_in_with(browser, ent.url(attempt), parent)
    assert heading(page) == OFFER
    onward = page.text.partition('<a class="btn alt" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert ent.answer(browser.get(onward))["code"], "one tap leads to the ENT"
    browser.delete_cookie("__Host-ss", domain=steps.HOST)
    assert heading(_sign_in_with(browser, "/connexion", parent)) == "Gérer mon compte"


def _sign_in_with(browser: FlaskClient, url: str, account: Account) -> TestResponse:
    page = follow(browser, browser.get(url))
    return submit(browser, page, identifiant=account.username, mot_de_passe=PASSWORD, cles="1")


def test_the_offer_adds_a_key_and_leads_to_the_ent(app: Flask, build: Build, ent: RelyingParty) -> None:
    account, attempt = build.active(), Attempt()
    browser, key = device(app, steps.PHONE), key_of_parent()
    page = _sign_in_with(browser, ent.url(attempt), account)
    action = page.text.partition('action="')[2].partition('"')[0].replace("&amp;", "&")
    token = form_token(page)
    failed = browser.post(action, data={"csrf_token": token, "passkey": "{}"})
    assert "La clé d’accès n’a pas été enregistrée." in text_of(follow(browser, failed))
    answer = key.create(json.loads(browser.post(f"{PAGE}/defi", data={"csrf_token": token}).text))
    added = browser.post(action, data={"csrf_token": token, "passkey": answer})
    assert ent.answer(follow(browser, added))["code"]
    assert [row.name for row in stored(account)] == ["Téléphone Android"]


def test_nothing_is_offered_to_a_person_whom_no_mail_would_tell(app: Flask, build: Build) -> None:
    account = build.active(email=None)
    assert heading(_sign_in_with(device(app, steps.PHONE), "/connexion", account)) == "Gérer mon compte"
    assert not keys.record_offer(account.id)
    assert db.session.scalar(select(func.count()).select_from(PasskeyUser)) == 0
