"""The files of a school, for the académie's engineer: what they say of themselves, and a verdict."""

import re

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.desk.jobs.models import JobFile
from idp.desk.staff.models import Role
from idp.families import suspension
from idp.families.suspension import Decision
from idp.rostering.models import ImportBatch
from tests.builders import COLLEGE
from tests.desk.colleagues import Colleagues
from tests.desk.school_files import checked, families, imported, row, sheet, shown


@pytest.mark.row("K-12")
def test_a_file_of_one_pupil_tells_the_engineer_nothing_of_the_person(desk: Flask, colleagues: Colleagues) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(3), row(4, mail="pas une adresse")))
    engineer, pages = colleagues.signed_in(Role.ENGINEER), set()
    for line in (row(2), row(2, home="9 place Neuve;59000;Valdoux"), row(2, given="Paul"), row(77)):
        key, page = checked(engineer, sheet(line))
        assert "FAMILLE" not in page
        assert "Élèves dans les fichiers : 1." in page
        assert re.search(rf"<li>[^<]+ \({COLLEGE}\)</li>", page), "the school that the files speak for"
        tables = select(JobFile).where(JobFile.job_id == key, JobFile.name == "difference.csv")
        assert db.session.scalars(tables).all() == [], "known, changed, another person or unknown: no line to take"
        pages.add(re.sub(r"[0-9a-f-]{36}|value=.*?>|\d\d:\d\d", "", page))
    assert len({re.findall(r"<main.*</main>", page, re.DOTALL)[0] for page in pages}) == 1, "and the page is the same"
    batch = db.session.scalars(select(ImportBatch)).one()
    former = shown(engineer.get(f"/fichiers/imports/{batch.id}"))
    assert "familles.csv, ligne 5" in former
    assert "FAMILLE" not in former
    table = shown(engineer.get(f"/fichiers/imports/{batch.id}/problemes.csv"))
    assert "csv:" not in former + table, "the key of nobody"
    assert "Élèves dans les fichiers : moins de 10." in former, "the head brought these files"
    batch.counts = batch.counts | {"students": batch.counts["students"] | {"read": 17}}
    db.session.commit()
    assert "élèves dans les fichiers : de 10 à 19" in shown(engineer.get("/fichiers"))


@pytest.mark.row("K-12")
def test_a_check_of_refused_people_does_not_tell_the_engineer_that_one_is_suspended(
    desk: Flask, colleagues: Colleagues
) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(3)))
    account = db.session.scalars(select(Account).where(Account.family_name == "FAMILLE2")).one()
    suspension.suspend(account.id, Decision(reason="le juge a décidé", school=colleagues.build.school()))
    db.session.commit()
    engineer = colleagues.signed_in(Role.ENGINEER)
    for number, given in ((2, "Marie"), (3, "Jeanne")):
        line = row(90 + number, family="FAMILLE2", given=given, child=f"{1000 + number};FAMILLE{number};Léa;6A")
        _, page = checked(engineer, sheet(line))
        assert "suspendu" not in page
        assert "Aucune ligne" not in page
        assert "Importer</button>" in page


@pytest.mark.row("K-12")
def test_a_file_filled_up_to_ten_people_tells_the_engineer_nothing_of_the_tenth(
    desk: Flask, colleagues: Colleagues
) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(30)))
    engineer = colleagues.signed_in(Role.ENGINEER)
    # nine invented people, and one who is known, unknown, or known by another name
    filled, alone = [row(number) for number in range(51, 60)], "FAMILLE2;Léa;"
    others = families(30)[:1] + families(30)[2:]
    lines = (row(2), row(77), row(2, family="AUTRE", given="Zoé"))
    no_class = (row(2, child=f"1002;{alone}"), row(99, child=f"1099;{alone}"))
    for tenth in (lines, no_class):
        mains = {main_of(checked(engineer, sheet(*others, *filled, line))[1]) for line in tenth}
        assert len(mains) == 1
        assert "Élèves dans les fichiers : 39." in (main := mains.pop())
        assert "Ces fichiers peuvent être importés." in main


def main_of(page: str) -> str:
    """Return what a page says of files, without keys and times."""
    main = re.findall(r"<main.*</main>", page, re.DOTALL)[0]
    return re.sub(r"[0-9a-f-]{36}|value=.*?>|\d\d:\d\d", "", main)


def test_the_engineer_reads_the_files_own_problems_and_a_verdict_on_the_whole(
    desk: Flask, colleagues: Colleagues
) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(22)))
    engineer, files = colleagues.signed_in(Role.ENGINEER), sheet(*families(5), row(99, mail="x"))
    _, page = checked(engineer, files)
    assert "Beaucoup de comptes ou de liens prendraient fin" in page
    assert "familles.csv, ligne 7" in page, "what the file says of itself is told by line"
    done = imported(engineer, files, mot="importer")
    assert "nouveau compte" not in shown(engineer.get(f"/travaux/{done.id}"))
    for path in (
        f"/fichiers/imports/{done.result['batch']}",
        f"/fichiers/imports/{done.result['batch']}/problemes.csv",
    ):
        assert "départ" not in shown(engineer.get(path))


def test_a_former_import_with_doubtful_people_is_not_without_problems_for_the_engineer(
    desk: Flask, colleagues: Colleagues
) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(3)))
    doubtful = imported(head, sheet(*families(2), row(3, family="AUTRE", given="Zoé")), mot="importer")
    engineer, path = colleagues.signed_in(Role.ENGINEER), f"/fichiers/imports/{doubtful.result['batch']}"
    assert "Ce numéro était celui d’une autre personne" in shown(head.get(path))
    former = shown(engineer.get(path))
    assert "Aucun problème de format." in former
    assert "les problèmes d’une personne que le service connaît, ne sont pas montrés" in former
    assert "rien de format" in shown(engineer.get("/fichiers"))


def test_the_engineer_learns_from_the_files_alone_that_a_person_has_many_children(
    desk: Flask, colleagues: Colleagues
) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(3)))
    account = db.session.scalars(select(Account).where(Account.family_name == "FAMILLE2")).one()
    suspension.suspend(account.id, Decision(reason="le juge a décidé", school=colleagues.build.school()))
    engineer = colleagues.signed_in(Role.ENGINEER)
    for number in (2, 3):
        children = [row(number, child=f"{2000 + child};FAMILLE{number};Léa;6A") for child in range(21)]
        _, page = checked(engineer, sheet(*families(3), *children))
        assert "Une personne aurait plus de vingt enfants." in page
