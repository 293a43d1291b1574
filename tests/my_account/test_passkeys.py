"""« Se connecter sans mot de passe »: passkeys are added, named and removed by their person alone."""

import json
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.email_confirmation import contest
from idp.letters import secrets
from idp.letters.secrets import NewSecret
from idp.passkeys.models import Passkey
from tests.authenticator import Authenticator, b64, key_of_parent, options, raw
from tests.builders import PASSWORD, Build, commit
from tests.email_confirmation.post import html_of, post_office, text_of
from tests.my_account import changes, steps
from tests.my_account.passkeys import CHALLENGE, PAGE, add, begin, owner, post, send, sign_in, stored
from tests.my_account.steps import LAPTOP, PHONE, device, enter, is_in, wait_out
from tests.pages import heading, submit
from tests.recovery.steps import CHOSEN, choose, mailed_link

NOT_KEPT = "La clé d’accès n’a pas été enregistrée."
VERIFY = "/mon-compte/verification?suite=cles"


@pytest.fixture
def phone(app: Flask, parent: Account) -> FlaskClient:
    browser = device(app, PHONE)
    enter(browser, parent)
    return browser


def test_a_parent_adds_names_uses_and_removes_passkeys(app: Flask, phone: FlaskClient, parent: Account) -> None:
    key = key_of_parent()
    laptop = device(app, LAPTOP)
    enter(laptop, parent)
    assert add(phone, key, " mon \t téléphone ").headers["Location"] == f"{PAGE}?fait=ajoutee"
    assert add(phone, key_of_parent(), "").status_code == 303
    text = steps.text_of(phone.get(PAGE))
    assert "mon téléphone" in text
    assert "Téléphone Android" in text, "a key without a name has that of the device"
    assert text.count("Pas encore utilisée") == 2
    sign_in(device(app, LAPTOP), key)
    assert "Dernière utilisation : aujourd’hui" in steps.text_of(phone.get(PAGE))
    first, second = stored(parent)
    assert (first.sign_count, first.is_backup_eligible, first.is_backed_up) == (1, False, False)
    assert post(phone, f"{PAGE}/nom", cle=str(first.id), nom="vieux").headers["Location"] == f"{PAGE}?fait=nommee"
    assert post(phone, f"{PAGE}/retirer", cle=str(second.id)).headers["Location"] == f"{PAGE}?fait=retiree"
    assert [row.name for row in stored(parent)] == ["vieux"]
    assert is_in(phone), "neither ends a session"
    assert is_in(laptop)
    mails = [kind for kind, _ in changes.read_notices(parent)]
    assert mails == ["cle_ajoutee", "cle_ajoutee", "cle_retiree"]
    entries = [entry.details for entry in steps.journal("passkey.changed", parent)]
    assert [(entry["change"], entry["by"]) for entry in entries] == [
        ("added", "person"),
        ("added", "person"),
        ("removed", "person"),
    ]


def test_the_mails_say_what_happened_and_where(app: Flask, phone: FlaskClient, parent: Account) -> None:
    with post_office(app) as office:
        add(phone, key_of_parent())
        post(phone, f"{PAGE}/retirer", cle=str(stored(parent)[0].id))
        added, removed = office.deliver()
    for part in (text_of(added), html_of(added)):
        assert "depuis cet appareil : Téléphone Android, Chrome" in " ".join(part.split())
    assert "elle ne l’ouvre plus" in text_of(removed)


def test_the_options_bind_the_key_to_the_person_and_ask_for_no_attestation(phone: FlaskClient, parent: Account) -> None:
    key = key_of_parent()
    add(phone, key)
    begun = options(phone, f"{PAGE}/defi", PAGE)
    assert (begun["rp"]["id"], begun["attestation"]) == ("connexion.exemple.test", "none")
    assert begun["authenticatorSelection"]["residentKey"] == "required"
    assert begun["authenticatorSelection"]["userVerification"] == "required"
    assert [known["id"] for known in begun["excludeCredentials"]] == [b64(key.credential_id)]
    assert (begun["user"]["name"], begun["user"]["displayName"]) == (parent.username, "Noémie L.")
    handle = raw(begun["user"]["id"])
    assert len(handle) == 32, "random, and never the account's number"
    assert parent.id.bytes not in handle


def of_another_person(app: Flask, _phone: FlaskClient, build: Build) -> str:
    browser = device(app, LAPTOP)
    enter(browser, build.active(username="a.roux1111", email="a@exemple.fr"))
    return begin(browser, key_of_parent())


def of_another_session(app: Flask, _phone: FlaskClient, _build: Build) -> str:
    browser = device(app, LAPTOP)
    enter(browser, db.session.query(Account).filter_by(email="noemie.leroy@exemple.fr").one())
    return begin(browser, key_of_parent())


def of_the_person_who_left_this_browser(_app: Flask, phone: FlaskClient, build: Build) -> str:
    answer = begin(phone, key_of_parent())
    enter_again(phone, build.active(username="a.roux1111", email="a@exemple.fr"))
    return answer


def enter_again(browser: FlaskClient, account: Account) -> None:
    browser.delete_cookie("__Host-ss", domain=steps.HOST)
    enter(browser, account)


def of_a_sign_in(_app: Flask, phone: FlaskClient, _build: Build) -> str:
    begun = options(phone, CHALLENGE, PAGE)
    return key_of_parent().create(begun | {"user": {"id": b64(b"x" * 32)}})


def used_before(_app: Flask, phone: FlaskClient, _build: Build) -> str:
    answer = begin(phone, key_of_parent())
    assert send(phone, answer).status_code == 303
    post(phone, f"{PAGE}/retirer", cle=str(db.session.query(Passkey).one().id))
    return answer


def made_up(_app: Flask, _phone: FlaskClient, _build: Build) -> str:
    return key_of_parent().create({"challenge": b64(b"0" * 32), "user": {"id": b64(b"x" * 32)}})


def nothing(_app: Flask, _phone: FlaskClient, _build: Build) -> str:
    return "{}"


@pytest.mark.row("M-09")
@pytest.mark.parametrize(
    "challenge",
    [
        of_another_person,
        of_another_session,
        of_the_person_who_left_this_browser,
        of_a_sign_in,
        used_before,
        made_up,
        nothing,
    ],
)
def test_one_person_cannot_enrol_for_another(
    app: Flask, phone: FlaskClient, build: Build, challenge: Callable[[Flask, FlaskClient, Build], str]
) -> None:
    # The challenge belongs to one browser, session and account, and works once (cf. CVE-2026-105209).
    page = send(phone, challenge(app, phone, build))
    assert page.status_code == 200
    assert NOT_KEPT in steps.text_of(page)
    db.session.rollback()
    assert db.session.query(Passkey).count() == 0


@pytest.mark.row("M-09")
def test_only_the_password_typed_minutes_ago_enrols(app: Flask, phone: FlaskClient, parent: Account) -> None:
    key = key_of_parent()
    with time_machine.travel(now(), tick=False) as clock:
        enter_again(phone, parent)
        waiting = begin(phone, key)
        wait_out(clock)
        for answer in (post(phone, f"{PAGE}/defi"), send(phone, waiting)):
            assert (answer.status_code, answer.headers["Location"]) == (303, VERIFY)
        assert stored(parent) == []
        assert submit(phone, phone.get(VERIFY), mot_de_passe=PASSWORD).request.path == PAGE
        assert send(phone, waiting).status_code == 303, "it is the same session"
        stranger = device(app, LAPTOP)
        assert sign_in(stranger, key).status_code == 303
        assert post(stranger, f"{PAGE}/defi").headers["Location"] == VERIFY, "a passkey adds no other"
        removal = post(stranger, f"{PAGE}/retirer", cle=str(stored(parent)[0].id))
        assert removal.headers["Location"] == VERIFY, "nor does it take another away"
        submit(stranger, stranger.get(VERIFY), mot_de_passe=PASSWORD)
        assert add(stranger, key_of_parent()).status_code == 303
        wait_out(clock)
        removal = post(phone, f"{PAGE}/retirer", cle=str(stored(parent)[0].id))
        assert removal.headers["Location"] == VERIFY
        assert len(stored(parent)) == 2


@pytest.mark.row("M-09")
def test_a_late_answer_enrols_nothing(phone: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter_again(phone, parent)
        answer = begin(phone, key_of_parent())
        clock.shift(timedelta(minutes=10))
        submit(phone, phone.get(VERIFY), mot_de_passe=PASSWORD)
        assert NOT_KEPT in steps.text_of(send(phone, answer))


@pytest.mark.row("M-09")
def test_one_answer_sent_at_once_enrols_once(settings: Settings, phone: FlaskClient, parent: Account) -> None:
    answer = begin(phone, key_of_parent())
    form = changes.form(phone, phone.get(PAGE), passkey=answer, nom="téléphone")
    changes.at_once(settings, [form] * 6)
    assert len(stored(parent)) == 1
    assert len(changes.read_notices(parent)) == 1


CHANGES: dict[str, Callable[[Authenticator], None]] = {
    "another origin": lambda key: setattr(key, "origin", "https://connexion.exemple.test.mechant.test"),
    "the origin of the desk": lambda key: setattr(key, "origin", "https://bureau.exemple.test"),
    "no TLS": lambda key: setattr(key, "origin", "http://connexion.exemple.test"),
    "another relying party": lambda key: setattr(key, "rp_id", "exemple.test"),
    "no user verification": lambda key: setattr(key, "is_verified", False),
}


@pytest.mark.row("I-22")
@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_answer_enrols_nothing(phone: FlaskClient, parent: Account, change: str) -> None:
    key = key_of_parent()
    CHANGES[change](key)
    assert NOT_KEPT in steps.text_of(add(phone, key))
    assert stored(parent) == []


def test_a_key_belongs_to_one_account(app: Flask, phone: FlaskClient, build: Build, parent: Account) -> None:
    key = owner(app, build.active(username="a.roux1111", email="a@exemple.fr"))
    assert NOT_KEPT in steps.text_of(add(phone, key))
    assert stored(parent) == []


def test_nobody_names_or_removes_the_key_of_another(
    app: Flask, phone: FlaskClient, build: Build, parent: Account
) -> None:
    other = build.active(username="a.roux1111", email="a@exemple.fr")
    owner(app, other)
    [row] = stored(other)
    for path in ("nom", "retirer"):
        for key in (str(row.id), "x", ""):
            assert post(phone, f"{PAGE}/{path}", cle=key, nom="volée").status_code == 404
    assert [row.name for row in stored(other)] == ["téléphone"]


def test_an_account_has_ten_keys_at_most_and_changes_few_a_day(phone: FlaskClient, parent: Account) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        enter_again(phone, parent)
        for _ in range(10):
            assert add(phone, key_of_parent()).status_code == 303
        assert send(phone, begin(phone, key_of_parent())).status_code == 429
        clock.shift(timedelta(minutes=61))
        enter_again(phone, parent)
        assert NOT_KEPT in steps.text_of(add(phone, key_of_parent()))
        assert "Vous avez déjà beaucoup de clés." in steps.text_of(phone.get(PAGE))
    assert len(stored(parent)) == 10


@pytest.mark.row("M-10")
def test_nobody_keeps_the_owner_from_removing_a_key(app: Flask, parent: Account) -> None:
    # A thief who enrolled a key can neither remove the owner's nor use up the owner's removals.
    thief = owner(app, parent)
    owner(app, parent)
    browser, home = device(app, LAPTOP), device(app, PHONE)
    choose(home, mailed_link(app, home, parent))
    sign_in(browser, thief)
    [theirs, ours] = stored(parent)
    for key in [str(ours.id)] + [str(uuid.uuid4())] * 12:
        assert post(browser, f"{PAGE}/retirer", cle=key).headers["Location"] == VERIFY
    enter(home, parent, CHOSEN)
    for _ in range(12):
        assert post(home, f"{PAGE}/retirer", cle=str(uuid.uuid4())).status_code == 404
    assert post(home, f"{PAGE}/retirer", cle=str(theirs.id)).headers["Location"] == f"{PAGE}?fait=retiree"
    assert [row.id for row in stored(parent)] == [ours.id]


def test_no_key_is_added_where_no_mail_can_tell(app: Flask, phone: FlaskClient, parent: Account, build: Build) -> None:
    silent = build.active(username="a.roux1111", email=None)
    browser = device(app, LAPTOP)
    enter(browser, silent)
    page = browser.get(PAGE)
    assert "il faut d’abord une adresse mail confirmée" in steps.text_of(page)
    assert "data-options" not in page.text
    assert post(browser, f"{PAGE}/defi").status_code == 404
    waiting = begin(phone, key_of_parent())
    commit(update(Account).where(Account.id == parent.id).values(email=None))
    assert NOT_KEPT in steps.text_of(send(phone, waiting))
    assert (stored(silent), stored(parent)) == ([], [])


@pytest.mark.parametrize("name", ["\u202eoups", "\x07", "x" * 500])
def test_a_name_is_one_short_printable_line(phone: FlaskClient, parent: Account, name: str) -> None:
    add(phone, key_of_parent(), name)
    [row] = stored(parent)
    assert row.name in {"Téléphone Android", "x" * 60}


def test_a_reset_by_mail_keeps_passkeys_and_tells_of_them(app: Flask, phone: FlaskClient, parent: Account) -> None:
    key = key_of_parent()
    add(phone, key)
    laptop = device(app, LAPTOP)
    choose(laptop, mailed_link(app, laptop, parent))
    assert not is_in(phone)
    with post_office(app) as office:
        [mail] = [mail for mail in office.deliver() if mail["Subject"] == "Votre mot de passe a changé"]
    assert "Votre clé d’accès n’a pas changé" in text_of(mail)
    assert "Votre clé d’accès n’a pas changé" in html_of(mail)
    assert sign_in(device(app, LAPTOP), key).headers["Location"] == "/mon-compte"


def _reset(app: Flask, parent: Account, box: dict[str, str]) -> TestResponse:
    browser = device(app, LAPTOP)
    page = browser.get(mailed_link(app, browser, parent))
    submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN, **box)
    return page


def _change(app: Flask, parent: Account, box: dict[str, str]) -> TestResponse:
    browser = device(app, LAPTOP)
    enter(browser, parent)
    page = browser.get(changes.PASSWORD_PAGE)
    done = changes.change_password(browser, **box)
    assert ("et vos clés d’accès sont retirées" in steps.text_of(done)) == bool(box)
    return page


@pytest.mark.row("I-23")
@pytest.mark.parametrize("act", [_reset, _change])
@pytest.mark.parametrize(("box", "left"), [({"retirer_cles": "y"}, 0), ({}, 1)])
def test_a_new_password_removes_the_keys_if_the_box_is_ticked(
    app: Flask,
    parent: Account,
    act: Callable[[Flask, Account, dict[str, str]], TestResponse],
    box: dict[str, str],
    left: int,
) -> None:
    owner(app, parent)
    page = act(app, parent, box)
    assert "téléphone Ajoutée le" in steps.text_of(page)
    assert "Cochez la case si vous ne reconnaissez pas l’une de ces clés" in steps.text_of(page)
    assert "checked" not in page.text
    assert len(stored(parent)) == left
    with post_office(app) as office:
        mail = next(mail for mail in office.deliver() if mail["Subject"] == "Votre mot de passe a changé")
    for part in (text_of(mail), html_of(mail)):
        assert ("Vos clés d’accès ont été retirées aussi" in part) == (not left)
        assert ("Votre clé d’accès n’a pas changé" in part) == bool(left)


def test_password_managers_find_the_page(app: Flask) -> None:
    # W3C, A Well-Known URL for Relying Party Passkey Endpoints.
    answer = app.test_client().get("/.well-known/passkey-endpoints")
    url = f"https://connexion.exemple.test{PAGE}"
    assert (answer.mimetype, json.loads(answer.text)) == ("application/json", {"enroll": url, "manage": url})


def test_the_page_works_without_a_script_and_then_has_no_button(phone: FlaskClient) -> None:
    page = phone.get(PAGE)
    assert heading(page) == "Se connecter sans mot de passe"
    assert 'data-options="/mon-compte/cles/defi" hidden' in page.text
    assert "<noscript>" in page.text
    assert send(phone, "").status_code == 200


def new_letter(settings: Settings, account: Account) -> None:
    with unit_of_work():
        secret = NewSecret("x", account.generation, account.guardianships[0].child.school_id)
        secrets.reset_accounts(settings, {account.id: secret}, now() + timedelta(days=60), "perdu")


def _contest(settings: Settings, account: Account) -> None:
    [link] = changes.links(account, Purpose.CONTEST_EMAIL)
    assert contest.stop(settings, one_time_links.token(settings, link) or "")


@pytest.mark.row("I-23")
@pytest.mark.parametrize(("by", "take_back"), [("letter", new_letter), ("contested", _contest)])
def test_whoever_took_an_account_leaves_no_key_behind(
    settings: Settings, phone: FlaskClient, parent: Account, by: str, take_back: Callable[[Settings, Account], None]
) -> None:
    add(phone, key_of_parent())
    changes.change_email(phone)
    take_back(settings, changes.reload_account(parent))
    assert stored(parent) == []
    assert steps.journal("passkey.changed", parent)[-1].details["by"] == by
