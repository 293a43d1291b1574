"""The page of a pupil, the page of an account, and the acts of help."""

import re
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts import emails, school_notices
from idp.accounts.models import Account, Child
from idp.accounts.one_time_links import OneTimeLink
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.credential_events import EmailLinkSent
from idp.audit.desk_events import PupilRead
from idp.audit.events import AccountChanged, AccountRead, SignInFailed
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.notices.words import Answer
from idp.desk.staff.models import Role
from idp.families import suspension
from idp.families.suspension import Decision
from idp.outbox.queue import OutboxMessage
from tests.builders import LYCEE, Build
from tests.commands.accounts import wrong_tries
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_notices import answered, disputed, plain
from tests.my_account.changes import read_notices
from tests.my_account.passkeys import owner, sign_in, stored
from tests.my_account.steps import LAPTOP, device, is_in
from tests.pages import heading
from tests.rows import each_row
from tests.waiting_guardians import wait


def main_of(browser: FlaskClient, path: str) -> str:
    """Return the content of a page."""
    page = browser.get(path)
    assert page.status_code == 200
    return page.get_data(as_text=True).partition("<main")[2]


def entries(kind: str) -> list[AuditEntry]:
    """Return the journal's entries of a kind."""
    return db.session.query(AuditEntry).filter_by(kind=kind).order_by(AuditEntry.id).all()


def test_the_guardians_of_a_pupil_are_side_by_side(colleagues: Colleagues, build: Build) -> None:
    child = build.child()
    mother = build.active(children=[child])
    father = build.never_activated(children=[child], civility="M.", given_name="Yann", family_name="LEROY")
    browser = colleagues.signed_in()
    page = main_of(browser, f"/familles/{child.id}")
    assert heading(browser.get(f"/familles/{child.id}")) == "Malo LEROY"
    for text in (
        "Mme Noémie LEROY-VANDEPUTTE",
        "En service",
        "M. Yann LEROY",
        "Courrier à utiliser",
        "À dire au téléphone",
        f"/comptes/{mother.id}",
        f"/comptes/{father.id}",
    ):
        assert text in page
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
    school_notices_about(father, child, mother)
    browser = colleagues.signed_in()
    page = main_of(browser, f"/comptes/{mother.id}")
    for text in ("Yann", "KERVELLA", "autre.fr", father.username, str(father.id)):
        assert text not in page
    assert "KERVELLA" in main_of(browser, f"/comptes/{father.id}")


def school_notices_about(account: Account, child: Child, other: Account) -> None:
    with unit_of_work():
        school_notices.add(
            Kind.SHARED_MAILBOX,
            account.id,
            [child.school_id],
            other_account_id=other.id,
        )


def test_mail_addresses_are_masked_for_everybody(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email="noemie.leroy@exemple.fr", pending_email="nouvelle@exemple.fr")
    for role in (Role.SECRETARY, Role.HEAD, Role.HELPDESK, Role.DPO):
        page = main_of(colleagues.signed_in(role), f"/comptes/{account.id}")
        assert "n…y@exemple.fr" in page
        assert "n…e@exemple.fr" in page
        assert "noemie.leroy@" not in page
        assert "nouvelle@" not in page


def test_an_account_shows_children_letter_events_and_notices(colleagues: Colleagues, build: Build) -> None:
    here, there = build.child(), build.child("Inès", "LEROY", LYCEE)
    account = build.never_activated(children=[here, there])
    with unit_of_work():
        school_notices.add(Kind.LETTER_GUESSED, account.id, [here.school_id])
    browser = colleagues.signed_in()
    page = main_of(browser, f"/comptes/{account.id}")
    assert heading(browser.get(f"/comptes/{account.id}")) == "Mme Noémie LEROY-VANDEPUTTE"
    for text in (
        account.username,
        "valable jusqu’au",
        "Malo LEROY",
        "Quelqu’un a essayé de deviner le mot de passe d’un courrier",
        "Débloquer",
    ):
        assert text in page
    assert "Inès" not in page, "a pupil of another school is not named"
    assert "Renvoyer le message" not in page, "no address waits"


@each_row("path", ["/familles/{child}", "/comptes/{account}"])
def test_another_school_gets_not_found(colleagues: Colleagues, build: Build, path: str) -> None:
    child = build.child()
    account = build.active(children=[child])
    browser = colleagues.signed_in(uai=LYCEE)
    own = path.format(child=child.id, account=account.id)
    missing = path.format(child=uuid.uuid4(), account=uuid.uuid4())
    answers = [browser.get(url) for url in (own, missing)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert str(child.id) in entries("desk.refused")[-2].details["subject"] + str(child.id)


@each_row("act", ["renvoyer", "debloquer"])
def test_no_act_outside_of_the_scope(colleagues: Colleagues, build: Build, act: str) -> None:
    account = build.active(email=None, pending_email="n@exemple.fr")
    browser = colleagues.signed_in(uai=LYCEE)
    assert post(browser, f"/comptes/{account.id}/{act}", "/").status_code == 404
    assert not entries(EmailLinkSent.kind)
    assert not entries(AccountChanged.kind)


@each_row("role", [Role.HELPDESK, Role.DPO])
def test_the_academie_reads_with_a_reason_alone(colleagues: Colleagues, build: Build, role: Role) -> None:
    child = build.child()
    account = build.active(children=[child])
    without = colleagues.signed_in(role, reason="")
    for path in (f"/familles/{child.id}", f"/comptes/{account.id}"):
        assert (page := without.get(path).headers["Location"]).startswith("/motif?suite=")
    example = "ticket 4512" if role is Role.HELPDESK else "demande d’accès reçue le 3 septembre"
    assert example in main_of(without, page)
    browser = colleagues.signed_in(role, reason="ticket 4512")
    main_of(browser, f"/comptes/{account.id}")
    assert entries(AccountRead.kind)[-1].details["desk"]["reason"] == "ticket 4512"


def test_the_dpo_reads_and_does_not_act(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email=None, pending_email="n@exemple.fr")
    browser = colleagues.signed_in(Role.DPO)
    page = main_of(browser, f"/comptes/{account.id}")
    assert "Renvoyer le message" not in page
    assert "Débloquer" not in page
    assert post(browser, f"/comptes/{account.id}/renvoyer", "/").status_code == 404


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


def test_the_message_is_sent_again(colleagues: Colleagues, build: Build) -> None:
    account = build.active(email=None, email_confirmed_at=None, pending_email="noemie@exemple.fr")
    browser = colleagues.signed_in()
    path = f"/comptes/{account.id}"
    assert "Adresse mail à confirmer" in main_of(browser, path)
    answer = post(browser, f"{path}/renvoyer", path)
    assert answer.headers["Location"] == f"{path}?fait=renvoye"
    assert "Le message est parti" in main_of(browser, answer.headers["Location"])
    assert db.session.query(OneTimeLink).filter_by(account_id=account.id).count() == 1
    assert db.session.query(OutboxMessage).filter_by(kind="confirm_email").one().payload["reminds"] is True
    assert entries(EmailLinkSent.kind)[0].details["desk"]["role"] == "secretary"


def test_a_message_is_not_sent_again_within_a_minute(
    colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.active(email=None, email_confirmed_at=None, pending_email="noemie@exemple.fr")
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    post(browser, f"{path}/renvoyer", path)
    answer = post(browser, f"{path}/renvoyer", path)
    assert answer.status_code == 200
    assert "moins d’une minute" in answer.get_data(as_text=True)
    monkeypatch.setattr(emails, "resend", lambda *_, **__: emails.TooSoon(1))
    assert "réessayez dans une seconde." in post(browser, f"{path}/renvoyer", path).get_data(as_text=True)
    assert len(entries(EmailLinkSent.kind)) == 1


def test_nothing_to_send_is_a_sentence(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    answer = post(browser, f"{path}/renvoyer", path)
    assert answer.status_code == 200
    assert "Aucun message à renvoyer" in answer.get_data(as_text=True)


def test_an_account_is_unlocked(colleagues: Colleagues, build: Build) -> None:
    account = build.active()
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}"
    assert "Débloquer" not in main_of(browser, path), "no wrong try counts"
    with unit_of_work():
        log.record(SignInFailed(account_id=account.id, reason="wrong", username_digest=""))
    assert "Débloquer" in main_of(browser, path)
    answer = post(browser, f"{path}/debloquer", path)
    assert answer.headers["Location"] == f"{path}?fait=debloque"
    assert "Aucun essai faux ne compte plus" in main_of(browser, answer.headers["Location"])
    assert entries(AccountChanged.kind)[0].details["change"] == "unlocked"
    after = main_of(browser, path)
    assert "Compte débloqué" in after, "the events of the account tell it"
    assert "Débloquer" not in after


@each_row(("role", "offered"), [(Role.SECRETARY, False), (Role.HEAD, True), (Role.HELPDESK, True)])
def test_who_answers_no_notice_of_an_account_is_not_led_to_notices(
    colleagues: Colleagues, build: Build, role: Role, *, offered: bool
) -> None:
    account = build.active()
    wait(account)
    browser, link = colleagues.signed_in(role), 'href="/signalements">Voir les signalements'
    assert (link in main_of(browser, f"/comptes/{account.id}")) is offered
    with unit_of_work():
        school_notices.add(Kind.RECTIFICATION, account.id, [account.guardianships[0].child.school_id])
    assert link in main_of(browser, f"/comptes/{account.id}"), "a notice for everybody"


@pytest.mark.row("I-23")
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HELPDESK])
def test_passkeys_are_removed_with_a_reason_and_a_fresh_proof(
    app: Flask, colleagues: Colleagues, build: Build, role: Role
) -> None:
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
    stale = colleagues.signed_in(proof_age=timedelta(minutes=11))
    assert "/preuve" in post(stale, f"{path}/cles", "/etablissements", reason="téléphone volé").headers["Location"]
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
    next(tie for tie in account.guardianships if tie.child_id == maeve.id).disputed_at = now()
    db.session.commit()
    browser, path = colleagues.signed_in(Role.HEAD), f"/comptes/{account.id}"
    page = main_of(browser, path)
    assert re.search(r"Maëve \w+</a> <span class=\"tag bad\">Lien contesté", page)
    assert page.count('"tag bad">Lien contesté') == 1, "the dispute is about one of the two"
    assert "ne pas être responsable de l’élève Maëve" in page
    contested, family = main_of(browser, f"/familles/{maeve.id}"), main_of(browser, f"/familles/{brother.id}")
    assert "Lien contesté" in contested
    assert "Lien contesté" not in family
    offer = "Ce n’est pas mon enfant"
    assert [offer in text for text in (contested, family)] == [False, True]
    assert "Compte contesté" in family, "the state has the word of the board and the filter"
    assert "Débloquer" not in page
    answer = post(browser, f"{path}/debloquer", path)
    assert "Un signalement ferme ce compte" in answer.get_data(as_text=True)
    assert not entries(AccountChanged.kind)


def test_a_letter_that_expires_this_week_is_on_the_first_page(colleagues: Colleagues, build: Build) -> None:
    soon = build.child("Malo", "LEROY")
    for _ in range(2):
        build.never_activated(children=[soon], provisional_expires_at=now() + timedelta(days=3))
    build.never_activated(children=[build.child("Zoé", "MARTIN")])
    browser = colleagues.signed_in()
    assert '<span class="count">2</span><span><b>Courriers qui expirent cette semaine' in main_of(browser, "/")
    page = main_of(browser, "/recherche?liste=courriers")
    assert str(soon.id) in page
    assert "2 comptes, 1 élève" in page, "the number of the tile"
    assert "Zoé" not in page
    assert '<input type="hidden" name="liste" value="courriers">' in page
    assert str(soon.id) in main_of(browser, "/recherche?q=&etat=courrier&liste=courriers")
    page = main_of(browser, "/recherche?q=&etat=en-service&liste=courriers")
    assert "Aucun courrier n’expire cette semaine avec cet état" in page
    assert "de ces familles" not in page
    assert "liste" not in main_of(browser, "/recherche?q=leroy&liste=courriers"), "words search everywhere"
    assert "de ces familles" not in main_of(colleagues.signed_in(Role.HELPDESK), "/recherche?liste=courriers")
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
    page = main_of(browser, "/recherche?liste=mails")
    assert "Aucune adresse mail n’a refusé" in page
    assert "de ces familles" not in page


def test_a_closed_tie_is_said_wherever_a_colleague_looks(colleagues: Colleagues, build: Build) -> None:
    child = build.child("Malo", "LEROY")
    suspended, excluded = build.active(children=[child]), build.active(children=[child])
    suspension.suspend(suspended.id, Decision(reason="jugement", child=child.id, school=build.school()))
    excluded.guardianships[0].ended_at = excluded.guardianships[0].excluded_at = now()
    db.session.commit()
    wrong_tries(suspended.username)
    pages = [f"/familles/{child.id}", f"/comptes/{suspended.id}", f"/comptes/{excluded.id}", "/recherche?q=malo"]
    browser = colleagues.signed_in(Role.SECRETARY)
    family, first, second, results = (browser.get(page).get_data(as_text=True) for page in pages)
    stopped, denied = "a suspendu le lien", "n’est pas responsable"
    assert stopped in first
    assert denied not in first
    assert "Je ne peux pas vous répondre au téléphone." in first
    for good in ("En service", "Votre compte est prêt", "Je débloque votre compte"):
        assert good not in first
    assert denied in second
    assert stopped not in second
    assert stopped in family
    assert denied in family
    assert results.count("Lien suspendu</span>") == 1
    assert "En service</span>" not in results.partition(f"/comptes/{suspended.id}")[2].partition("</li>")[0]
    assert "Pas responsable" in results


def test_the_letter_of_a_wrong_child_is_dead_also_for_the_other_pupils(colleagues: Colleagues, build: Build) -> None:
    account, notice = disputed(build, build.child("Malo"), build.child("Zoé"))
    account.guardianships[1].disputed_at = None
    db.session.commit()
    browser = colleagues.signed_in()
    assert "le sien ne marche plus" in plain(browser.get(f"/signalements/{notice.id}/raison"))
    after = plain(browser.get(answered(browser, notice, Answer.RIGHT).headers["Location"]))
    assert "Son courrier ne marche plus : imprimez-en un autre" in after
    assert f"Imprimer un courrier pour {account.display_name}" in after


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
