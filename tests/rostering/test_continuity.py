"""A key that the file gives to another person: the account stays with its owner."""

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update

from idp.accounts import merging
from idp.accounts.models import Account, SchoolNotice
from idp.db import db
from tests.builders import Build, commit
from tests.closed import exclude
from tests.commands.conftest import Run
from tests.email_confirmation.post import post_office, text_of
from tests.rostering import xml_files as xml
from tests.rostering.aaf_school import Year
from tests.rostering.numbered import MARIE, PAUL, Row, activated, holder, written
from tests.rostering.seen import account, codes, imported

JULIE = MARIE.but(given="Julie")


def notices() -> list[SchoolNotice]:
    db.session.rollback()
    return list(db.session.scalars(select(SchoolNotice).order_by(SchoolNotice.created_at)))


def names_of(number: str) -> tuple[str, str, str]:
    person = holder(number)
    assert person is not None
    return person.civility, person.given_name, person.family_name


def known_to(act: Run, build: Build, folder: Path, *rows: Row) -> list[Account]:
    imported(act, written(folder, *rows))
    return [activated(build, row.number, f"p{row.number}@exemple.fr") for row in rows]


@pytest.mark.parametrize(
    "other",
    [
        MARIE.but(civility="M.", given="Paul"),
        MARIE.but(civility="M.", given="Paul", home="77 avenue F;59992;Valdoux", mail="paul@exemple.fr"),
        MARIE.but(given="Julie", home="77 avenue F;59992;Valdoux", mail="julie@exemple.fr"),
        MARIE.but(given="Julie", family="DURAND"),
        MARIE.but(civility="", given="Paul", home=";;", mail=""),
    ],
)
def test_a_number_of_another_person_creates_a_new_account(
    act: Run, app: Flask, build: Build, folder: Path, other: Row
) -> None:
    [marie] = known_to(act, build, folder, MARIE)
    with post_office(app) as office:
        report = imported(act, written(folder, other), "--force")
        [mail] = office.deliver()
    assert codes(report).count("key_changes_person") == 1
    assert (report["accounts"]["created"], report["accounts"]["disabled"]) == (1, 1)
    successor, former = holder("1"), db.session.get_one(Account, marie.id)
    assert successor is not None
    assert (successor.given_name, successor.password_hash, successor.email) == (other.given, None, None)
    assert [child.given_name for child in successor.children] == ["Léa"]
    assert (former.given_name, former.roster_key, former.children) == ("Marie", None, [])
    assert former.disabled_at is not None
    assert (mail["To"], mail["Subject"]) == (
        "p1@exemple.fr", "Votre compte est fermé : votre nom n’est plus dans le fichier",
    )  # fmt: skip
    assert "il donne maintenant celui d’une autre personne" in " ".join(text_of(mail).split())
    [notice] = notices()
    assert (notice.kind, notice.account_id, notice.other_account_id) == ("person_replaced", marie.id, successor.id)
    assert codes(imported(act, folder)) == codes(imported(act, folder)) == ["school_without_name"]


@pytest.mark.parametrize(
    ("first", "other"),
    [
        (MARIE, PAUL),
        (MARIE, PAUL.but(home=MARIE.home, mail=MARIE.mail)),
        (MARIE, PAUL.but(family="DURAND")),
        (MARIE.but(civility=""), PAUL.but(civility="", given="Mario")),
        (MARIE, MARIE.but(number="2", family="DURAND", home=PAUL.home)),
        (MARIE.but(given="Dominique"), MARIE.but(number="2", civility="M.", given="Dominique")),
    ],
)
def test_two_parents_with_exchanged_numbers_keep_their_accounts(
    act: Run, build: Build, folder: Path, first: Row, other: Row
) -> None:
    before = [(person.id, person.display_name) for person in known_to(act, build, folder, first, other)]
    report = imported(act, written(folder, first.but(number="2"), other.but(number="1")))
    errors = [issue for issue in report["issues"] if issue["severity"] == "error"]
    assert [issue["code"] for issue in errors] == ["keys_exchanged", "keys_exchanged"]
    people = [holder("1"), holder("2")]
    assert [(person.id, person.display_name) for person in people if person] == before
    assert [len(person.children) for person in people if person] == [1, 1]
    assert {(notice.kind, notice.account_id) for notice in notices()} == {("name_in_doubt", key) for key, _ in before}
    imported(act, written(folder, first, other))
    assert all(notice.settled_at for notice in notices())


def test_a_parent_with_the_number_of_the_other_parent_keeps_the_account(act: Run, build: Build, folder: Path) -> None:
    marie, paul = known_to(act, build, folder, MARIE, PAUL)
    report = imported(act, written(folder, PAUL.but(number="1"), MARIE.but(number="4")), "--force")
    assert codes(report).count("keys_exchanged") == 1
    for former in (marie, paul):
        stored = db.session.get_one(Account, former.id, populate_existing=True)
        assert (stored.given_name, stored.disabled_at, len(stored.children)) == (former.given_name, None, 1)


def test_an_excluded_parent_does_not_return_under_the_number_of_the_other(act: Run, build: Build, folder: Path) -> None:
    marie, paul = known_to(act, build, folder, MARIE, PAUL)
    exclude(paul.id)
    report = imported(act, written(folder, PAUL.but(number="1"), PAUL), "--force")
    assert codes(report).count("keys_exchanged") == 1
    assert report["accounts"]["created"] == 0
    assert names_of("1") == ("Mme", "Marie", "MARTIN")
    assert (holder("2") or marie).children == []


@pytest.mark.parametrize(
    "other",
    [
        JULIE,
        JULIE.but(home="9 rue Z;59992;Valdoux"),
        JULIE.but(mail="julie@exemple.fr"),
        JULIE.but(civility=""),
        MARIE.but(civility="M.", home="9 rue Z;59992;Valdoux"),
        MARIE.but(civility="M.", family="DURAND"),
        MARIE.but(family="DURAND", home="9 rue Z;59992;Valdoux", mail="", child="13;DURAND;Tom;6A"),
    ],
)
def test_an_ambiguous_change_of_name_waits_for_the_school(act: Run, build: Build, folder: Path, other: Row) -> None:
    [marie] = known_to(act, build, folder, MARIE)
    for _ in range(2):
        report = imported(act, written(folder, other), "--force")
        assert codes(report).count("name_in_doubt") == 1
        assert "dites-le dans Décisions" in str(report["issues"])
    assert names_of("1") == ("Mme", "Marie", "MARTIN")
    assert (holder("1") or marie).id == marie.id
    assert [child.given_name for child in (holder("1") or marie).children] == (["Léa"] if "Léa" in other.child else [])
    assert [(notice.kind, notice.account_id) for notice in notices()] == [("name_in_doubt", marie.id)]


def test_a_corrected_letter_is_stored_and_corrections_do_not_accumulate(act: Run, build: Build, folder: Path) -> None:
    known_to(act, build, folder, MARIE)
    for given_name, code, stored in (
        ("Maria", "school_without_name", "Maria"),
        ("Martha", "name_in_doubt", "Maria"),
        ("Mara", "name_in_doubt", "Maria"),
        ("Marie", "school_without_name", "Marie"),
        ("Marise", "school_without_name", "Marise"),
    ):
        assert code in codes(imported(act, written(folder, MARIE.but(given=given_name)))), given_name
        assert names_of("1")[1] == stored


def test_given_names_do_not_change_step_by_step(act: Run, build: Build, folder: Path) -> None:
    known_to(act, build, folder, MARIE)
    assert codes(imported(act, written(folder, MARIE.but(given="Marie Paule")))) == ["school_without_name"]
    assert "name_in_doubt" in codes(imported(act, written(folder, MARIE.but(given="Paule"))))
    assert names_of("1")[1] == "Marie Paule"


@pytest.mark.parametrize(
    "next_year",
    [
        MARIE.but(home="9 rue Z;59992;Valdoux"),
        MARIE.but(mail="nouvelle@exemple.fr"),
        MARIE.but(child="11;MARTIN;Léa;5B"),
        MARIE.but(family="DURAND"),
        MARIE.but(family="DURAND", home="9 rue Z;59992;Valdoux", mail="nouvelle@exemple.fr"),
        MARIE.but(family="DURAND", child="13;DURAND;Tom;6A"),
        MARIE.but(home="9 rue Z;59992;Valdoux", mail="", child="13;MARTIN;Tom;6A"),
        MARIE.but(given="MARIE PAULE"),
        MARIE.but(civility=""),
        MARIE.but(civility="Mlle"),
        MARIE.but(civility="M."),
    ],
)
def test_ordinary_yearly_changes_keep_the_account_without_notice(
    act: Run, build: Build, folder: Path, next_year: Row
) -> None:
    [marie] = known_to(act, build, folder, MARIE)
    assert set(codes(imported(act, written(folder, next_year), "--force"))) <= {"school_without_name"}
    stored = db.session.get_one(Account, marie.id, populate_existing=True)
    assert (stored.disabled_at, stored.password_hash) == (None, marie.password_hash)
    assert (stored.family_name, stored.given_name) == (next_year.family, next_year.given)
    assert notices() == []


def test_a_file_without_civilities_does_not_hide_that_the_person_changed(act: Run, build: Build, folder: Path) -> None:
    [marie] = known_to(act, build, folder, MARIE.but(given="Dominique"))
    imported(act, written(folder, MARIE.but(given="Dominique", civility="")))
    moved = MARIE.but(given="Dominique", civility="M.", home="9 rue Z;59992;Valdoux")
    assert "name_in_doubt" in codes(imported(act, written(folder, moved)))
    assert (holder("1") or marie).civility == "Mme"


def test_a_name_corrected_before_the_first_letter_is_reported(act: Run, build: Build, folder: Path) -> None:
    imported(act, written(folder, MARIE))
    assert codes(imported(act, written(folder, JULIE))).count("name_corrected") == 1
    assert names_of("1")[1] == "Julie"
    activated(build, "1")
    assert codes(imported(act, folder)) == ["school_without_name"], "what was corrected is the name from now on"
    assert notices() == []


@pytest.mark.row("R-08")
def test_an_aaf_number_of_another_person_is_refused_and_the_school_notified(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    commit(update(Account).values(generation=1))
    mother = account("9100000")
    year.change("9100000", given="Igor", civility="M.", street="9 rue Z")
    for _ in range(2):
        assert codes(imported(act, year.write(folder))) == ["key_of_other_person"]
    assert (account("9100000").id, account("9100000").given_name) == (mother.id, "Mèrea")
    [notice] = notices()
    assert (notice.kind, notice.account_id) == ("name_in_doubt", mother.id)


def test_a_second_number_of_another_person_leaves_the_account_enabled(act: Run, build: Build, folder: Path) -> None:
    sister = MARIE.but(number="5", child="14;MARTIN;Tom;6A")
    [marie, _] = known_to(act, build, folder, MARIE, sister)
    merging.merge(
        build.settings, marie, db.session.scalars(select(Account).where(Account.id == (holder("5") or marie).id)).one()
    )
    db.session.commit()
    other = sister.but(civility="M.", given="Igor", family="ZANZIBAR")
    assert codes(imported(act, written(folder, MARIE, other), "--force")).count("key_changes_person") == 1
    stored = holder("1")
    assert stored is not None
    assert (stored.id, stored.disabled_at, [child.given_name for child in stored.children]) == (marie.id, None, ["Léa"])
    assert names_of("5") == ("M.", "Igor", "ZANZIBAR")


def test_a_siecle_number_of_another_person_notifies_the_school(act: Run, folder: Path) -> None:
    folder.mkdir()
    (folder / "ElevesAvecAdresses.xml").write_bytes(
        xml.siecle("BEE_ELEVES", xml.pupil("812"), xml.placed("812", ("6A", "D")))
    )

    def people(**names: str) -> Path:
        tie = xml.responsible("812", "7001", RESP_LEGAL="1", NIVEAU_RESPONSABILITE="1")
        rows = (xml.person("7001", ADRESSE_ID="5", **names), tie, xml.postal_address("5"))
        (folder / "ResponsablesAvecAdresses.xml").write_bytes(xml.siecle("BEE_RESPONSABLES", *rows))
        return folder

    imported(act, people())
    former = db.session.scalars(update(Account).values(generation=1).returning(Account.id)).one()
    db.session.commit()
    report = imported(act, people(PRENOM="Igor", LC_CIVILITE="M."), "--force")
    assert codes(report).count("key_changes_person") == 1
    successor = db.session.scalars(select(Account).where(Account.roster_key == "siecle:7001")).one()
    [notice] = notices()
    assert (notice.kind, notice.account_id, notice.other_account_id) == ("person_replaced", former, successor.id)
    assert successor.given_name == "Igor"


def test_a_namesake_with_another_civility_and_home_gets_a_new_account(act: Run, folder: Path) -> None:
    dominique = MARIE.but(number="", given="Dominique")
    imported(act, written(folder, dominique))
    commit(update(Account).values(generation=1))
    other = dominique.but(civility="M.", home=PAUL.home, child="13;BERNARD;Tom;6A")
    report = imported(act, written(folder, other), "--force")
    assert codes(report).count("namesake_starts_again") == 1
    assert "name_in_doubt" not in codes(report)
    assert report["accounts"]["created"] == 1
