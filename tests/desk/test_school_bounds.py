"""What files of one school's staff may not do to people of other schools, nor to suspensions."""

import uuid
from typing import Any, NamedTuple

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account, Child, Guardianship, SchoolNotice
from idp.clock import now
from idp.db import db
from idp.desk.jobs.models import Job, State
from idp.desk.school_files import work
from idp.desk.staff.models import Role, StaffAccount
from idp.families import closing
from idp.families.closing import Decision
from idp.rostering.models import ImportBatch, ImportIssue
from idp.services import services
from idp.throttle import guard, limits
from idp.throttle.guard import Granted
from tests.builders import COLLEGE, LYCEE
from tests.closed import exclude_tie
from tests.desk.colleagues import Colleagues
from tests.desk.school_files import accepted, checked, families, imported, row, send, sheet, shown
from tests.desk.test_suspension import text_of
from tests.rostering import xml_files as xml

OUTSIDE = "Cette personne est aussi connue hors de votre établissement : l’académie fait le rattachement."
WAITS = (
    "Cette personne attend la direction : elle n’a pas accès à l’élève tant que la direction n’a pas décidé, dans "
    "« Décisions »."
)
"""The sentence does not say why: the secretary reads it too."""


class Parent(NamedTuple):
    key: str
    given: str = "Noémie"
    family: str = "VANDEPUTTE"
    civility: str = "MME"
    street: str = "1 rue du Test"
    kinship: str = "10"


class Pupil(NamedTuple):
    key: str
    given: str
    parents: tuple[Parent, ...]


MOTHER = Parent("5")
FATHER = Parent("6", "Paul", "LEROY", "M.", kinship="20")
OTHER = Parent("8", "Jeanne", "DURAND", street="8 rue Basse")
OTHER_FORM = FATHER._replace(key="1006", given="Henri PAUL", family="MARTIN-LEROY", civility="")
"""The father as another software writes him."""
MALO = Pupil("812", "Malo", (MOTHER, FATHER))
INES = Pupil("900", "Ines", (OTHER,))


def siecle(*pupils: Pupil, uai: str = COLLEGE) -> list[tuple[str, bytes]]:
    parents = list(dict.fromkeys(parent for pupil in pupils for parent in pupil.parents))
    of_pupils = [
        *(xml.pupil(pupil.key, PRENOM=pupil.given) for pupil in pupils),
        *(xml.placed(pupil.key, ("6A", "D")) for pupil in pupils),
    ]
    of_parents = [
        *(
            xml.person(p.key, ADRESSE_ID=f"9{p.key}", PRENOM=p.given, NOM_DE_FAMILLE=p.family, LC_CIVILITE=p.civility)
            for p in parents
        ),
        *(xml.postal_address(f"9{p.key}", LIGNE1_ADRESSE=p.street) for p in parents),
        *(
            xml.responsible(pupil.key, parent.key, RESP_LEGAL=rank, CODE_PARENTE=parent.kinship)
            for pupil in pupils
            for rank, parent in zip("12", pupil.parents, strict=False)
        ),
    ]
    return [
        ("ElevesAvecAdresses.xml", xml.siecle("BEE_ELEVES", *of_pupils, uaj=uai)),
        ("ResponsablesAvecAdresses.xml", xml.siecle("BEE_RESPONSABLES", *of_parents, uaj=uai)),
    ]


def account(key: str) -> Account:
    return db.session.scalars(select(Account).where(Account.roster_key == f"siecle:{key}")).one()


def child(key: str) -> Child:
    return db.session.scalars(select(Child).where(Child.roster_key == f"siecle:{key}")).one()


def stored(*, school: str) -> list[Any]:
    """Return everything that the database has of the people of a school."""
    db.session.expire_all()
    children = db.session.scalars(select(Child).where(Child.school.has(uai=school)).order_by(Child.roster_key)).all()
    ties = db.session.scalars(
        select(Guardianship)
        .where(Guardianship.child_id.in_([c.id for c in children]))
        .order_by(Guardianship.child_id, Guardianship.account_id)
    ).all()
    holders = {tie.account_id for tie in ties}
    accounts = db.session.scalars(select(Account).where(Account.id.in_(holders)).order_by(Account.id)).all()
    all_ties = db.session.scalars(
        select(Guardianship)
        .where(Guardianship.account_id.in_(holders))
        .order_by(Guardianship.child_id, Guardianship.account_id)
    ).all()
    return [
        [getattr(thing, column.key) for column in thing.__table__.columns]
        for things in (children, accounts, all_ties)
        for thing in things
    ]


def issues() -> list[tuple[str, str]]:
    last = select(ImportBatch.id).order_by(ImportBatch.started_at.desc()).limit(1).scalar_subquery()
    rows = db.session.execute(select(ImportIssue.code, ImportIssue.message).where(ImportIssue.batch_id == last))
    return [(code, message) for code, message in rows]


def waiting_for(key: str) -> set[uuid.UUID]:
    """Return the guardians of a pupil, none of whom has access."""
    ties = db.session.scalars(select(Guardianship).where(Guardianship.child_id == child(key).id)).all()
    assert not any(tie.holds_at(now()) for tie in ties)
    return {tie.account_id for tie in ties}


@pytest.fixture
def lycee(desk: Flask, colleagues: Colleagues) -> list[Any]:
    """Import a family of another school, with its own head; return what is stored of it."""
    done = imported(colleagues.signed_in(Role.HEAD, uai=LYCEE), *siecle(MALO, uai=LYCEE))
    assert done.state is State.DONE
    return stored(school=LYCEE)


_STRANGERS = {
    "the same person": MOTHER,
    "a new address": MOTHER._replace(street="77 rue Neuve"),
    "another name in doubt": MOTHER._replace(given="Zoé"),
    "another person": MOTHER._replace(given="Karim", family="ZIDANI", civility="M.", street="3 quai Sud"),
}


@pytest.mark.parametrize("stranger", _STRANGERS.values(), ids=_STRANGERS.keys())
@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD])
def test_a_key_reaches_no_account_of_another_school(
    colleagues: Colleagues, lycee: list[Any], stranger: Parent, role: Role
) -> None:
    browser = colleagues.signed_in(role)
    files = siecle(INES._replace(parents=(OTHER, stranger)))
    key, page = checked(browser, *files)
    for word in (OUTSIDE, "rue du Test", "Malo", "Prénom", "ne dit pas que", "connue pour une autre", "déjà connue"):
        assert word not in page
    assert accepted(browser, key).state is State.DONE
    assert issues() == [("outside", OUTSIDE)]
    assert stored(school=LYCEE) == lycee
    [tie] = db.session.scalars(select(Guardianship).where(Guardianship.child_id == child("900").id))
    assert tie.account_id == account("8").id
    assert db.session.query(Account).count() == 3


def test_a_tie_without_record_reaches_no_account_of_another_school(colleagues: Colleagues, lycee: list[Any]) -> None:
    pupils, people = siecle(INES)
    alone = xml.responsible("900", "5", RESP_LEGAL="2").encode()
    people = (people[0], people[1].replace(b"</DONNEES>", alone + b"</DONNEES>"))
    assert imported(colleagues.signed_in(), pupils, people).state is State.DONE
    assert issues() == [("outside", OUTSIDE)]
    assert stored(school=LYCEE) == lycee


@pytest.mark.parametrize("given", ["Malo", "Ahmed"])
def test_a_key_takes_no_pupil_of_another_school(colleagues: Colleagues, lycee: list[Any], given: str) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    files = siecle(INES, MALO._replace(given=given, parents=(MOTHER,)))
    key, page = checked(browser, *files)
    assert "arrive d’un autre établissement" not in page
    assert accepted(browser, key).state is State.DONE
    assert {code for code, _ in issues()} == {"outside"}
    assert stored(school=LYCEE) == lycee


@pytest.mark.row("K-36")
@pytest.mark.parametrize("tie_alone", [True, False])
def test_a_check_answers_about_people_of_another_school_as_about_unknown_ones(
    colleagues: Colleagues, lycee: list[Any], *, tie_alone: bool
) -> None:
    browser, answers = colleagues.signed_in(), []
    for pupil, mother in (("812", "5"), ("777", "4")):
        files = siecle(INES, MALO._replace(key=pupil, parents=(MOTHER._replace(key=mother), OTHER)))
        if tie_alone:
            alone = xml.responsible("900", mother, RESP_LEGAL="2").encode()
            files = siecle(INES)
            files[1] = (files[1][0], files[1][1].replace(b"</DONNEES>", alone + b"</DONNEES>"))
        key, _ = checked(browser, *files)
        job = db.session.get_one(Job, key)
        answers.append((job.result, work.parts(services().settings, job)))
    assert answers[0] == answers[1]


def test_a_pupil_who_has_left_another_school_is_not_taken_either(colleagues: Colleagues, lycee: list[Any]) -> None:
    child("812").left_at = now()
    db.session.commit()
    before = stored(school=LYCEE)
    assert imported(colleagues.signed_in(), *siecle(INES, MALO._replace(parents=(OTHER,)))).state is State.DONE
    assert issues() == [("outside", OUTSIDE)]
    assert stored(school=LYCEE) == before


@pytest.mark.parametrize("uai", [COLLEGE, LYCEE])
def test_a_namesake_is_told_to_the_own_school_alone(desk: Flask, colleagues: Colleagues, uai: str) -> None:
    imported(colleagues.signed_in(Role.HEAD, uai=uai), *siecle(MALO, uai=uai))
    here = [MALO] if uai == COLLEGE else []
    browser = colleagues.signed_in(Role.HEAD)
    _, page = checked(browser, *siecle(*here, INES._replace(parents=(MOTHER._replace(key="55"),))))
    assert ("le nom et la commune d’une autre" in page) is (uai == COLLEGE)


def test_an_account_of_both_schools_keeps_its_key_and_its_ties_elsewhere(
    colleagues: Colleagues, lycee: list[Any]
) -> None:
    engineer, head = colleagues.signed_in(Role.ENGINEER), colleagues.signed_in(Role.HEAD)
    assert imported(engineer, *siecle(INES._replace(parents=(MOTHER,)))).state is State.DONE
    assert len(account("5").guardianships) == 2, "the académie attaches"
    moved = MOTHER._replace(street="9 place Neuve")
    assert imported(head, *siecle(INES._replace(parents=(moved,)))).state is State.DONE
    db.session.expire_all()
    assert account("5").address_lines == ["9 place Neuve"], "the school has a tie to this person"
    before = stored(school=LYCEE)
    another = MOTHER._replace(given="Karim", family="ZIDANI", civility="M.", street="3 quai Sud")
    assert imported(head, *siecle(INES._replace(parents=(another, OTHER)))).state is State.DONE
    assert issues() == [("outside", OUTSIDE)]
    assert stored(school=LYCEE) == before
    assert imported(head, *siecle(INES), mot="IMPORTER").state is State.DONE
    db.session.expire_all()
    assert account("5").disabled_at is None
    assert {tie.child.given_name for tie in account("5").guardianships if tie.is_unended} == {"Malo"}


def test_siblings_of_one_school_and_a_family_that_returns_are_taken(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    zoe = Pupil("813", "Zoé", (MOTHER, FATHER))
    for pupils in ((MALO, INES), (MALO, zoe, INES), (INES,), (MALO, zoe, INES)):
        assert imported(head, *siecle(*pupils), mot="IMPORTER").state is State.DONE
        assert "outside" not in dict(issues())
        db.session.expire_all()
        here = {c.given_name for c in db.session.scalars(select(Child).where(Child.left_at.is_(None)))}
        assert here == {pupil.given for pupil in pupils}
    assert len([tie for tie in account("5").guardianships if tie.is_unended]) == 2
    assert account("5").disabled_at is None


def test_the_engineer_moves_a_pupil(colleagues: Colleagues, lycee: list[Any]) -> None:
    engineer = colleagues.signed_in(Role.ENGINEER)
    done = imported(engineer, *siecle(INES, MALO))
    assert done.state is State.DONE
    assert "Imprimer les courriers" not in engineer.get(f"/travaux/{done.id}").text, "an engineer prints no letters"
    assert "outside" not in dict(issues())
    db.session.expire_all()
    assert child("812").school.uai == COLLEGE


@pytest.mark.parametrize("role", [Role.SECRETARY, Role.HEAD, Role.ENGINEER])
@pytest.mark.parametrize("of_tie", [True, False])
def test_other_keys_do_not_undo_a_suspension(desk: Flask, colleagues: Colleagues, role: Role, *, of_tie: bool) -> None:
    head, browser = colleagues.signed_in(Role.HEAD), colleagues.signed_in(role)
    imported(head, *siecle(MALO, INES))
    decision = Decision(reason="jugement", child=child("812").id if of_tie else None)
    closing.close(account("6").id, decision)
    again = MALO._replace(key="1812", parents=(MOTHER._replace(key="1005"), OTHER_FORM))
    for _ in range(2):  # the second time, the former pupil has left
        key = {"mot": "IMPORTER"}
        files = siecle(again, INES)
        assert imported(head if role is Role.SECRETARY else browser, *files, **key).state is State.DONE
        db.session.expire_all()
        assert waiting_for("1812") == {account("1005").id, account("1006").id}
    messages = select(ImportIssue.message).where(ImportIssue.code == "guardian_waits")
    assert db.session.scalars(messages).all() == [WAITS] * 2, "the head has the notice since the first import"


def test_another_key_of_the_pupil_alone_does_not_undo_the_suspension_of_a_tie(
    desk: Flask, colleagues: Colleagues
) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, *siecle(MALO, INES))
    malo = child("812")
    decision = Decision(reason="jugement", reference="RG 26/1", child=malo.id, school=malo.school)
    closing.close(account("6").id, decision)
    moved = FATHER._replace(street="44 rue Haute")
    imported(head, *siecle(MALO._replace(key="1812", parents=(MOTHER, moved)), INES), mot="IMPORTER")
    assert ("guardian_waits", WAITS) in issues()
    db.session.expire_all()
    assert waiting_for("1812") == {account("5").id, account("6").id}
    notice = db.session.scalars(select(SchoolNotice.id).where(SchoolNotice.account_id == account("6").id)).one()
    page = text_of(head, f"/signalements/{notice}")
    assert "C’est le nom d’une personne dont l’établissement a fermé l’accès" in page
    assert (
        f'<a href="/comptes/{account("6").id}">M. Paul LEROY</a><br>Motif : « jugement »<br>Document : RG 26/1' in page
    )


def test_a_suspension_leaves_the_ordinary_import_and_other_schools_as_they_are(
    colleagues: Colleagues, lycee: list[Any]
) -> None:
    closing.close(account("6").id, Decision(reason="jugement"))
    head = colleagues.signed_in(Role.HEAD)
    namesake = FATHER._replace(key="66")
    assert imported(head, *siecle(INES._replace(parents=(namesake,)))).state is State.DONE
    assert "guardian_waits" not in dict(issues())
    closing.close(account("66").id, Decision(reason="jugement", child=child("900").id))
    moved = namesake._replace(street="9 place Neuve")
    assert imported(head, *siecle(INES._replace(parents=(moved,)))).state is State.DONE
    assert "guardian_waits" not in dict(issues())
    db.session.expire_all()
    assert account("66").address_lines == ["9 place Neuve"], "the same tie, still suspended"
    assert not account("66").guardianships[0].holds_at(now())


def test_the_accounts_that_close_are_named(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    both = [*families(3), row(90, family="AUTRE", given="Paul", child="1001;FAMILLE1;Léa;6A")]
    imported(head, sheet(*both))
    moment = now()
    other = db.session.scalars(select(Account).where(Account.family_name == "AUTRE")).one()
    [tie] = other.guardianships
    exclude_tie(tie, since=moment)
    db.session.commit()
    _, page = checked(head, sheet(*both[1:]))
    assert "FAMILLE1 Marie" in page
    assert "AUTRE Paul" in page, "also if the school excluded the tie"
    assert page.count("le compte se ferme") == 2


def test_one_person_asks_for_twenty_checks_an_hour(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    assert send(browser).status_code == 200, "a form without files is no check"
    person = str(db.session.scalars(select(StaffAccount.id)).one())
    assert send(browser, sheet(row(1))).status_code == 303
    for _ in range(19):
        assert isinstance(guard.take(limits.FILE_CHECKS, person), Granted)
    page = shown(send(browser, sheet(row(1))))
    assert "le maximum de vérifications : 20 par heure" in page
    assert "revenez dans 60 min" in page
    assert db.session.query(Job).count() == 1
    assert send(colleagues.signed_in(), sheet(row(1))).status_code == 303, "another person may"
