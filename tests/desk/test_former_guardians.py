"""The suspension of a tie that a file ended: it holds, the school sees it, and its head may end it."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.closings import Closing, Wait
from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import families, imported, row, sheet
from tests.desk.test_suspension import WHY, path_of, text_of
from tests.waiting_guardians import wait

STAYS = "Le fichier ne nomme plus cette personne ; la suspension reste."


def former(build: Build, child: Child, *others: Child) -> tuple[Account, Closing]:
    """Return a guardian whose suspended tie to a pupil a file ended, and the decision."""
    account = build.active(children=[child, *others], given_name="Gaston", family_name="MARCHAND", civility="M.")
    row = closing.close(account.id, Decision(reason=WHY, reference="RG 26/1", child=child.id, school=child.school))
    db.session.get_one(Guardianship, (account.id, child.id)).ended_at = now()
    db.session.commit()
    return account, row


@pytest.mark.row("K-04")
def test_the_head_sees_and_ends_the_suspension_of_a_guardian_who_left_the_file(
    colleagues: Colleagues, build: Build
) -> None:
    malo = build.child("Malo")
    account, row = former(build, malo)
    reopening = f"{path_of(account)}/{row.id}/reouverture"
    secretary, head = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    for browser, reopens in ((secretary, 0), (head, 1)):
        listed, family = text_of(browser, "/suspensions"), text_of(browser, f"/familles/{malo.id}")
        assert STAYS in listed
        assert f'<a href="/familles/{malo.id}">M. Gaston MARCHAND</a>' in listed
        assert "Ancien responsable" in family
        assert STAYS in family
        assert f"Motif : {WHY} (document : RG 26/1)" in family
        assert family.count(f'href="{reopening}">Mettre fin à la suspension<') == reopens
        assert f"/comptes/{account.id}" not in family.replace(reopening, "")
        assert browser.get(f"/comptes/{account.id}").status_code == 404, "the account is the school's no more"
    assert secretary.get(reopening).status_code == 404
    for stranger in (colleagues.signed_in(Role.HEAD, uai=LYCEE), colleagues.signed_in(Role.HELPDESK)):
        assert stranger.get(reopening).status_code == 404
        assert post(stranger, reopening, "/", reason="réglé").status_code == 404
    alike = build.never_activated(children=[malo], given_name="Gaston", family_name="MARCHAND")
    wait(alike, why=Wait.RECOGNISED)
    [notice] = db.session.scalars(select(SchoolNotice.id))
    assert f'<a href="/familles/{malo.id}">M. Gaston MARCHAND</a>' in text_of(head, f"/signalements/{notice}")
    stale = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    assert stale.get(reopening).headers["Location"].startswith("/preuve?")
    page = text_of(head, reopening)
    assert "rien ne s’ouvre maintenant" in page
    assert "Les ENT recevront" not in page
    assert WHY in page
    answer = post(head, reopening, reason="jugement levé")
    assert answer.headers["Location"] == f"/familles/{malo.id}?fait=finie"
    done = text_of(head, answer.headers["Location"])
    assert "Rien ne s’ouvre tant que le fichier ne nomme pas cette personne." in done
    assert "Ancien responsable" not in done
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "account.reopened"))
    assert entry.details["reason"] == "jugement levé"
    assert db.session.get_one(Closing, row.id, populate_existing=True).ended_at is not None
    tie = db.session.get_one(Guardianship, (account.id, malo.id), populate_existing=True)
    assert (tie.is_unended, tie.is_shut_at(now())) == (False, False)


@pytest.mark.row("K-04")
def test_a_search_finds_a_former_guardian_with_the_pupil_in_the_own_school_alone(
    colleagues: Colleagues, build: Build
) -> None:
    malo, ines, school = build.child("Malo"), build.child("Inès", uai=LYCEE), build.school()
    gone = build.active(children=[malo, ines], given_name="Gaston", family_name="MARCHAND")
    came, lou = build.child("Noé"), build.child("Lou")
    before = build.active(children=[came, lou], given_name="Ulric", family_name="MARCHAND")
    came.moved_at = now() - timedelta(hours=2)
    account, _ = former(build, malo, build.child("Zoé", uai=LYCEE))
    moved = build.active(children=[malo], given_name="Ali", family_name="MARCHAND")
    for key, pupil, knows in (
        (gone.id, malo, True),
        (moved.id, malo, False),
        (before.id, came, True),
        (before.id, lou, True),
    ):
        db.session.get_one(Account, key).letter_school_id = school.id if knows else None
        db.session.get_one(Guardianship, (key, pupil.id)).ended_at = now()
    db.session.commit()
    browser = colleagues.signed_in()
    page = text_of(browser, "/recherche?q=marchand")
    assert page.count('<span class="tag plain">Ancien responsable') == 3
    assert f'<a href="/familles/{malo.id}">' in page
    assert not [
        name for name in ("Inès", "Zoé", "Ali", f"/comptes/{gone.id}", f"/comptes/{account.id}") if name in page
    ]
    assert "Aucune famille d’aujourd’hui n’a ce nom" in page
    assert f"/familles/{lou.id}" in page
    assert f"/familles/{came.id}" not in page, "the tie ended when the pupil came, and the letter was for Lou"
    came.moved_at = now() - timedelta(days=3)
    db.session.commit()
    assert f"/familles/{came.id}" in text_of(browser, "/recherche?q=marchand"), "the school knew the tie"
    assert "Ancien responsable" not in text_of(colleagues.signed_in(uai=LYCEE), "/recherche?q=marchand")
    assert "Ancien responsable" not in text_of(browser, "/recherche?q=marchandise")


def test_an_import_says_that_a_suspension_stays_and_that_an_account_opens_again(
    desk: Flask, colleagues: Colleagues
) -> None:
    head, gone = colleagues.signed_in(Role.HEAD), row(99, given="Paul", child="1001;FAMILLE1;Léa;6A")
    stays, opens = "La suspension d’un lien reste, bien que le fichier ne nomme plus", "Un compte fermé est rouvert"
    imported(head, sheet(*families(30), gone))
    child = db.session.scalars(select(Child).where(Child.family_name == "FAMILLE1")).one()
    account = db.session.scalars(select(Account).where(Account.given_name == "Paul")).one()
    closing.close(account.id, Decision(reason=WHY, child=child.id, school=child.school))
    last = row(30, child="1030;FAMILLE30;Léa;6A")
    for rows, seen in (([*families(29)], (True, False)), ([*families(29), last], (False, True))):
        done = imported(head, sheet(*rows))
        former_import = f"/fichiers/imports/{done.result['batch']}"
        for page in (text_of(head, f"/travaux/{done.id}"), text_of(head, former_import)):
            assert (stays in page, opens in page) == seen
            assert ("2 comptes sont fermés." in page) is seen[0]
    assert "responsables : arrivées 0, départs 2" in text_of(head, "/fichiers")


def test_an_account_with_another_pupil_names_the_former_tie(colleagues: Colleagues, build: Build) -> None:
    account, _ = former(build, build.child("Malo"), build.child("Zoé"))
    for role in (Role.HEAD, Role.DPO):
        page = text_of(colleagues.signed_in(role), f"/comptes/{account.id}")
        assert STAYS in page
        assert "Ancien lien" in page
    account, _ = former(build, build.child("Léo"))
    account.has_left, account.disabled_at = True, now()
    db.session.commit()
    page = text_of(colleagues.signed_in(Role.DPO), f"/comptes/{account.id}")
    assert "Demandez à la direction" in page
    assert "enfant n’est plus inscrit" not in page, "the pupil is there"


def test_a_decision_that_ends_beside_something_else_says_that_the_access_stays_closed(
    colleagues: Colleagues, build: Build
) -> None:
    malo, head = build.child("Malo"), colleagues.signed_in(Role.HEAD)
    account = build.active(children=[malo])
    wait(account)
    of_tie = Decision(reason=WHY, child=malo.id, school=build.school(), until=now() + timedelta(days=1))
    for decision, why in ((of_tie, "attend aussi la direction"), (of_tie, "Une autre suspension reste")):
        if why != "attend aussi la direction":
            closing.close(account.id, Decision(reason=WHY, school=build.school()))
        row = closing.close(account.id, decision)
        path = f"{path_of(account)}/{row.id}/reouverture"
        assert why in text_of(head, path)
        answer = post(head, path, reason="réglé")
        assert answer.headers["Location"] == f"/comptes/{account.id}?fait=finie"
        page = text_of(head, answer.headers["Location"])
        assert "C’est rouvert" not in page
        assert "L’accès reste fermé pour une autre raison" in page
