"""The files of a school, for the académie's engineer: without names, and in tens."""

import re

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.desk.jobs.models import JobFile
from idp.desk.staff.models import Role
from idp.operations.helpdesk import suspension
from idp.operations.helpdesk.suspension import Decision
from idp.rostering.models import ImportBatch
from tests.desk.colleagues import Colleagues
from tests.desk.school_files import checked, families, imported, row, sheet, shown


@pytest.mark.row("K-12")
def test_a_file_of_one_pupil_tells_the_engineer_nothing_of_the_person(desk: Flask, colleagues: Colleagues) -> None:
    imported(colleagues.signed_in(Role.HEAD), sheet(*families(3), row(4, mail="pas une adresse")))
    engineer, pages = colleagues.signed_in(Role.ENGINEER), set()
    for line in (row(2), row(2, home="9 place Neuve;59000;Valdoux"), row(2, given="Paul"), row(77)):
        key, page = checked(engineer, sheet(line))
        assert "FAMILLE" not in page
        assert "Élèves : 1 dans les fichiers, arrivées moins de 10, changements moins de 10, départs moins" in page
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
    assert "arrivées moins de 10" in shown(engineer.get("/fichiers"))


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


def test_the_engineer_sees_remarks_on_many_lines_as_a_number(desk: Flask, colleagues: Colleagues) -> None:
    alone = [row(number, child=f"{1000 + number};FAMILLE{number};Léa;") for number in range(41, 53)]
    engineer, files = colleagues.signed_in(Role.ENGINEER), sheet(*families(25), *alone, row(99, mail="x"))
    _, page = checked(engineer, files)
    assert "arrivées environ 20" in page
    assert "Aucun élève de cette personne n’est dans une classe : pas de compte. (environ 10 lignes)" in page
    assert "familles.csv, ligne 39" in page, "what the file says of itself is told by line"
    imported(engineer, files)
    batch = db.session.scalars(select(ImportBatch)).one()
    former = shown(engineer.get(f"/fichiers/imports/{batch.id}"))
    assert "pas de compte. (environ 10 lignes)" in former
    assert "familles.csv, ligne 39" in former
    table = shown(engineer.get(f"/fichiers/imports/{batch.id}/problemes.csv"))
    count = len(table.splitlines()) - 1
    assert f">{count} à voir<" in shown(engineer.get("/fichiers")), "the list counts what the page shows"
