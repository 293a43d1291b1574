"""The page of a pupil, the page of an account, and the acts of help."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.credential_events import EmailLinkSent
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountRead, SignInFailed
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.decisions.words import Answer
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.outbox.queue import OutboxMessage
from tests.builders import LYCEE, Build
from tests.closed import dispute, exclude, settle_dispute
from tests.commands.accounts import wrong_tries
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_notices import answered, disputed, noticed, plain
from tests.my_account.changes import read_notices
from tests.my_account.passkeys import owner, sign_in, stored
from tests.my_account.steps import LAPTOP, device, is_in
from tests.pages import heading
from tests.rows import each_row
from tests.waiting_guardians import wait


def main_of(browser: FlaskClient, path: str) -> str:
    page = browser.get(path)
    assert page.status_code == 200
    return page.get_data(as_text=True).partition("<main")[2]


def entries(kind: str) -> list[AuditEntry]:
    return db.session.query(AuditEntry).filter_by(kind=kind).order_by(AuditEntry.id).all()


def test_the_guardians_of_a_pupil_are_side_by_side(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    mother = build.active(children=[child])
    father = build.never_activated(children=[child], civility="M.", given_name="Yann", family_name="LEROY")
    browser, path = colleagues.signed_in(), f"/familles/{child.id}"
    page = main_of(browser, path)
    assert heading(browser.get(path)) == "Malo LEROY"
    assert [f"/comptes/{account.id}" in page for account in (mother, father)] == [True, True]
    assert "exemple.fr" not in page, "mail addresses are on the account's own page alone"


def test_what_to_say_has_the_addresses_of_the_ents_of_the_school(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    account = build.active(children=[child, build.child(uai=LYCEE)])
    closed = build.active(children=[child], disabled_at=now())
    build.ent("Autre", "autre.test", uais=[LYCEE])
    build.ent("Sans accueil", "sans.test", home_uri="", initiate_login_uri="https://sans.test/connexion")
    build.ent()
    browser, place = colleagues.signed_in(), ">https://ent.test/</b> (Passerelle)"
    for page in (f"/familles/{child.id}", f"/comptes/{account.id}"):
        text = main_of(browser, page)
        assert text.count(place) == 1, page
        assert text.count("Où se connecter") == 1, page
    assert "Où se connecter" not in main_of(browser, f"/comptes/{closed.id}")


def test_the_page_of_a_parent_has_nothing_of_the_other(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    mother = build.active(children=[child], email="noemie@exemple.fr")
    father = build.active(children=[child], given_name="Yann", family_name="KERVELLA", email="yann@autre.fr")
    noticed(build, Kind.SHARED_MAILBOX, father, other=mother)
    page = main_of(colleagues.signed_in(), f"/comptes/{mother.id}")
    assert not [text for text in ("Yann", "KERVELLA", "autre.fr", father.username, str(father.id)) if text in page]


def test_mail_addresses_are_masked_for_everybody(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email="noemie.leroy@exemple.fr", pending_email="nouvelle@exemple.fr")
    for role in (Role.SECRETARY, Role.HEAD, Role.HELPDESK, Role.DPO):
        page = main_of(colleagues.signed_in(role), f"/comptes/{account.id}")
        assert set(re.findall(r"[\w.…]+@exemple.fr", page)) == {"n…y@exemple.fr", "n…e@exemple.fr"}


def test_an_account_shows_its_children_of_the_school_and_its_notices(colleagues: Colleagues, build: Build) -> None:
    here, there = build.child(), build.child("Inès", "LEROY", LYCEE)
    account = build.never_activated(children=[here, there])
    noticed(build, Kind.LETTER_GUESSED, account)
    page = main_of(colleagues.signed_in(), f"/comptes/{account.id}")
    for text in (account.username, "Malo LEROY", "Quelqu’un a essayé de deviner le mot de passe d’un courrier"):
        assert text in page
    assert "Inès" not in page, "a pupil of another school is not named"
    assert "Renvoyer le message" not in page, "no address waits"


@each_row("role", [Role.HELPDESK, Role.DPO])
def test_the_academie_reads_with_a_reason_alone(colleagues: Colleagues, build: Build, role: Role) -> None:
    path = f"/comptes/{build.active().id}"
    without = colleagues.signed_in(role, reason="")
    example = "ticket 4512" if role is Role.HELPDESK else "demande d’accès reçue le 3 septembre"
    assert example in main_of(without, without.get(path).headers["Location"])
    main_of(colleagues.signed_in(role, reason="ticket 4512"), path)
    assert entries(AccountRead.kind)[-1].details["desk"]["reason"] == "ticket 4512"


def test_each_opened_page_is_in_the_journal(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    account = build.active(children=[child])
    browser = colleagues.signed_in()
    browser.get(f"/familles/{child.id}")
    browser.get(f"/comptes/{account.id}")
    assert entries(PupilRead.kind)[0].details["child"] == str(child.id)
    read = entries(AccountRead.kind)[0]
    assert (read.account_id, read.details["school"]) == (account.id, "0599001N")
    assert read.staff_id is not None
    assert read.school_id == child.school_id


def test_the_message_is_sent_again_and_not_twice_within_a_minute(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email=None, email_confirmed_at=None, pending_email="noemie@exemple.fr")
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    answer = post(browser, f"{path}/renvoyer", path)
    assert "Le message est parti" in main_of(browser, answer.headers["Location"])
    assert db.session.query(OutboxMessage).filter_by(kind="confirm_email").one().payload["reminds"] is True
    assert "Un message vient de partir" in post(browser, f"{path}/renvoyer", path).get_data(as_text=True)
    assert [entry.details["desk"]["role"] for entry in entries(EmailLinkSent.kind)] == ["secretary"]


def test_nothing_to_send_is_a_sentence(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    answer = post(browser, f"{path}/renvoyer", path)
    assert "Aucun message à renvoyer" in answer.get_data(as_text=True)


def test_an_account_is_unlocked(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    assert "Débloquer" not in main_of(browser, path), "no wrong try counts"
    with unit_of_work():
        log.record(SignInFailed(account_id=account.id, reason="wrong", username_digest=""))
    answer = post(browser, f"{path}/debloquer", path)
    assert "Aucun essai faux ne compte plus" in main_of(browser, answer.headers["Location"])
    after = main_of(browser, path)
    assert ("Compte débloqué" in after, "Débloquer" in after) == (True, False), "the events of the account tell it"


@each_row(("role", "offered"), [(Role.SECRETARY, False), (Role.HEAD, True), (Role.HELPDESK, True)])
def test_who_answers_no_notice_of_an_account_is_not_led_to_notices(
    colleagues: Colleagues, build: Build, role: Role, *, offered: bool
) -> None:
    account = build.active()
    wait(account)
    browser, link = colleagues.signed_in(role), 'href="/signalements">Voir les signalements'
    assert (link in main_of(browser, f"/comptes/{account.id}")) is offered
    noticed(build, Kind.RECTIFICATION, account)
    assert link in main_of(browser, f"/comptes/{account.id}"), "a notice for everybody"


@pytest.mark.row("I-23")
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HELPDESK])
def test_passkeys_are_removed_with_a_reason(app: Flask, colleagues: Colleagues, build: Build, role: Role) -> None:
    account = build.active()
    thief, browser, path = (
        device(app, LAPTOP),
        colleagues.signed_in(role, reason="ticket 4512"),
        f"/comptes/{account.id}",
    )
    assert "Retirer les clés d’accès" not in main_of(browser, path)
    sign_in(thief, owner(app, account))
    assert f'href="{path}/cles"' in main_of(browser, path)
    assert "Motif" in post(browser, f"{path}/cles", reason="ok").get_data(as_text=True)
    assert is_in(thief)
    for _ in range(2):
        answer = post(browser, f"{path}/cles", path, reason=" téléphone\nvolé ")
    assert answer.headers["Location"] == path, "the second click finds it done"
    assert (stored(account), is_in(thief)) == ([], False)
    entry = entries("passkey.changed")[-1]
    assert (entry.details["reason"], entry.details["desk"]["role"]) == ("téléphone volé", role.value)
    assert read_notices(account)[-1] == ("cle_retiree", "")


def test_a_disputed_account_is_not_unlocked(colleagues: Colleagues, build: Build) -> None:
    maeve, brother = build.child("Maëve"), build.child("Loïc")
    account = build.active(children=[maeve, brother])
    dispute(account.id, children=[maeve.id])
    db.session.commit()
    browser, path = colleagues.signed_in(Role.HEAD), f"/comptes/{account.id}"
    page = main_of(browser, path)
    assert re.search(r"Maëve \w+</a> <span class=\"tag bad\">Lien contesté", page)
    assert page.count('"tag bad">Lien contesté') == 1, "the dispute is about one of the two"
    pages = [main_of(browser, f"/familles/{child.id}") for child in (maeve, brother)]
    assert ["Lien contesté" in text for text in pages] == [True, False]
    assert ["Ce n’est pas mon enfant" in text for text in pages] == [False, True]
    answer = post(browser, f"{path}/debloquer", path)
    assert "Un signalement ferme ce compte" in answer.get_data(as_text=True)


def test_a_letter_that_expires_this_week_is_on_the_first_page(colleagues: Colleagues, build: Build) -> None:
    soon = build.child("Malo", "LEROY")
    for _ in range(2):
        build.never_activated(children=[soon], provisional_expires_at=now() + timedelta(days=3))
    build.never_activated(children=[build.child("Zoé", "MARTIN")])
    browser = colleagues.signed_in()
    assert '<span class="count">2</span><span><b>Courriers qui expirent cette semaine' in main_of(browser, "/")
    page = main_of(browser, "/recherche?liste=courriers")
    assert ("2 comptes, 1 élève" in page, "Zoé" in page) == (True, False), "the number of the tile"
    assert str(soon.id) in main_of(browser, "/recherche?q=&etat=courrier&liste=courriers")
    page = main_of(browser, "/recherche?q=&etat=en-service&liste=courriers")
    assert "Aucun courrier n’expire cette semaine avec cet état" in page
    assert "liste" not in main_of(browser, "/recherche?q=leroy&liste=courriers"), "words search everywhere"
    assert "expirent" not in main_of(colleagues.signed_in(uai=LYCEE), "/")


def test_a_refused_mail_is_on_the_first_page(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    account = build.active(children=[child], email=None, email_confirmed_at=None, pending_email="n@exemple.fr")
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    post(browser, f"{path}/renvoyer", path)
    assert "Mails refusés" not in main_of(browser, "/")
    with unit_of_work():
        message = db.session.query(OutboxMessage).filter_by(kind="confirm_email").one()
        message.outcome, message.finished_at = "dead", now()
    assert "Mails refusés" in main_of(browser, "/")
    assert str(child.id) in main_of(browser, "/recherche?liste=mails")
    with unit_of_work():
        db.session.get(Account, account.id).pending_email = "autre@exemple.fr"  # type: ignore[union-attr]
    assert "Mails refusés" not in main_of(browser, "/"), "the address has been corrected"
    assert "Aucune adresse mail n’a refusé" in main_of(browser, "/recherche?liste=mails")


def test_a_closed_tie_is_said_wherever_a_colleague_looks(colleagues: Colleagues, build: Build) -> None:
    child = build.child("Malo", "LEROY")
    suspended, excluded = build.active(children=[child]), build.active(children=[child])
    closing.close(suspended.id, Decision(reason="jugement", child=child.id, school=build.school()))
    exclude(excluded.id)
    db.session.commit()
    wrong_tries(suspended.username)
    pages = [f"/familles/{child.id}", f"/comptes/{suspended.id}", f"/comptes/{excluded.id}"]
    browser, sentences = colleagues.signed_in(), ("a suspendu le lien", "n’est pas responsable")
    family, first, second = (browser.get(page).get_data(as_text=True) for page in pages)
    assert [[words in page for words in sentences] for page in (family, first, second)] == [
        [True, True], [True, False], [False, True],
    ]  # fmt: skip
    assert not [good for good in ("En service", "Votre compte est prêt", "Je débloque votre compte") if good in first]
    results = browser.get("/recherche?q=malo").get_data(as_text=True)
    assert [results.count(tag) for tag in ("Lien suspendu</span>", "Pas responsable")] == [1, 1]


def test_the_letter_of_a_wrong_child_is_dead_also_for_the_other_pupils(colleagues: Colleagues, build: Build) -> None:
    account, notice = disputed(build, build.child("Malo"), build.child("Zoé"))
    settle_dispute(account.id, children=[account.guardianships[1].child_id])
    db.session.commit()
    browser = colleagues.signed_in()
    after = plain(browser.get(answered(browser, notice, Answer.RIGHT).headers["Location"]))
    assert "Son courrier ne marche plus : imprimez-en un autre" in after


def test_a_tie_of_an_account_that_was_never_used_closes_nothing(colleagues: Colleagues, build: Build) -> None:
    build.ent("Passerelle")
    malo = build.child("Malo")
    account = build.never_activated(children=[malo])
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}/suspension"
    before = main_of(browser, path).partition("Seulement")[2]
    assert "Le compte n’a jamais servi" in before
    assert "se ferme" not in before
    answer = post(browser, path, scope=malo.id.hex, reason="jugement", end="ouverte")
    after = main_of(browser, answer.headers["Location"])
    assert "rien n’était ouvert" in after
    assert "reste ouvert" not in after


def test_a_guardian_with_an_apostrophe_is_named_as_written(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    wait(build.active(children=[child], civility="M.", given_name="Sean", family_name="O'BRIEN"))
    page = main_of(colleagues.signed_in(), f"/familles/{child.id}").replace("\xa0", " ")
    assert "M. Sean O&#39;BRIEN attend la direction" in page
