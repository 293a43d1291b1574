"""V rows about the letter: which secrets are accepted, and the rate limits of an activation."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.passwords.hasher import Hasher, Lane, fold_provisional
from idp.clock import now
from idp.db import db
from idp.throttle import limits
from tests.activation.steps import (
    ACTIVATION,
    CHOSEN,
    DEAD_LETTER,
    EMAIL,
    LOST,
    activate,
    fill_in,
    open_activation,
    read_state,
    without_token,
)
from tests.builders import PROVISIONAL, Build
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

_FAILED = "Vous n’êtes pas connecté"


@pytest.mark.row("V-01")
def test_the_letter_opens_an_activation_alone(browser: FlaskClient, ent: RelyingParty, newcomer: Account) -> None:
    page = open_activation(browser, newcomer, ent.url(Attempt()))
    assert browser.get_cookie("__Host-ss", domain="connexion.exemple.test") is None
    assert read_state(newcomer.id).sessions == 0
    assert heading(follow(browser, browser.get("/mon-compte"))) == "Connexion"
    resumed = browser.get("/authorize/resume", query_string=page.request.args)
    assert "code=" not in resumed.headers["Location"]
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"


@pytest.mark.row("V-02")
def test_an_activation_cannot_be_entered_at_its_second_step(browser: FlaskClient, newcomer: Account) -> None:
    token = form_token(browser.get("/connexion"))
    form = {"csrf_token": token, "nouveau": CHOSEN, "confirmation": CHOSEN, "mail": EMAIL}
    for place in (
        "/activation",
        "/activation?demande=",
        "/activation?demande=e30.forged",
        "/activation/non-representant",
    ):
        for answer in (browser.get(place), browser.post(place, data={**form, "account_id": str(newcomer.id)})):
            assert (answer.status_code, heading(answer)) == (400, LOST)
    for place in ("/adresse/confirmation", "/adresse/modifier"):
        assert browser.post(place, data=form).status_code == 400
    assert not read_state(newcomer.id).active


@pytest.mark.row("V-02")
def test_an_empty_form_and_a_foreign_account_change_nothing(browser: FlaskClient, build: Build) -> None:
    account, other = build.never_activated(), build.never_activated()
    page = open_activation(browser, account)
    again = submit(browser, page)
    assert heading(again) == ACTIVATION
    assert "Deux points à reprendre" in again.get_data(as_text=True)
    done = submit(
        browser,
        page,
        nouveau=CHOSEN,
        confirmation=CHOSEN,
        mail=EMAIL,
        account_id=str(other.id),
        username=other.username,
    )
    assert done.status_code == 200
    assert read_state(account.id).active
    assert not read_state(other.id).active


@pytest.mark.row("V-02")
def test_the_first_step_alone_cannot_be_used_again_after_the_activation(
    browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    former = read_state(newcomer.id).password
    fill_in(browser, page)
    first = read_state(newcomer.id)
    assert first.password != former
    fill_in(browser, page, password="marteau nuage girafe wagon", mail="autre@exemple.fr")
    assert read_state(newcomer.id) == first


@pytest.mark.row("V-03")
def test_the_url_of_an_activation_is_refused_in_another_browser(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    stranger = app.test_client()
    token = form_token(stranger.get("/connexion"))
    place = page.request.full_path
    assert heading(stranger.get(place)) == LOST
    answer = stranger.post(place, data={"csrf_token": token, "nouveau": CHOSEN, "confirmation": CHOSEN, "mail": EMAIL})
    assert answer.status_code == 400
    assert "Noémie" not in answer.get_data(as_text=True)
    assert not read_state(newcomer.id).active


@pytest.mark.row("V-03")
def test_an_activation_ends_half_an_hour_after_the_letter_was_typed(browser: FlaskClient, newcomer: Account) -> None:
    start = now()
    with time_machine.travel(start, tick=False) as clock:
        page = open_activation(browser, newcomer)
        clock.shift(timedelta(minutes=20))
        page = browser.get(page.request.full_path)
        assert heading(page) == ACTIVATION
        clock.shift(timedelta(minutes=10))
        page = browser.get(page.request.full_path)
        assert heading(page) == ACTIVATION
        clock.shift(timedelta(seconds=1))
        assert heading(fill_in(browser, page)) == LOST
    assert not read_state(newcomer.id).active


@pytest.mark.row("V-04")
def test_a_letter_that_expired_a_second_ago_is_refused_with_the_words_of_every_refusal(
    browser: FlaskClient, build: Build
) -> None:
    end = now() + timedelta(days=60)
    account = build.never_activated(provisional_expires_at=end)
    with time_machine.travel(end - timedelta(seconds=1), tick=False) as clock:
        open_activation(browser, account)
        clock.shift(timedelta(seconds=1))
        expired = sign_in(browser, "/connexion", account.username, PROVISIONAL)
        wrong = sign_in(browser, "/connexion", account.username, "7K4M-QX2P-0000")
    text = expired.get_data(as_text=True)
    assert _FAILED in text
    assert "seul le dernier reçu est valable, pendant 60 jours" in text
    assert without_token(expired) == without_token(wrong)


@pytest.mark.row("V-04")
def test_a_letter_that_expires_while_its_page_is_open_still_activates(browser: FlaskClient, build: Build) -> None:
    end = now() + timedelta(days=60)
    account = build.never_activated(provisional_expires_at=end)
    with time_machine.travel(end - timedelta(seconds=1), tick=False) as clock:
        page = open_activation(browser, account)
        clock.shift(timedelta(minutes=5))
        fill_in(browser, page)
    assert read_state(account.id).active


@pytest.mark.row("V-05")
def test_a_letter_that_was_printed_again_replaces_the_old_one(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    newcomer.provisional_hash = build.hash(fold_provisional("ZZZZ-YYYY-2222"))
    newcomer.generation += 1
    db.session.commit()
    assert heading(fill_in(browser, page)) == DEAD_LETTER
    assert _FAILED in sign_in(browser, "/connexion", newcomer.username, PROVISIONAL).get_data(as_text=True)
    assert heading(sign_in(browser, "/connexion", newcomer.username, "zzzz yyyy 2222")) == ACTIVATION


@pytest.mark.row("V-07")
def test_the_letters_secret_is_refused_once_the_account_is_active(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    activate(browser, newcomer)
    stranger = app.test_client()
    for _ in range(5):
        page = sign_in(stranger, "/connexion", newcomer.username, PROVISIONAL)
        assert _FAILED in page.get_data(as_text=True)
    assert sign_in(stranger, "/connexion", newcomer.username, PROVISIONAL).status_code == 429


@pytest.mark.row("V-09")
def test_family_names_are_hidden_before_the_right_secret(browser: FlaskClient, newcomer: Account) -> None:
    pages = [
        browser.get("/connexion"),
        sign_in(browser, "/connexion", newcomer.username, "7K4M-QX2P-0000"),
        browser.get("/activation"),
        browser.get("/activation/non-representant"),
    ]
    for page in pages:
        text = page.get_data(as_text=True)
        assert not any(word in text for word in ("Noémie", "VANDEPUTTE", "Malo", "Tilleuls", "6e 1"))
    opened = open_activation(browser, newcomer)
    text = opened.get_data(as_text=True)
    assert all(word in text for word in ("Mme Noémie LEROY-VANDEPUTTE", "Malo, 6e 1, Collège des Tilleuls"))
    abroad = submit(browser, opened, langue="en").text
    assert "Noémie LEROY-VANDEPUTTE" in abroad
    assert "Mme" not in abroad  # no other language has this civility
    for label in ("Compte", "Élève"):  # without « de », which would become « d’ » before « Inès »
        assert f"{label}\u00a0: <b>" in text


@pytest.mark.row("V-08")
def test_a_guessed_letter_stays_valid_and_the_school_is_notified_once(
    app: Flask, browser: FlaskClient, build: Build
) -> None:
    account = build.never_activated(provisional_expires_at=now() + timedelta(days=60))
    with time_machine.travel(now(), tick=False) as clock:
        for n in range(limits.LETTER_NOTICE_AT + 10):
            assert count_notices(account) == (1 if n >= limits.LETTER_NOTICE_AT else 0)
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            assert sign_in(guesser, "/connexion", account.username, f"7K4M-QX2P-{n:04}").status_code == 200
            clock.shift(timedelta(minutes=11))
        assert read_state(account.id).letter
        assert count_notices(account) == 1
        assert heading(sign_in(browser, "/connexion", account.username, PROVISIONAL)) == ACTIVATION


@pytest.mark.row("V-08")
def test_the_school_is_notified_again_of_guesses_after_it_settled(
    app: Flask, monkeypatch: pytest.MonkeyPatch, newcomer: Account
) -> None:
    monkeypatch.setattr(limits, "LETTER_NOTICE_AT", 5)
    with time_machine.travel(now(), tick=False) as clock:
        for n in range(2 * limits.LETTER_NOTICE_AT):
            sign_in(app.test_client(), "/connexion", newcomer.username, f"7K4M-QX2P-{n:04}")
            clock.shift(timedelta(minutes=11))
            if n == limits.LETTER_NOTICE_AT:
                school_notices.settle(newcomer.id, by="test", sentence="a joke")
                db.session.commit()
    assert count_notices(newcomer) == 2


def count_notices(account: Account) -> int:
    statement = select(func.count()).select_from(SchoolNotice).where(SchoolNotice.account_id == account.id)
    count = db.session.scalar(statement.where(SchoolNotice.kind == "letter_guessed")) or 0
    db.session.rollback()
    return count


@pytest.mark.row("V-18")
def test_known_and_unknown_identifiers_are_rate_limited_at_the_same_count(app: Flask, build: Build) -> None:
    real = [build.never_activated().username for _ in range(35)]
    unknown = [f"x.inconnu{n}" for n in range(35)]
    outcomes = {}
    with time_machine.travel(now(), tick=False):
        for name, usernames in (("real", real), ("unknown", unknown)):
            guesser = app.test_client()
            guesser.environ_base["REMOTE_ADDR"] = "203.0.113.7" if name == "real" else "203.0.113.8"
            pages = [sign_in(guesser, "/connexion", username, "7K4M-QX2P-0000") for username in usernames]
            outcomes[name] = [
                (page.status_code, page.headers.get("Retry-After"), without_token(page).replace(username, ""))
                for page, username in zip(pages, usernames, strict=True)
            ]
    assert outcomes["real"] == outcomes["unknown"]
    assert [status for status, _, _ in outcomes["real"]] == [200] * 30 + [429] * 5


@pytest.mark.row("V-25")
def test_forms_of_an_activation_are_limited_before_the_hash(
    browser: FlaskClient, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_activation(browser, build.never_activated())
    hashed: list[str] = []
    verify = Hasher.verify

    def verify_and_note(self: Hasher, stored: str | None, password: str, lane: Lane) -> bool:
        hashed.append(password)
        return verify(self, stored, password, lane)

    monkeypatch.setattr(Hasher, "verify", verify_and_note)
    with time_machine.travel(now(), tick=False):
        for _ in range(limits.ACTIVATION_ACCOUNT.windows[0].tries):
            assert fill_in(browser, page, mail="wrong").status_code == 200
        before = len(hashed)
        refused = fill_in(browser, page)
    assert (refused.status_code, refused.headers["Retry-After"], len(hashed)) == (429, "60", before)
