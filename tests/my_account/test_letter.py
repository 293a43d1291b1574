"""« Ajouter un autre courrier »: one account for all children; the school decides in doubt; a letter is valid once."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from idp.accounts import school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Guardianship, Merge, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import admission
from tests.activation.steps import open_activation
from tests.builders import LYCEE, PASSWORD, PROVISIONAL, AtHome, Build, commit
from tests.closed import closed_as, dispute, exclude
from tests.email_confirmation.post import html_of, post_office, text_of as mail_text
from tests.my_account.changes import at_once, form
from tests.my_account.steps import LAPTOP, count, device, enter, journal, text_of, wait_out
from tests.pages import form_token, heading, sign_in, submit
from tests.protocol.flow import tokens_for
from tests.relying_party import Attempt
from tests.waiting_guardians import wait

PAGE, TITLE = "/mon-compte/courrier", "Ajouter un autre courrier"
FAILED = "Ce courrier n’a pas été ajouté"
DONE = "C’est fait : tous vos enfants sont sur ce compte."


@pytest.fixture
def build(build: Build) -> Build:
    return AtHome(build.settings)


def add(browser: FlaskClient, username: str, secret: str = PROVISIONAL) -> TestResponse:
    return submit(browser, browser.get(PAGE), identifiant=username, mot_de_passe=secret)


def read_account(account: Account) -> Account:
    return db.session.get_one(Account, account.id, populate_existing=True)


def merged_into(account: Account) -> uuid.UUID | None:
    return db.session.scalar(select(Merge.into_id).where(Merge.account_id == account.id))


def ranks(account: Account) -> list[tuple[str, int]]:
    statement = select(Guardianship).where(Guardianship.account_id == account.id).order_by(Guardianship.rank)
    return [(link.child.given_name, link.rank) for link in db.session.scalars(statement)]


def state(account: Account) -> dict[str, Any]:
    row = read_account(account)
    return {"children": ranks(account), **{c.name: getattr(row, c.name) for c in Account.__table__.columns}}


def test_the_children_of_the_letter_join_the_account_after_its_own(browser: FlaskClient, build: Build) -> None:
    mine = build.active(children=[build.child("Malo"), build.child("Tom")])
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE), build.child("Zoé", uai=LYCEE)])
    username, before = letter.username, read_account(mine).updated_at
    enter(browser, mine)
    page = add(browser, f" {username.upper()} ", PROVISIONAL.lower())
    assert heading(page) == "Gérer mon compte"
    assert DONE in text_of(page)
    assert "Inès LEROY 6e 1, Lycée Louise-Weber" in text_of(page)
    assert ranks(mine) == [("Malo", 0), ("Tom", 1), ("Inès", 2), ("Zoé", 3)]
    assert ranks(letter) == []
    after = read_account(letter)
    assert (after.provisional_hash, after.provisional_expires_at, after.activated_at) == (None, None, None)
    assert (merged_into(letter), after.generation) == (mine.id, 1)
    assert after.disabled_at is not None
    assert (read_account(mine).generation, read_account(mine).username) == (1, mine.username)
    assert read_account(mine).updated_at > before
    [event] = journal("letter.linked", mine)
    assert event.details == {"other": str(letter.id), "uais": [LYCEE], "notice": ""}
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.account_id, notice.settled_at) == ("letter_doubt", letter.id, None)
    assert browser.get(f"{PAGE}/doute").headers["Location"] == "/mon-compte"


@pytest.mark.row("N-03")
def test_each_ent_has_all_children_of_its_schools_at_the_next_userinfo(browser: FlaskClient, build: Build) -> None:
    college, lycee = build.ent(), build.ent("Horizon", "lycee.test", uais=[LYCEE])
    mine = build.active(children=[build.child("Malo")])
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE), build.child("Tom")], join_key="8200001")
    enter(browser, mine)
    token = tokens_for(browser, college)["access_token"]
    assert "autre-ent" in browser.get(lycee.url(Attempt())).headers["Location"], "no child there yet"
    add(browser, letter.username)
    userinfo = college.userinfo(browser, token).get_json()
    two = lycee.userinfo(browser, tokens_for(browser, lycee)["access_token"]).get_json()
    assert [child["given_name"] for child in userinfo["children"]] == ["Malo", "Tom"]
    assert [child["given_name"] for child in two["children"]] == ["Inès"]
    assert [len(claims["FrEduVecteur"]) for claims in (userinfo, two)] == [2, 1]
    assert two["FrEduVecteur"][0].startswith("2|LEROY-VANDEPUTTE|Noémie|")
    assert {claims["ENTPersonJointure"] for claims in (userinfo, two)} == {mine.join_key}


def test_the_linked_letter_is_refused(app: Flask, browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated()
    half_way = open_activation(app.test_client(), letter)
    other = app.test_client()
    begun = open_activation(other, letter)
    assert heading(half_way) == "Activez votre compte"
    enter(browser, mine)
    add(browser, letter.username)
    late = submit(other, begun, nouveau=PASSWORD, confirmation=PASSWORD, mail="p@exemple.fr")
    assert heading(late) == "Ce courrier ne sert plus"
    refused = sign_in(app.test_client(), "/connexion", letter.username, PROVISIONAL)
    assert "ressemble à celui d’un courrier" in text_of(refused)
    assert read_account(letter).activated_at is None


def test_a_child_that_is_there_is_not_doubled(browser: FlaskClient, build: Build) -> None:
    shared, new = build.child("Malo"), build.child("Inès", uai=LYCEE)
    mine, letter = build.active(children=[shared]), build.never_activated(children=[shared, new])
    enter(browser, mine)
    assert DONE in text_of(add(browser, letter.username))
    assert ranks(mine) == [("Malo", 0), ("Inès", 1)]
    assert [child.given_name for child in read_account(mine).children] == ["Malo", "Inès"]


def test_a_letter_with_a_disputed_tie_joins_no_account(browser: FlaskClient, build: Build) -> None:
    disputed, new = build.child("Tom", uai=LYCEE), build.child("Inès", uai=LYCEE)
    mine, letter = build.active(), build.never_activated(children=[disputed, new])
    dispute(children=[disputed.id])
    enter(browser, mine)
    assert DONE not in text_of(add(browser, letter.username))
    assert ranks(mine) == [("Malo", 0)]
    assert merged_into(letter) is None


@pytest.mark.parametrize("kind", ["excluded", "returned"])
def test_a_merge_opens_no_tie_that_the_school_excluded(browser: FlaskClient, build: Build, kind: str) -> None:
    barred, excluded, new = build.child("Malo"), build.child("Tom", uai=LYCEE), build.child("Inès", uai=LYCEE)
    mine = build.active(children=[barred])
    letter = build.never_activated(children=[barred, excluded, new])
    for account, child in ((mine, barred), (letter, excluded)):
        exclude(account.id, children=[child.id])
    commit(update(Closing).values(kind=kind))
    enter(browser, mine)
    assert DONE in text_of(add(browser, letter.username))
    assert [child.given_name for child in read_account(mine).children] == ["Inès"]
    moved = db.session.get_one(Guardianship, (mine.id, excluded.id), populate_existing=True)
    assert closed_as(moved) == {kind}, "the file that names the letter's key finds the exclusion"
    kept = db.session.get_one(Guardianship, (mine.id, barred.id))
    assert (closed_as(kept), kept.is_unended) == ({kind}, False)


def test_a_tie_that_waits_for_the_head_waits_for_the_other_account(browser: FlaskClient, build: Build) -> None:
    known, waiting = build.child("Malo"), build.child("Tom", uai=LYCEE)
    mine, letter = build.active(children=[known]), build.never_activated(children=[known, waiting, build.child("Inès")])
    wait(letter, known.id, waiting.id)
    enter(browser, mine)
    assert DONE in text_of(add(browser, letter.username))
    notices = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "guardian_waits")).all()
    notices = [notice for notice in notices if notice.settled_at is None]
    assert [(notice.account_id, notice.child_ids) for notice in notices] == [(mine.id, [waiting.id.hex])]
    admission.admit(notices[0].id, "vu au dossier")
    assert {child.given_name for child in read_account(mine).children} == {"Malo", "Tom", "Inès"}
    assert db.session.scalars(select(Closing).where(Closing.ended_at.is_(None))).all() == []


def test_an_account_without_children_takes_them_from_the_first_rank_on(browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(children=[]), build.never_activated(children=[build.child("Inès")])
    enter(browser, mine)
    add(browser, letter.username)
    assert ranks(mine) == [("Inès", 0)]


def test_the_person_is_notified_by_mail(app: Flask, browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated()
    with post_office(app) as office:
        enter(browser, mine)
        add(browser, letter.username)
        [mail] = office.deliver()
    assert (mail["Subject"], mail["To"]) == ("Un courrier est ajouté à votre compte", mine.email)
    for part in (mail_text(mail), html_of(mail)):
        text = " ".join(part.split())
        assert f"Un autre courrier a été ajouté au compte {mine.username} le " in text
        assert letter.username not in text
        assert "Malo" not in text
        assert "http" not in text


def test_in_doubt_nothing_changes_and_the_letters_schools_are_asked_once(browser: FlaskClient, build: Build) -> None:
    mine = build.active()
    children = [build.child("Zoé", uai=LYCEE), build.child("Lou", uai=LYCEE)]
    letter = build.never_activated(given_name="Karim", children=children)
    enter(browser, mine)
    build.school(LYCEE).phone = "03 53 01 40 41"
    db.session.commit()
    before = state(mine), state(letter)
    page = add(browser, letter.username)
    assert heading(page) == "L’établissement doit vérifier"
    assert "il est peut-être pour une autre personne" in text_of(page)
    assert page.request.path == "/mon-compte/courrier/doute"
    assert "Dites-le au secrétariat : Lycée Louise-Weber" in text_of(page)
    assert "Seul l’établissement peut vérifier" in text_of(page)
    assert "Zoé" not in page.text
    assert "Karim" not in page.text
    assert heading(add(browser, letter.username)) == "L’établissement doit vérifier"
    assert (state(mine), state(letter)) == before
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.kind, notice.school_id) == ("letter_doubt", build.school(LYCEE).id)
    assert (notice.account_id, notice.other_account_id) == (letter.id, mine.id)
    [event, _] = journal("letter.link_doubted", mine)
    assert (event.result, event.details) == ("refused", {"other": str(letter.id)})
    notice.settled_at = now()
    db.session.commit()
    assert browser.get("/mon-compte/courrier/doute").headers["Location"] == "/mon-compte"
    add(browser, letter.username)
    assert count(SchoolNotice) == 2, "asked anew after the school had looked"


def test_a_letter_that_a_school_told_apart_is_not_added_again(browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated(children=[build.child("Zoé", uai=LYCEE)])
    with unit_of_work():
        school_notices.add(Kind.LETTER_DOUBT, letter.id, [build.school(LYCEE).id], other_account_id=mine.id)
    commit(update(SchoolNotice).values(settled_at=now()))
    enter(browser, mine)
    assert heading(add(browser, letter.username)) == "L’établissement doit vérifier"
    assert merged_into(letter) is None


def test_a_doubtful_letter_can_still_be_activated_by_itself(app: Flask, browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated(given_name="Karim")
    enter(browser, mine)
    add(browser, letter.username)
    assert heading(open_activation(app.test_client(), letter)) == "Activez votre compte"


def test_own_identifier_is_named_and_counts_in_no_rate_limit(browser: FlaskClient, build: Build) -> None:
    mine = build.active()
    enter(browser, mine)
    for typed in (mine.username, mine.username.upper(), f" {mine.username} "):
        page = add(browser, typed, "n’importe quoi")
        assert "C’est l’identifiant de ce compte." in text_of(page)
        assert f'value="{typed.strip()}"' in page.text
    assert [entry for entry in journal("sign_in") if entry.result != "ok"] == []


@pytest.mark.parametrize(
    "case", ["wrong", "unknown", "activated", "expired", "burnt", "disabled", "own password", "empty"]
)
def test_every_unusable_letter_is_refused_with_the_same_text(browser: FlaskClient, build: Build, case: str) -> None:
    mine = build.active()
    letter = build.active() if case in {"activated", "own password"} else build.never_activated()
    username, secret = letter.username, PROVISIONAL
    match case:
        case "wrong":
            secret = "AAAA-AAAA-AAAA"
        case "unknown":
            username = "personne.ici1"
        case "own password":
            secret = PASSWORD
        case "expired":
            letter.provisional_expires_at = now() - timedelta(seconds=1)
        case "burnt":
            letter.provisional_hash = None
        case "disabled":
            letter.disabled_at = now()
        case "empty":
            username, secret = "", ""
    db.session.commit()
    enter(browser, mine)
    before = state(mine), state(letter)
    page = add(browser, username, secret)
    assert (page.status_code, heading(page)) == (200, TITLE)
    assert FAILED in text_of(page)
    assert secret == "" or secret not in page.text
    expected = text_of(add(browser, "x", "y"))
    assert text_of(page) == expected
    assert (state(mine), state(letter)) == before
    assert count(SchoolNotice) == 0


@pytest.mark.row("I-09")
def test_guesses_at_a_letter_close_its_activation_too(app: Flask, browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated()
    with time_machine.travel(now(), tick=False):
        enter(browser, mine)
        for _ in range(5):
            add(browser, letter.username, "AAAA-AAAA-AAAA")
        answer = browser.post(
            PAGE,
            data={
                "csrf_token": form_token(browser.get(PAGE)),
                "identifiant": letter.username,
                "mot-de-passe": PROVISIONAL,
            },
        )
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
        assert "Un peu de patience" in text_of(answer)
        assert f'value="{letter.username}"' in answer.text
        page = sign_in(device(app, LAPTOP), "/connexion", letter.username, PROVISIONAL)
        assert "Un peu de patience" in text_of(page)
    assert merged_into(letter) is None


def test_the_password_is_asked_for_first(browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated()
    with time_machine.travel(now(), tick=False) as clock:
        enter(browser, mine)
        form = browser.get(PAGE)
        wait_out(clock)
        response = submit(browser, form, identifiant=letter.username, mot_de_passe=PROVISIONAL)
        assert heading(response) == "Confirmez que c’est vous"
        assert merged_into(letter) is None
        back = submit(browser, response, mot_de_passe=PASSWORD)
        assert heading(back) == TITLE
        assert DONE in text_of(submit(browser, back, identifiant=letter.username, mot_de_passe=PROVISIONAL))


def test_a_second_click_sees_the_result_of_the_first(browser: FlaskClient, build: Build) -> None:
    mine, letter = build.active(), build.never_activated()
    enter(browser, mine)
    form = browser.get(PAGE)
    for _ in range(2):
        page = submit(browser, form, identifiant=letter.username, mot_de_passe=PROVISIONAL)
        assert DONE in text_of(page)
    assert len(journal("letter.linked")) == 1
    assert [entry for entry in journal("sign_in") if entry.result != "ok"] == []


@pytest.mark.row("Z-03")
def test_a_letter_is_linked_once_or_activated_and_never_both(app: Flask, build: Build) -> None:
    # Four parents with the same name add the letter at the same time, each in a separate process.
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE)])
    parents, orders = [build.active(children=[]) for _ in range(4)], []
    for n, parent in enumerate(parents):
        browser = device(app, LAPTOP, f"203.0.113.{n}")
        enter(browser, parent)
        orders.append(form(browser, browser.get(PAGE), identifiant=letter.username, **{"mot-de-passe": PROVISIONAL}))
    for n in range(4):
        browser = device(app, LAPTOP, f"203.0.113.{100 + n}")
        page = open_activation(browser, letter)
        fields = {"nouveau": PASSWORD, "confirmation": PASSWORD, "mail": f"p{n}@exemple.fr"}
        orders.append(form(browser, page, **fields))
    answers = at_once(build.settings, orders)
    after = read_account(letter)
    moved = [answer["location"] for answer in answers if answer["status"] == 303]
    linked = [location for location in moved if location.startswith("/mon-compte")]
    activated = [location for location in moved if location.startswith("/adresse/confirmation")]
    assert len(linked) + len(activated) == 1, answers
    assert all(answer["status"] < 500 for answer in answers), answers
    assert len(moved) == 1
    owners = db.session.scalars(select(Guardianship.account_id)).all()
    if linked:
        assert linked == ["/mon-compte?fait=courrier"]
        assert (after.activated_at, after.password_hash) == (None, None)
        assert owners == [merged_into(letter)]
    else:
        assert (after.merge, after.disabled_at) == (None, None)
        assert owners == [letter.id]
    assert len(journal("letter.linked")) == len(linked)
    assert len(journal("activation.completed")) == len(activated)


@pytest.mark.row("Z-03")
def test_concurrent_parents_link_a_letter_once(app: Flask, build: Build) -> None:
    letter = build.never_activated(children=[build.child("Inès", uai=LYCEE)])
    parents, orders = [build.active(children=[]) for _ in range(4)], []
    for n, parent in enumerate(parents):
        browser = device(app, LAPTOP, f"203.0.113.{n}")
        enter(browser, parent)
        orders.append(form(browser, browser.get(PAGE), identifiant=letter.username, **{"mot-de-passe": PROVISIONAL}))
    answers = at_once(build.settings, orders)
    assert sorted(answer["status"] for answer in answers) == [200, 200, 200, 303]
    new_home = merged_into(letter)
    assert new_home in {parent.id for parent in parents}
    assert db.session.scalars(select(Guardianship.account_id)).all() == [new_home]
