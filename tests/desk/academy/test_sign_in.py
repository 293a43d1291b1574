"""The académie's provider as the second door of the desk: sign-in, enrolment, proof."""

import re
import time
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff import sessions
from idp.desk.staff.models import Role, StaffAccount, StaffCeremony, StaffSession
from idp.desk.team import invitations
from tests.authenticator import Authenticator
from tests.desk import authenticator
from tests.desk.academy import provider as academy
from tests.desk.academy.provider import (
    Provider,
)
from tests.desk.academy.steps import begin, linked_to, refused, sign_in
from tests.desk.colleagues import Colleagues, is_in, post
from tests.pages import form_token, heading


@pytest.mark.row("K-26")
def test_a_linked_person_signs_in(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    page = sign_in(visitor, provider)
    assert heading(page) == "L’académie vous a reconnu"
    assert 'content="0;url=/"' in page.get_data(as_text=True)
    assert is_in(visitor)
    assert "prompt" not in provider.requests[0]
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "staff.sign_in")).one()
    assert (entry.result, entry.details["authenticator"]) == ("ok", "academy")


def test_the_button_is_shown_when_it_is_configured(visitor: FlaskClient) -> None:
    assert "Se connecter avec l’académie" in visitor.get("/connexion").get_data(as_text=True)


def test_the_sign_in_leads_to_the_page_that_was_asked_for(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    text = visitor.get("/connexion?suite=/ma-securite").get_data(as_text=True)
    assert 'action="/connexion/academie?suite=/ma-securite"' in text
    begun = post(visitor, "/connexion/academie?suite=/ma-securite", "/connexion").get_data(as_text=True)
    url = re.search(r'class="btn" href="([^"]+)"', begun)
    assert url
    page = visitor.get(academy.path(provider.authorize(unescape(url[1]))))
    assert 'content="0;url=/ma-securite"' in page.get_data(as_text=True)


@pytest.mark.parametrize(("age", "is_fresh"), [(None, False), (600, False), (60, True)])
def test_a_sign_in_of_some_time_ago_is_no_fresh_proof(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount, age: int | None, *, is_fresh: bool
) -> None:
    provider.auth_time = None if age is None else time.time() - age
    sign_in(visitor, provider)
    assert is_in(visitor)
    assert post(visitor, "/ma-securite/defi", "/etablissements").status_code == (200 if is_fresh else 303)


@pytest.mark.row("K-26")
def test_an_unknown_person_is_told_what_to_do(visitor: FlaskClient, provider: Provider, linked: StaffAccount) -> None:
    provider.subject = "agent-0043"
    page = sign_in(visitor, provider)
    refused(page, "Ce compte de l’académie n’est relié à aucune personne du bureau.")
    assert "Demandez un lien d’invitation" in page.get_data(as_text=True)


@pytest.mark.row("K-26")
@pytest.mark.parametrize("has_link", [False, True])
def test_nobody_is_found_by_a_mail_address(
    visitor: FlaskClient, colleagues: Colleagues, provider: Provider, linked: StaffAccount, *, has_link: bool
) -> None:
    staff = linked if has_link else colleagues.person()
    colleagues.grant(staff, Role.HEAD)
    email = staff.email
    provider.subject = "agent-0043" if has_link else email
    provider.change = lambda claims: claims.update(email=email, email_verified=True)
    refused(sign_in(visitor, provider), "n’est relié à aucune personne")


def test_the_same_subject_of_another_issuer_is_another_person(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    linked.issuer = "https://avant.test"
    db.session.commit()
    refused(sign_in(visitor, provider), "n’est relié à aucune personne")


@pytest.mark.parametrize("how", ["disabled", "no role"])
def test_a_person_who_left_does_not_enter(
    visitor: FlaskClient, colleagues: Colleagues, provider: Provider, linked: StaffAccount, how: str
) -> None:
    if how == "disabled":
        linked.disabled_at = now()
    else:
        linked.subject = "agent-0050"
        staff = colleagues.person()
        staff.issuer, staff.subject = provider.issuer, provider.subject
    db.session.commit()
    refused(sign_in(visitor, provider), "Votre accès au bureau est terminé.")
    assert not is_in(visitor)


def test_an_invitation_links_and_enrols(desk: Flask, colleagues: Colleagues, provider: Provider) -> None:
    link, browser = colleagues.invited("Inès Faure"), desk.test_client()
    token = link.rpartition("/")[2]
    assert "Me connecter avec l’académie" in browser.get(link).get_data(as_text=True)
    page = sign_in(browser, provider, link, invitation=token)
    assert heading(page) == "Votre accès est prêt"
    assert is_in(browser)
    asked = provider.requests[0]
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")
    assert linked_to(provider) == ["Inès Faure"]
    assert browser.get(link).status_code == 410
    other = desk.test_client()
    sign_in(other, provider)
    assert is_in(other)


def test_an_invitation_needs_a_sign_in_of_this_moment(desk: Flask, colleagues: Colleagues, provider: Provider) -> None:
    link, browser = colleagues.invited(), desk.test_client()
    token = link.rpartition("/")[2]
    provider.auth_time = time.time() - 3600
    refused(sign_in(browser, provider, link, invitation=token), "L’académie n’a pas redemandé qui vous êtes.")
    provider.auth_time, provider.change = None, lambda claims: claims.pop("auth_time")
    refused(sign_in(browser, provider, link, invitation=token), "L’académie n’a pas redemandé qui vous êtes.")
    assert linked_to(provider) == []
    assert browser.get(link).status_code == 200


def test_an_account_of_the_academy_opens_one_account_of_the_desk(
    desk: Flask, colleagues: Colleagues, provider: Provider, linked: StaffAccount
) -> None:
    link, browser = colleagues.invited("Inès Faure"), desk.test_client()
    page = sign_in(browser, provider, link, invitation=link.rpartition("/")[2])
    refused(page, "est déjà relié à une autre personne du bureau")
    assert linked_to(provider) == [linked.name]
    assert browser.get(link).status_code == 200


def test_an_invitation_that_was_used_meanwhile_links_nothing(
    desk: Flask, colleagues: Colleagues, provider: Provider
) -> None:
    link, browser = colleagues.invited(), desk.test_client()
    token = link.rpartition("/")[2]
    answer = provider.authorize(begin(browser, link, invitation=token))
    assert invitations.redeem(token)
    db.session.commit()
    assert browser.get(academy.path(answer)).status_code == 410
    assert linked_to(provider) == []


@pytest.mark.parametrize("token", ["x", "A" * 43, "\x00"])
def test_an_unknown_invitation_begins_nothing(visitor: FlaskClient, provider: Provider, token: str) -> None:
    assert post(visitor, "/connexion/academie", "/connexion", invitation=token).status_code == 410
    assert provider.requests == []


def test_a_reset_ends_the_link_with_the_academy(
    desk: Flask, colleagues: Colleagues, provider: Provider, linked: StaffAccount
) -> None:
    link = colleagues.reset(linked)
    assert is_in_by(desk, provider)
    assert invitations.person_of(link.rpartition("/")[2]).id == linked.id
    authenticator.enrol(desk.test_client(), link, Authenticator())
    refused(sign_in(desk.test_client(), provider), "n’est relié à aucune personne")


def is_in_by(desk: Flask, provider: Provider) -> bool:
    browser = desk.test_client()
    sign_in(browser, provider)
    return is_in(browser)


def test_the_end_of_an_account_frees_the_account_of_the_academy(provider: Provider, linked: StaffAccount) -> None:
    invitations.disable(linked.id)
    assert linked_to(provider) == []


@pytest.mark.row("K-32")
def test_the_academy_proves_again_who_one_is(colleagues: Colleagues, provider: Provider, linked: StaffAccount) -> None:
    browser, session = colleagues.session(linked, proof_age=timedelta(minutes=11))
    assert "Confirmer avec l’académie" in browser.get("/preuve").get_data(as_text=True)
    url = begin(browser, "/preuve", preuve="1")
    former = browser.get_cookie("__Host-desk", domain="bureau.exemple.test")
    assert former
    browser.delete_cookie("__Host-desk", domain="bureau.exemple.test")  # Strict: not sent on the way back
    page = browser.get(academy.path(provider.authorize(url)))
    assert heading(page) == "L’académie vous a reconnu"
    assert is_in(browser), "the answer sets the cookie with which the session continues"
    assert post(browser, "/ma-securite/defi", "/etablissements").status_code == 200
    browser.set_cookie("__Host-desk", former.value, domain="bureau.exemple.test", secure=True)
    assert post(browser, "/ma-securite/defi", "/etablissements").headers["Location"] == "/preuve?suite=%2Fma-securite"
    with time_machine.travel(now() + timedelta(minutes=5)):
        assert not is_in(browser)
    row = db.session.get(StaffSession, session.id, populate_existing=True)
    assert row
    assert now() - row.proved_at < timedelta(minutes=1)
    assert row.authenticator.value == "academy"
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "staff.proved")).one()
    assert entry.staff_id == linked.id


@pytest.mark.parametrize("how", ["old", "another person", "session over"])
def test_a_wrong_proof_by_the_academy_is_refused(
    colleagues: Colleagues, provider: Provider, linked: StaffAccount, how: str
) -> None:
    browser, session = colleagues.session(linked, proof_age=timedelta(minutes=11))
    url = begin(browser, "/preuve", preuve="1")
    if how == "old":
        provider.auth_time = time.time() - 3600
    if how == "another person":
        provider.subject = "agent-0043"
    if how == "session over":
        session.ended_at = now()
        db.session.commit()
    page = browser.get(academy.path(provider.authorize(url)))
    if how == "session over":
        assert page.headers["Location"] == "/connexion"
    else:
        assert page.status_code == 403
    proofs = db.session.scalars(select(AuditEntry.result).where(AuditEntry.kind == "staff.proved")).all()
    assert proofs == (["refused"] if how == "another person" else [])


@pytest.mark.parametrize("meanwhile", ["ended", "proved"])
def test_a_proof_by_the_academy_that_comes_too_late_changes_nothing(
    colleagues: Colleagues,
    provider: Provider,
    linked: StaffAccount,
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
) -> None:
    browser, session = colleagues.session(linked, proof_age=timedelta(minutes=11))
    url, prove = begin(browser, "/preuve", preuve="1"), sessions.prove
    change = {"ended_at": now()} if meanwhile == "ended" else {"digest": b"of the other proof"}

    def prove_late(*arguments: Any) -> object:
        own = update(StaffSession).where(StaffSession.id == session.id).values(**change)
        db.session.execute(own.execution_options(synchronize_session=False))
        return prove(*arguments)

    monkeypatch.setattr(sessions, "prove", prove_late)
    page = browser.get(academy.path(provider.authorize(url)))
    if meanwhile == "ended":
        assert page.headers["Location"] == "/connexion"
    else:
        assert heading(page) == "L’académie vous a reconnu"
    assert not [line for line in page.headers.getlist("Set-Cookie") if line.startswith("__Host-desk=")]
    assert db.session.query(AuditEntry).filter_by(kind="staff.proved").count() == 0


def test_wrong_proofs_by_the_academy_are_limited(
    colleagues: Colleagues, provider: Provider, linked: StaffAccount
) -> None:
    browser, _ = colleagues.session(linked, proof_age=timedelta(minutes=11))
    own, provider.subject = provider.subject, "agent-0043"
    statuses = [sign_in(browser, provider, "/preuve", preuve="1").status_code for _ in range(6)]
    assert statuses == [403] * 5 + [429]
    assert db.session.query(AuditEntry).filter_by(kind="staff.proved").count() == 5
    provider.subject = own
    with time_machine.travel(now() + timedelta(minutes=2)):
        assert sign_in(browser, provider, "/preuve", preuve="1").status_code == 200
        provider.subject = "agent-0043"
        assert sign_in(browser, provider, "/ma-securite", preuve="1").status_code == 403


def test_a_ceremony_stores_no_secret_in_clear(visitor: FlaskClient, provider: Provider) -> None:
    asked = dict(provider.authorize(begin(visitor)))
    row = db.session.scalars(select(StaffCeremony)).one()
    assert provider.requests[0]["nonce"] not in f"{row.values} {row.secret!r}"
    assert asked["state"] not in str(row.values)


def test_requests_that_come_to_nothing_are_limited(
    visitor: FlaskClient, provider: Provider, linked: StaffAccount
) -> None:
    for page in ("/connexion", "/etablissements", "/etablissements"):
        sign_in(visitor, provider, page)
    token = form_token(visitor.get("/etablissements"))
    statuses = [visitor.post("/connexion/academie", data={"csrf_token": token}).status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
