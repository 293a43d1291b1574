"""V-10 to V-16: what an activation changes, and what is true between the password and the confirmed address."""

from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.closings import Kind
from idp.accounts.models import Account, Guardianship, School, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from tests.activation.steps import (
    ACTIVATION,
    CHOSEN,
    DEAD_LETTER,
    EMAIL,
    SENT,
    activate,
    fill_in,
    newest_link,
    open_activation,
    read_state,
)
from tests.builders import LYCEE, PROVISIONAL, Build
from tests.email_confirmation.post import post_office
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.services import change_settings
from tests.settlements import REJECT, settle

CONFIRMED = "Confirmation de votre adresse mail"


def _confirm(browser: FlaskClient, build: Build, account: Account) -> str:
    page = submit(browser, browser.get(newest_link(build.settings, account.id)), mot_de_passe=CHOSEN)
    assert heading(page) == CONFIRMED
    return page.get_data(as_text=True)


@pytest.mark.row("V-10")
def test_before_the_address_is_confirmed_no_client_gets_a_code(
    browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    activate(browser, newcomer)
    assert heading(sign_in(browser, ent.url(Attempt()), newcomer.username, CHOSEN)) == SENT
    assert heading(follow(browser, browser.get(ent.url(Attempt())))) == SENT
    assert heading(follow(browser, browser.get("/mon-compte"))) == SENT
    assert ent.answer(browser.get(ent.url(Attempt(), prompt="none")))["error"] == "interaction_required"
    _confirm(browser, build, newcomer)
    attempt = Attempt()
    tokens = ent.tokens(browser, ent.answer(browser.get(ent.url(attempt)))["code"], attempt)
    info = ent.userinfo(browser, tokens["access_token"]).get_json()
    assert (info["email"], info["email_verified"]) == (EMAIL, True)


@pytest.mark.row("V-10")
def test_a_service_that_does_not_ask_for_an_address_lets_the_parent_in_without(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    change_settings(app, mail_required=False)
    account = build.never_activated()
    assert heading(fill_in(browser, open_activation(browser, account), mail="")) == CONFIRMED
    attempt = Attempt()
    answer = ent.answer(sign_in(browser, ent.url(attempt), account.username, CHOSEN))
    info = ent.userinfo(browser, ent.tokens(browser, answer["code"], attempt)["access_token"]).get_json()
    assert "email" not in info
    assert "email_verified" not in info


@pytest.mark.row("V-11")
def test_the_link_alone_confirms_nothing_and_shows_nothing_of_the_person(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    # The address has one wrong letter: the mail went to a stranger.
    activate(browser, newcomer)
    stranger = app.test_client()
    question = stranger.get(newest_link(build.settings, newcomer.id))
    assert heading(question) == "Confirmez votre adresse mail"
    before = read_state(newcomer.id)
    guesses = [submit(stranger, question, mot_de_passe=typed, ici="1") for typed in ("", "marteau nuage", PROVISIONAL)]
    for page in (question, *guesses, submit(stranger, question, nouveau="marteau nuage girafe wagon")):
        assert heading(page) == "Confirmez votre adresse mail"
        secrets = (newcomer.username, EMAIL, "Noémie", "LEROY", "Malo", "Tilleuls")
        assert not any(word in page.text for word in secrets)
    assert [page.status_code for page in guesses] == [200] * 3
    assert stranger.get_cookie("__Host-ss", domain="connexion.exemple.test") is None
    assert heading(follow(stranger, stranger.get("/mon-compte"))) == "Connexion"
    assert read_state(newcomer.id) == before
    entries = select(AuditEntry.result).where(AuditEntry.account_id == newcomer.id, AuditEntry.kind == "sign_in")
    assert db.session.scalars(entries).all() == ["refused"] * 2, "an empty field is no try"


@pytest.mark.row("V-11")
def test_guesses_behind_the_link_end_there_and_leave_the_sign_in_open(
    app: Flask, browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    activate(browser, newcomer)
    stranger, link = app.test_client(), newest_link(build.settings, newcomer.id)
    question = stranger.get(link)
    pages = [submit(stranger, question, mot_de_passe=f"faux {n}") for n in range(5)]
    pages.append(submit(stranger, question, mot_de_passe=CHOSEN))
    assert [page.status_code for page in pages] == [200] * 5 + [429]
    assert read_state(newcomer.id).email is None
    owner = sign_in(app.test_client(), "/connexion", newcomer.username, CHOSEN)
    assert heading(owner) == "Consultez votre messagerie"


@pytest.mark.row("V-12")
def test_activation_of_a_parent_leaves_the_other_parent_unchanged(browser: FlaskClient, build: Build) -> None:
    malo = build.child()
    mother, father = (build.never_activated(children=[malo]) for _ in range(2))
    before = read_state(father.id)
    activate(browser, mother)
    assert read_state(father.id) == before


@pytest.mark.row("V-13")
def test_the_wrong_holder_of_a_letter_stops_it_and_the_schools_are_notified(browser: FlaskClient, build: Build) -> None:
    malo, lila = build.child(), build.child("Lila", uai=LYCEE)
    account = build.never_activated(children=[malo, lila])
    page = open_activation(browser, account)
    place = page.request.full_path.replace("/activation?", "/activation/non-representant?")
    question = browser.get(place)
    assert heading(question) == "Ce n’est pas votre enfant ?"
    assert read_state(account.id).letter, "looking burns nothing"
    for _ in range(2):  # a double click sees the same page
        done = submit(browser, question, enfant=[malo.id.hex, lila.id.hex])
        assert heading(done) == "Merci, c’est noté"
        text = done.get_data(as_text=True)
        assert "Collège des Tilleuls" in text
        assert "Lycée Louise-Weber" in text
    second_tab = browser.get(page.request.full_path)
    assert (second_tab.status_code, heading(second_tab)) == (410, DEAD_LETTER)
    assert "demandez un nouveau courrier au secrétariat" in second_tab.text
    assert heading(fill_in(browser, page)) == DEAD_LETTER
    assert heading(sign_in(browser, "/connexion", account.username, PROVISIONAL)) == "Ce courrier a été signalé"
    assert not read_state(account.id).active
    notices = db.session.scalars(select(School.name).join(SchoolNotice).where(SchoolNotice.account_id == account.id))
    assert sorted(notices) == ["Collège des Tilleuls", "Lycée Louise-Weber"]
    assert len(_disputed(account)) == 2


def _disputed(account: Account) -> list[str]:
    statement = select(Guardianship.child_id).where(
        Guardianship.account_id == account.id, Guardianship.where_closed_as(Kind.DISPUTED)
    )
    return [key.hex for key in db.session.scalars(statement.order_by(Guardianship.rank))]


def _question(browser: FlaskClient, account: Account) -> TestResponse:
    page = open_activation(browser, account)
    return browser.get(page.request.full_path.replace("/activation?", "/activation/non-representant?"))


@pytest.mark.row("V-13")
def test_a_second_child_is_recorded_after_the_first_one(browser: FlaskClient, build: Build) -> None:
    malo, lila, elsewhere = build.child(), build.child("Lila"), build.child("Tom", uai=LYCEE)
    account = build.never_activated(children=[malo, lila, elsewhere], letter_school_id=malo.school_id)
    question = _question(browser, account)
    submit(browser, question, enfant=[malo.id.hex])
    closed = read_state(account.id)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    notice.digested_at = now()
    db.session.commit()
    for _ in range(2):  # the browser's Back, and a double click
        again = submit(browser, question, enfant=[lila.id.hex])
        assert (again.status_code, heading(again)) == (200, "Merci, c’est noté")
    assert (_disputed(account), read_state(account.id)) == ([malo.id.hex, lila.id.hex], closed)
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    assert notice.child_ids == [malo.id.hex, lila.id.hex]
    assert notice.digested_at is None, "the school hears of the second child too"
    assert heading(submit(browser, question, enfant=[elsewhere.id.hex])) == "Merci, c’est noté"
    assert _disputed(account) == [malo.id.hex, lila.id.hex], "a letter speaks for its own school's children"


@pytest.mark.row("V-13")
def test_a_second_child_after_the_schools_decision_is_not_reported_as_recorded(
    browser: FlaskClient, build: Build
) -> None:
    malo, lila = build.child(), build.child("Lila", uai=LYCEE)
    account = build.never_activated(children=[malo, lila, tom := build.child("Tom")])
    question = _question(browser, account)
    submit(browser, question, enfant=[malo.id.hex, lila.id.hex])
    settle(build.settings, account, REJECT, uai=malo.school.uai)
    late = submit(browser, question, enfant=[tom.id.hex])
    assert (late.status_code, heading(late)) == (410, DEAD_LETTER)
    assert _disputed(account) == [lila.id.hex]


def test_the_back_button_after_the_activation_shows_its_owner_that_the_account_is_active(
    browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    form = open_activation(browser, newcomer)
    fill_in(browser, form)
    _confirm(browser, build, newcomer)
    page = browser.get(form.request.full_path)
    assert (page.status_code, heading(page)) == (200, "Votre compte est activé")
    assert 'href="https://ent.test/">Accéder à l’ENT Passerelle</a>' in page.text
    browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    assert heading(browser.get(form.request.full_path)) == DEAD_LETTER


@pytest.mark.row("V-13")
def test_an_active_account_cannot_be_stopped_by_its_letter(browser: FlaskClient, newcomer: Account) -> None:
    page = open_activation(browser, newcomer)
    question = browser.get(page.request.full_path.replace("/activation?", "/activation/non-representant?"))
    fill_in(browser, page)
    before = read_state(newcomer.id)
    refused = submit(browser, question)
    assert (refused.status_code, heading(refused)) == (410, DEAD_LETTER)
    assert read_state(newcomer.id) == before


@pytest.mark.row("V-14")
def test_the_confirmed_page_leads_to_the_ents_home_and_to_no_old_redirect(
    app: Flask, browser: FlaskClient, build: Build, ent: RelyingParty, newcomer: Account
) -> None:
    activate(browser, newcomer, ent.url(Attempt()))
    text = _confirm(app.test_client(), build, newcomer)
    assert "Votre compte a été validé. Vous pouvez maintenant accéder à vos services en ligne." in text
    assert '<a class="btn" href="https://ent.test/">Accéder à l’ENT</a>' in text
    assert "ent.test/cb" not in text
    assert "demande=" not in text


@pytest.mark.row("V-15")
def test_every_step_sent_twice_shows_the_first_result_and_makes_one_mail(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    first = browser.get("/connexion")
    page = submit(browser, first, identifiant=newcomer.username, mot_de_passe=PROVISIONAL)
    assert heading(page) == ACTIVATION
    assert heading(browser.get(page.request.full_path)) == ACTIVATION
    sent = [fill_in(browser, page) for _ in range(2)]
    assert [heading(response) for response in sent] == [SENT, SENT]
    assert heading(follow(browser, browser.get(page.request.full_path))) == SENT, "the back button"
    assert heading(browser.get(sent[0].request.full_path)) == SENT
    after = read_state(newcomer.id)
    assert (after.links, after.mails, after.completions) == (1, 1, 1)
    link = browser.get(newest_link(build.settings, newcomer.id))
    done = [submit(browser, link) for _ in range(2)]
    assert [heading(response) for response in done] == [CONFIRMED, CONFIRMED]
    assert heading(follow(browser, browser.get(sent[0].request.full_path))) == CONFIRMED


@pytest.mark.row("V-15")
def test_the_sign_in_form_sent_again_after_the_activation_is_refused(browser: FlaskClient, newcomer: Account) -> None:
    first = browser.get("/connexion")
    token = form_token(first)
    submit(browser, first, identifiant=newcomer.username, mot_de_passe=PROVISIONAL)
    again = browser.post(
        "/connexion", data={"csrf_token": token, "identifiant": newcomer.username, "mot-de-passe": PROVISIONAL}
    )
    assert (again.status_code, heading(again)) == (400, "Cette page est restée ouverte trop longtemps")


@pytest.mark.row("V-16", "W-08")
def test_with_the_mail_server_down_the_activation_is_kept_and_the_mail_follows(
    app: Flask, browser: FlaskClient, newcomer: Account
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        with post_office(app) as closed:
            pass
        page = activate(browser, newcomer)
        assert closed.deliver() == []
        after = read_state(newcomer.id)
        assert (after.active, after.pending, after.mails) == (True, EMAIL, 1)
        assert "Le message peut mettre quelques minutes." in page.text
        clock.shift(timedelta(seconds=61))
        assert "Un nouveau message est parti" in submit(browser, browser.get(page.request.full_path)).text
        with post_office(app) as office:
            [mail] = office.deliver()
            assert mail["To"] == EMAIL
            clock.shift(timedelta(hours=2))
            assert len(office.deliver()) == 1, "the first one's link was replaced: it is not sent dead"
