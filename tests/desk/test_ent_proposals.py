"""Changes of an ENT that its operator asks for: they wait for the engineer, who accepts or refuses them."""

import re
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from werkzeug.test import TestResponse

from idp.app import outbox_handlers
from idp.audit.models import AuditEntry
from idp.cli.client import client as client_command
from idp.clients.models import Client, SubjectType
from idp.clock import now
from idp.db import db
from idp.desk.ents import acceptance
from idp.desk.ents.acceptance import MAIL
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from idp.registration import registrations
from idp.services import services
from idp.throttle import guard
from idp.throttle.limits import ENT_MOVES
from tests.builders import Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_ents import registration, row, text
from tests.relying_party import RelyingParty

URI = "https://neuf.test/retour"


@pytest.fixture
def own(build: Build) -> RelyingParty:
    build.school()
    return build.ent("Passerelle")


@pytest.fixture
def operator(colleagues: Colleagues, own: RelyingParty) -> StaffAccount:
    staff = colleagues.person("Lina Roy")
    colleagues.grant(staff, Role.ENT_OPERATOR, client_id=own.client_id)
    return staff


@pytest.fixture
def browser(colleagues: Colleagues, operator: StaffAccount) -> FlaskClient:
    return colleagues.session(operator)[0]


@pytest.fixture
def engineer(colleagues: Colleagues) -> FlaskClient:
    return colleagues.signed_in(Role.ENGINEER)


def ask(browser: FlaskClient, own: RelyingParty, **changed: Any) -> TestResponse:
    """Ask for a change of the registration, in the form of now; by default for another host."""
    client = row(own)
    asked = changed or {"redirect_uris": URI}
    return post(browser, f"/ent/{client.id}/modifier", **registration(client, **{"waiting": key(own), **asked}))


def key(own: RelyingParty) -> str:
    return str((row(own).pending_metadata or {}).get("asked_at", ""))


def news(kind: str) -> list[str]:
    mails = db.session.query(OutboxMessage).filter_by(kind=MAIL).all()
    return [mail.payload["recipient"] for mail in mails if mail.payload["news"] == kind]


def journal(change: str) -> AuditEntry:
    entries = db.session.query(AuditEntry).filter_by(kind="client.changed").all()
    return next(entry for entry in entries if entry.details["change"] == change)


def decide(engineer: FlaskClient, client: Client, way: str = "", **fields: str) -> TestResponse:
    page = f"/ent/{client.id}/changement"
    return post(engineer, f"{page}{way}", page, **{"version": str(client.version), **fields})


@pytest.mark.row("K-27")
def test_a_change_of_host_waits_and_is_in_force_when_the_engineer_accepts_it(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty, operator: StaffAccount
) -> None:
    former = row(own)
    uris, salt, sector = list(former.redirect_uris), former.subject_salt, former.sector
    former.description = {**former.description, "policy_uri": "https://ancien.test/donnees"}
    db.session.commit()
    assert ask(browser, own).headers["Location"] == f"/ent/{former.id}?fait=attend"
    client = row(own)
    assert client.redirect_uris == uris
    assert len(news("proposed")) == 1
    assert journal("proposed").staff_id == operator.id
    assert "Changements d’ENT à accepter" in text(engineer.get("/"))
    read = text(engineer.get(f"/ent/{client.id}/changement")).replace("\u00a0", " ")
    assert all(part in read for part in ("Lina Roy", f"aujourd’hui : {uris[0]}", f"demandé : {URI}"))
    assert "https://ent.test/bye" in read.partition("Ces adresses restent sur l’ancien serveur")[2]
    assert decide(engineer, client).headers["Location"].endswith("fait=change-accepte")
    client = row(own)
    assert (client.redirect_uris, client.pending_metadata) == ([URI], None)
    assert (client.subject_salt, client.sector) == (salt, sector), "everybody keeps the sub"
    assert news("change_accepted") == [str(operator.id)]
    assert journal("proposal accepted").details["after"]["redirect_uris"] == [URI]
    assert engineer.get(f"/ent/{client.id}/changement").headers["Location"].endswith("fait=tard")


def test_a_refused_change_leaves_the_registration_and_the_operator_is_told_why(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty, operator: StaffAccount
) -> None:
    ask(browser, own, home_uri="https://neuf.test/")
    client = row(own)
    before = registrations.audited(client)
    assert "Écrivez le motif" in text(decide(engineer, client, "/refus", reason="ok"))
    assert decide(engineer, client, "/refus", reason="Ce serveur n’est pas le vôtre.").status_code == 303
    after = registrations.audited(row(own))
    assert {field for field in after if after[field] != before[field]} == {"pending_metadata"}
    assert (row(own).pending_metadata, news("change_refused")) == (None, [str(operator.id)])
    assert journal("proposal refused").details["reason"] == "Ce serveur n’est pas le vôtre."
    assert "changement de l’ENT refusé par l’académie" in text(engineer.get("/journal"))


def test_another_change_takes_the_place_of_the_first_one(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty, build: Build
) -> None:
    build.ent("Ailleurs", "ailleurs.test")
    ask(browser, own)
    seen = row(own)
    forms = [text(reader.get(f"/ent/{seen.id}/modifier")) for reader in (browser, engineer)]
    assert [f"\n{URI}</textarea>" in form for form in forms] == [True, False], "the form shows what waits"
    version = str(seen.version)
    answer = ask(browser, own, name="Passerelle d’Ailleurs")
    assert answer.headers["Location"] == f"/ent/{seen.id}?fait=remplace"
    assert "Une autre personne vient de modifier" in text(decide(engineer, seen, version=version))
    assert row(own).name == "Passerelle"
    decide(engineer, row(own))
    assert (row(own).name, URI in row(own).redirect_uris) == ("Passerelle d’Ailleurs", False)


def test_what_was_changed_meanwhile_stays(browser: FlaskClient, engineer: FlaskClient, own: RelyingParty) -> None:
    ask(browser, own)
    row(own).home_uri = "https://ent.test/accueil"
    db.session.commit()
    asked = ask(browser, own, redirect_uris=URI, contacts="Lina Roy")
    assert asked.headers["Location"].endswith("fait=change"), "the same change waits, and the contact is none of it"
    decide(engineer, row(own))
    assert (row(own).redirect_uris, row(own).home_uri) == ([URI], "https://ent.test/accueil")
    assert row(own).description["contacts"] == ["Lina Roy"]


def test_what_needs_no_acceptance_is_changed_at_once(browser: FlaskClient, own: RelyingParty) -> None:
    """Addresses and keys wait together: the ENT would otherwise be on two servers by halves."""
    bye = list(row(own).post_logout_redirect_uris)
    asked = ask(browser, own, redirect_uris=URI, post_logout_redirect_uris="", contacts="Lina Roy", name="Passerelle 2")
    assert asked.headers["Location"].endswith("fait=en-partie")
    client = row(own)
    assert (client.name, client.description["contacts"]) == ("Passerelle 2", ["Lina Roy"])
    assert client.post_logout_redirect_uris == bye
    assert client.pending_metadata is not None
    assert client.pending_metadata["metadata"] == {"redirect_uris": [URI], "post_logout_redirect_uris": []}
    assert journal("changed").details["after"]["name"] == "Passerelle 2"


@pytest.mark.row("K-11")
def test_another_path_of_an_accepted_server_is_in_force_and_the_others_get_the_former_one(
    browser: FlaskClient,
    own: RelyingParty,
    colleagues: Colleagues,
    operator: StaffAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colleague, engineer = colleagues.person("Anne"), colleagues.person("Bea")
    colleagues.grant(colleague, Role.ENT_OPERATOR, client_id=own.client_id)
    colleagues.grant(engineer, Role.ENGINEER)
    bye = list(row(own).post_logout_redirect_uris)
    moved = {"post_logout_redirect_uris": "https://ent.test/go?u=1", "home_uri": row(own).home_uri}
    assert ask(browser, own, **moved).headers["Location"].endswith("fait=change")
    assert sorted(news("moved")) == sorted([str(colleague.id), str(engineer.id)])
    assert journal("changed").details["before"]["post_logout_redirect_uris"] == bye
    sent: list[str] = []
    monkeypatch.setattr(
        "idp.desk.team.mails.deliver",
        lambda mail, _: sent.extend(mail.get_body((part,)).get_content() for part in ("plain", "html")),
    )
    send = outbox_handlers(services().settings, services().outgoing)[MAIL]
    assert send(db.session.query(OutboxMessage).filter_by(kind=MAIL).all()[0]) is Outcome.DONE
    content, page = (re.sub(r"\s+", " ", part) for part in sent)
    whole = "post_logout_redirect_uris — avant : https://ent.test/bye — maintenant : https://ent.test/go?u=1"
    assert whole in content, "an operator reads and copies it"
    assert whole in page
    assert not re.findall(r'href="https://ent[^"]*', page), "no link of ours"
    assert "Lina Roy a changé des adresses" in content
    ask(colleagues.session(colleague)[0], own, post_logout_redirect_uris=bye[0])
    assert row(own).post_logout_redirect_uris == bye, "each of them writes the former address back"
    assert ask(browser, own, contacts="Lina").status_code == 303
    assert len(news("moved")) == 4, "a contact is no address"
    [window] = ENT_MOVES.windows
    for _ in range(window.tries - 1):
        assert isinstance(guard.take(ENT_MOVES, f"{operator.id} {row(own).id}"), guard.Granted)
    assert "continuez demain" in text(ask(browser, own, home_uri="https://ent.test/encore"))
    assert len(news("moved")) == 4, "a flood of mails would hide one of them"


@pytest.mark.parametrize("replaces", [False, True])
def test_a_colleague_whose_change_is_withdrawn_gets_a_mail(
    browser: FlaskClient, own: RelyingParty, colleagues: Colleagues, operator: StaffAccount, *, replaces: bool
) -> None:
    colleague = colleagues.person("Anne")
    colleagues.grant(colleague, Role.ENT_OPERATOR, client_id=own.client_id)
    other, page = colleagues.session(colleague)[0], f"/ent/{row(own).id}"
    ask(browser, own)
    if replaces:
        ask(other, own, redirect_uris="https://autre.test/retour")
    else:
        post(other, f"{page}/changement/retrait", page, waiting=key(own))
    assert news("withdrawn") == [str(operator.id)]


def test_an_operator_withdraws_the_change_that_the_page_shows(browser: FlaskClient, own: RelyingParty) -> None:
    ask(browser, own)
    page, former = f"/ent/{row(own).id}", key(own)
    ask(browser, own, redirect_uris="https://autre.test/retour")
    late = post(browser, f"{page}/changement/retrait", page, waiting=former)
    assert late.headers["Location"].endswith("fait=autre")
    assert "Une autre personne vient de modifier" in text(ask(browser, own, waiting=former))
    assert row(own).pending_metadata is not None
    done = post(browser, f"{page}/changement/retrait", page, waiting=key(own))
    assert done.headers["Location"].endswith("fait=retire")
    assert (row(own).pending_metadata, row(own).redirect_uris) == (None, ["https://ent.test/cb"])
    assert journal("proposal withdrawn").details["after"]["pending_metadata"] is None
    assert post(browser, f"{page}/changement/retrait", page).headers["Location"].endswith("fait=autre")
    ask(browser, own)
    assert ask(browser, own, redirect_uris="https://ent.test/cb").headers["Location"].endswith("fait=retire")
    assert row(own).pending_metadata is None
    assert news("withdrawn") == [], "nobody is told of an own act"


@pytest.mark.row("K-27")
@pytest.mark.parametrize("subject", ["pairwise", "public"])
@pytest.mark.parametrize(
    "name", ["redirect_uris", "home_uri", "initiate_login_uri", "jwks_uri", "backchannel_logout_uri", "tos_uri"]
)
def test_a_host_accepted_for_one_page_is_accepted_for_no_other_address(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty, subject: str, name: str
) -> None:
    client = row(own)
    client.subject_type = SubjectType(subject)
    client.description = {**client.description, "policy_uri": "https://pages.test/rgpd"}
    db.session.commit()
    before = registrations.audited(row(own))
    page = {"policy_uri": "https://pages.test/rgpd"}
    asked = ask(browser, own, **page, **{name: "https://pages.test/x"})
    assert asked.headers["Location"].endswith("fait=attend")
    after = registrations.audited(row(own))
    assert {field for field in after if after[field] != before[field]} == {"pending_metadata"}
    read = text(engineer.get(f"/ent/{client.id}/changement"))
    assert ("Un autre serveur recevra" in read) == (name != "tos_uri")
    assert ("Votre accord ne vaut que pour elle" in read) == (name == "tos_uri")
    same = ask(browser, own, policy_uri="https://pages.test/autre")
    assert same.headers["Location"].endswith("fait=change-retire"), "the page may move on its host"


def test_the_engineer_reads_what_the_change_would_do_to_the_registration_as_it_is_now(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty
) -> None:
    page = f"/ent/{row(own).id}/changement"
    ask(browser, own, redirect_uris="https://ent.test:8443/cb")
    assert "donnent à l’ENT : ent.test:8443." in text(engineer.get(page)).replace("\u00a0", " "), "another server"
    ask(browser, own, redirect_uris=f"https://ent.test/cb\r\n{URI}")
    assert "Ces adresses restent" not in text(engineer.get(page)), "the ENT leaves no server"
    ask(browser, own, home_uri="https://neuf.test/")
    assert "Un autre serveur recevra" in text(engineer.get(page))
    row(own).redirect_uris = ["https://ent.test/cb", URI]
    db.session.commit()
    assert "Un autre serveur recevra" not in text(engineer.get(page))


def test_a_change_that_the_ent_itself_asked_for_is_not_erased(browser: FlaskClient, own: RelyingParty) -> None:
    client = row(own)
    client.pending_metadata = {
        "asked_at": now().isoformat(),
        "hosts": ["neuf.test"],
        "metadata": {"redirect_uris": [URI]},
    }
    db.session.commit()
    kept, version = row(own).pending_metadata, row(own).version
    assert "L’ENT lui-même a demandé un changement" in text(ask(browser, own, waiting="", redirect_uris=URI))
    assert (row(own).pending_metadata, row(own).version) == (kept, version)
    assert ask(browser, own, waiting="", contacts="Lina Roy").headers["Location"].endswith("fait=change")


def test_the_change_of_a_person_who_left_is_only_refused(
    browser: FlaskClient, engineer: FlaskClient, own: RelyingParty, operator: StaffAccount, desk: Flask
) -> None:
    ask(browser, own)
    posts.end(posts.of_staff(operator.id)[0].id)
    db.session.commit()
    client = row(own)
    assert "la demande ne peut plus qu’être refusée" in text(decide(engineer, client))
    command = desk.test_cli_runner().invoke(client_command, ["accept", client.client_id])
    assert (command.exit_code, "no longer: refuse it" in command.output) == (1, True)
    assert row(own).redirect_uris != [URI]
    assert decide(engineer, row(own), "/refus", reason="Personne ne le demande.").status_code == 303


def test_the_commands_accept_and_refuse_a_change(browser: FlaskClient, own: RelyingParty, desk: Flask) -> None:
    runner = desk.test_cli_runner()
    ask(browser, own)
    shown = runner.invoke(client_command, ["show", own.client_id]).output
    assert f"new hosts redirect_uris=neuf.test: idp client accept {own.client_id}" in shown
    assert "accepted or refused as a whole" in runner.invoke(client_command, ["approve", own.client_id]).output
    refused = runner.invoke(client_command, ["refuse", own.client_id, "--reason", "autre serveur"])
    assert (refused.exit_code, row(own).pending_metadata) == (0, None)
    ask(browser, own)
    assert runner.invoke(client_command, ["accept", own.client_id]).exit_code == 0
    assert row(own).redirect_uris == [URI]
    assert runner.invoke(client_command, ["accept", own.client_id]).exit_code == 1


def test_an_operator_asks_for_five_ents_and_changes_a_day(browser: FlaskClient, own: RelyingParty) -> None:
    for number in range(acceptance.MOST_A_DAY):
        assert ask(browser, own, home_uri=f"https://neuf{number}.test/").status_code == 303
    version = row(own).version
    assert "continuez demain" in text(ask(browser, own))
    assert row(own).version == version
    db.session.execute(update(AuditEntry).values(at=now() - timedelta(hours=25)))
    db.session.commit()
    assert ask(browser, own).status_code == 303


@pytest.mark.parametrize("kind", ["proposed", "change_accepted", "change_refused"])
def test_each_mail_says_what_happened(
    browser: FlaskClient,
    engineer: FlaskClient,
    own: RelyingParty,
    operator: StaffAccount,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        "idp.desk.team.mails.deliver", lambda mail, _: sent.append(mail.get_body(("plain",)).get_content())
    )
    ask(browser, own)
    payload = {
        "client": str(row(own).id),
        "news": kind,
        "by": str(operator.id),
        "reason": "",
        "recipient": str(operator.id),
    }
    message = OutboxMessage(kind=MAIL, payload=payload, created_at=now())
    send = outbox_handlers(services().settings, services().outgoing)[MAIL]
    assert send(message) is Outcome.DONE
    sentence = {"proposed": "Lina Roy demande de changer", "change_accepted": "a accepté le changement"}
    assert sentence.get(kind, "n’a pas accepté le changement") in re.sub(r"\s+", " ", sent[0])
    decide(engineer, row(own), "/refus", reason="Un autre serveur.")
    assert send(message) is (Outcome.DROPPED if kind == "proposed" else Outcome.DONE)
