"""`/connexion` in a browser whose session answers the request already, and the link back to the ENT."""

import re
from datetime import timedelta

import pytest
import time_machine
from flask.testing import FlaskClient
from sqlalchemy import select, text

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.sessions.models import Session
from tests.activation.steps import CHOSEN, activate, newest_link
from tests.builders import PASSWORD, Build, commit
from tests.pages import follow, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

_ALREADY = "Vous êtes déjà connecté"


def _sign_in_and_go_back(browser: FlaskClient, build: Build, ent: RelyingParty, **changes: str) -> str:
    """Sign in for a request of the ENT; return the address of the sign-in page, which is behind."""
    page = follow(browser, browser.get(ent.url(Attempt(), **changes)))
    assert heading(page) == "Connexion"
    done = submit(browser, page, identifiant=build.active().username, mot_de_passe=PASSWORD)
    assert ent.answer(done)["code"]
    return str(page.request.full_path)


@pytest.mark.parametrize("wish", [{}, {"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "3600"}])
def test_back_after_a_finished_sign_in_leads_to_the_ent(
    browser: FlaskClient, build: Build, wish: dict[str, str]
) -> None:
    ent = build.ent(initiate_login_uri="https://ent.test/entrer")
    behind = _sign_in_and_go_back(browser, build, ent, **wish)
    for url in (behind, behind.replace("/connexion?", "/authorize/resume?")):
        page = follow(browser, browser.get(url))
        assert page.status_code == 303
        entrance = page.headers["Location"]
        assert entrance.startswith("https://ent.test/entrer?iss="), "a new sign-on: the state has served"
        assert "code=" not in entrance


def test_another_person_who_signs_in_behind_a_finished_sign_in_gets_a_state_of_their_own(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    behind = _sign_in_and_go_back(browser, build, ent)
    submit(browser, browser.get("/logout"))
    page = submit(browser, browser.get(behind), identifiant=build.active().username, mot_de_passe=PASSWORD)
    assert page.headers["Location"] == "https://ent.test/", "the state that served once is not sent again"


def test_the_page_of_a_second_tab_continues_its_own_request(
    browser: FlaskClient, build: Build, ent: RelyingParty, attempt: Attempt
) -> None:
    tab = follow(browser, browser.get(ent.url(attempt))).request.full_path
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    answer = ent.answer(follow(browser, browser.get(tab)))
    assert answer["state"] == attempt.state
    ent.tokens(browser, answer["code"], attempt)


@pytest.mark.row("A-21")
@pytest.mark.parametrize("typed", [PASSWORD, "faux"])
def test_a_form_that_a_second_tab_sends_returns_to_its_own_ent_with_its_own_state(
    browser: FlaskClient, build: Build, ent: RelyingParty, typed: str
) -> None:
    account, other = build.active(), build.ent("Horizon", "horizon.test")
    first_attempt, second_attempt = Attempt(), Attempt()
    first = follow(browser, browser.get(ent.url(first_attempt)))
    second = follow(browser, browser.get(other.url(second_attempt)))
    assert (
        ent.answer(submit(browser, first, identifiant=account.username, mot_de_passe=PASSWORD))["state"]
        == first_attempt.state
    )
    page = submit(browser, second, identifiant=f" {account.username.upper()} ", mot_de_passe=typed)
    answer = other.answer(page)
    assert answer["state"] == second_attempt.state
    assert other.tokens(browser, answer["code"], second_attempt)["id_token"]


def test_a_second_tab_that_waits_for_fresh_proof_has_it_from_the_first(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account, two = build.active(), Attempt()
    first = follow(browser, browser.get(ent.url(Attempt(), prompt="login")))
    second = follow(browser, browser.get(ent.url(two, prompt="login")))
    submit(browser, first, identifiant=account.username, mot_de_passe=PASSWORD)
    page = submit(browser, second, identifiant=account.username, mot_de_passe=PASSWORD)
    assert ent.answer(page)["state"] == two.state


def test_a_form_of_another_person_takes_neither_for_the_other(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    mother, father, two = build.active(), build.active(given_name="Yann", email="yann@exemple.fr"), Attempt()
    first = follow(browser, browser.get(ent.url(Attempt())))
    second = follow(browser, browser.get(ent.url(two)))
    submit(browser, first, identifiant=mother.username, mot_de_passe=PASSWORD)
    page = submit(browser, second, identifiant=father.username, mot_de_passe=PASSWORD)
    assert (page.status_code, heading(page)) == (400, "Un autre compte est ouvert ici")
    assert "Noémie L." in page.text
    [go_on] = re.findall(r'<a class="btn alt" href="([^"]+)">Continuer avec ce compte', page.text)
    assert go_on.startswith("/authorize/resume?")
    sessions = db.session.scalars(select(Session.account_id).where(Session.ended_at.is_(None))).all()
    assert sessions == [mother.id], "nothing that was typed into a dead form signs anybody in or out"
    answer = ent.answer(submit(browser, page, identifiant=father.username, mot_de_passe=PASSWORD))
    assert answer["state"] == two.state
    tokens = ent.tokens(browser, answer["code"], two)
    assert ent.userinfo(browser, tokens["access_token"]).get_json()["given_name"] == "Yann"


def test_a_form_of_no_ent_that_a_second_tab_sends_leads_to_the_account(browser: FlaskClient, parent: Account) -> None:
    first, second = (browser.get("/connexion") for _ in range(2))
    submit(browser, first, identifiant=parent.username, mot_de_passe=PASSWORD)
    page = submit(browser, second, identifiant=parent.username, mot_de_passe=PASSWORD)
    assert (page.request.method, heading(page)) == ("GET", "Gérer mon compte")


def test_a_form_that_is_too_old_is_reported_as_too_old(browser: FlaskClient, build: Build, ent: RelyingParty) -> None:
    behind = _sign_in_and_go_back(browser, build, ent)
    for url, away in ((behind.replace("demande=", "demande=x"), False), (behind, True)):
        if away:
            commit(text("ALTER TABLE session RENAME TO away"))
        page = browser.post(url, data={"csrf_token": "x", "identifiant": "a", "mot-de-passe": "b"})
        assert (page.status_code, heading(page)) == (400, "Cette page est restée ouverte trop longtemps"), url


def test_an_ent_without_an_address_is_named_with_an_instruction(browser: FlaskClient, build: Build) -> None:
    page = follow(browser, browser.get(_sign_in_and_go_back(browser, build, build.ent(home_uri=""))))
    assert heading(page) == _ALREADY
    assert "Revenez à l’ENT de l’établissement" in page.text


def test_sign_in_older_than_max_age_is_repeated_for_the_same_request(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    with time_machine.travel(now(), tick=False) as clock:
        behind = _sign_in_and_go_back(browser, build, ent, max_age="0")
        assert browser.get(behind).headers["Location"].startswith("/authorize/resume?")
        clock.shift(timedelta(seconds=61))
        assert heading(browser.get(behind)) == "Connexion"


def test_a_request_for_one_person_keeps_the_form(
    browser: FlaskClient, build: Build, ent: RelyingParty, parent: Account
) -> None:
    attempt = Attempt()
    code = ent.answer(sign_in(browser, ent.url(attempt), parent.username, PASSWORD))["code"]
    hint = ent.tokens(browser, code, attempt)["id_token"]
    behind = follow(browser, browser.get(ent.url(Attempt(), prompt="login", id_token_hint=hint))).request.full_path
    assert heading(browser.get(behind)) == "Connexion"
    sign_in(browser, behind, build.active().username, PASSWORD)
    assert heading(browser.get(behind)) == "Connexion", "perhaps another person is wanted, and may sign in here"


def test_a_second_tab_with_an_unconfirmed_address_continues_to_the_waiting_page(
    browser: FlaskClient, build: Build, ent: RelyingParty
) -> None:
    account = build.unconfirmed()
    tab = follow(browser, browser.get(ent.url(Attempt()))).request.full_path
    sign_in(browser, "/connexion", account.username, PASSWORD)
    assert heading(follow(browser, browser.get(tab))) == "Consultez votre messagerie"


def test_a_session_leads_to_the_account_until_another_person_chooses_a_password_here(
    browser: FlaskClient, build: Build, newcomer: Account
) -> None:
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    assert browser.get("/connexion").headers["Location"] == "/mon-compte"
    assert heading(browser.get("/connexion?compte=autre")) == "Connexion"
    activate(browser.application.test_client(), newcomer)
    submit(browser, browser.get(newest_link(build.settings, newcomer.id)), mot_de_passe=CHOSEN)
    assert heading(browser.get("/connexion")) == "Connexion"


_BACK = "Revenir à l’"
_LISTS = re.compile(r'<(ul|p) class="links">(.*?)</\1>', re.DOTALL)
_LINKS = re.compile(r"<a [^>]*>(.*?)</a>")


def links(text: str) -> list[str]:
    match = _LISTS.search(text)
    return _LINKS.findall(match.group(2)) if match else []


def test_the_link_is_the_last_of_the_sign_in_also_after_a_failure(browser: FlaskClient, ent: RelyingParty) -> None:
    offered = ["Identifiant oublié", "Mot de passe oublié", "Revenir à l’ENT Passerelle"]
    page = follow(browser, browser.get(ent.url(Attempt())))
    assert links(page.text) == offered
    for _ in range(6):
        page = submit(browser, page, identifiant="x.inconnu", mot_de_passe="faux")
        assert links(page.text) == offered
    assert page.status_code == 429


def test_page_without_an_ent_has_no_link_back(browser: FlaskClient, build: Build) -> None:
    assert _BACK not in browser.get("/connexion").text
    profile = browser.get("/profil")
    assert _BACK not in profile.text
    chosen = submit(browser, profile, profil="parent")
    assert (heading(chosen), "demande" in chosen.request.args) == ("Connexion", True)
    assert _BACK not in chosen.text
    assert _BACK not in sign_in(browser, "/connexion", "x.inconnu", "faux").text
    astray = browser.get(chosen.request.full_path.replace("/connexion?", "/authorize/refus?"))
    assert (astray.status_code, heading(astray)) == (400, "Reprenons depuis l’ENT")
