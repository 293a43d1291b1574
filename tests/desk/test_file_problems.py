"""The problems of files: each once, with the names of its people, before the import and after it."""

import re
from datetime import timedelta

from flask import Flask
from sqlalchemy import select, update

from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.jobs.models import State
from idp.desk.staff.models import Role
from idp.rostering.models import ImportBatch, ImportIssue
from tests.builders import COLLEGE
from tests.desk.colleagues import Colleagues
from tests.desk.school_files import checked, families, imported, row, sheet, shown, siecle
from tests.rostering import test_onde as onde
from tests.rostering import xml_files as xml


def test_the_problems_name_the_person_and_no_command(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(40)))
    rows = families(40)
    rows[4] = row(5, given="Jean", civility="M.")  # another person under the same key, of whom no letter was printed
    del rows[39]
    assert imported(head, sheet(*rows, row(50, mail="x"))).state is State.DONE
    batch = db.session.scalars(select(ImportBatch).order_by(ImportBatch.started_at.desc())).first()
    assert batch is not None
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert "FAMILLE50 Marie" in page
    db.session.execute(update(ImportIssue).values(file="/srv/fichiers/familles.csv"))
    db.session.commit()
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert "familles.csv, ligne" in page
    assert "/srv" not in page, "the folder of a command's file"
    assert "idp account" not in page
    assert "son compte se ferme" not in page, "who leaves is no problem"


def test_a_problem_leads_to_the_notice_that_the_import_made_of_it(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(40)))
    db.session.execute(update(Account).where(Account.family_name == "FAMILLE6").values(activated_at=now()))
    db.session.commit()
    rows = families(40)
    rows[4], rows[5] = row(5, given="Jean", civility="M."), row(6, given="Julie")
    imported(head, sheet(*rows, row(50, mail="x")))
    batch = db.session.scalars(select(ImportBatch).order_by(ImportBatch.started_at.desc())).first()
    assert batch is not None
    notices = {row.kind: row.id for row in db.session.scalars(select(SchoolNotice))}
    assert set(notices) == {"person_replaced", "name_in_doubt"}
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert page.count("Voir le signalement") == 2, "the wrong mail address is no notice"
    for person, kind in (("FAMILLE5 Jean", "person_replaced"), ("FAMILLE6 Julie", "name_in_doubt")):
        line = page.partition(f">{person}</td>")[2].partition("</tr>")[0]
        assert f'href="/signalements/{notices[kind]}"' in line
    db.session.execute(update(SchoolNotice).values(settled_at=batch.started_at - timedelta(minutes=1)))
    db.session.commit()
    assert "Voir le signalement" not in shown(head.get(f"/fichiers/imports/{batch.id}")), "an earlier question"


def test_a_problem_is_told_once_and_keeps_its_names_after_the_import(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    rows = [
        *families(3),
        row(4, child="1004;FAMILLE4;Léa;"),
        row(54, family="FAMILLE4", given="Paul", civility="M.", child="1004;FAMILLE4;Léa;"),
    ]
    sentence = (
        "Cet élève n’est dans aucune classe : il n’ouvre pas de compte. Pour cette raison, pas de compte pour "
        "FAMILLE4 Marie, FAMILLE4 Paul."
    )
    _, page = checked(head, sheet(*rows))
    assert f"familles.csv, ligne 5 : {sentence}" in page
    assert page.count("FAMILLE4 Paul") == 1, "the consequence is no problem of its own"
    done = imported(head, sheet(*rows))
    batch = db.session.scalars(select(ImportBatch)).one()
    assert "Voir ce qui est à vérifier" in shown(head.get(f"/travaux/{done.id}"))
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert sentence in page
    assert "FAMILLE4 Léa" in page, "the pupil has no row in the database"
    table = shown(head.get(f"/fichiers/imports/{batch.id}/problemes.csv"))
    assert "FAMILLE4 Léa" in table
    assert table.count("FAMILLE4 Paul") == 1
    assert "FAMILLE4" not in shown(colleagues.signed_in(Role.ENGINEER).get(f"/fichiers/imports/{batch.id}"))


def test_the_files_that_name_people_need_a_fresh_proof_and_are_in_the_journal(
    desk: Flask, colleagues: Colleagues
) -> None:
    head, engineer = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.ENGINEER)
    rows = [*families(3), row(4, mail="pas une adresse")]
    imported(head, sheet(*rows))
    key, _ = checked(head, sheet(*rows, row(5)))
    batch = db.session.scalars(select(ImportBatch.id)).one()
    shown_on_pages = _entries("desk.file_difference_read")
    colleagues.age_proofs()
    asked = head.get(f"/fichiers/imports/{batch}/problemes.csv")
    assert asked.headers["Location"].startswith("/preuve?suite=%2Ffichiers%2Fimports%2F")
    asked = head.get(f"/fichiers/{key}/changements.csv")
    assert asked.headers["Location"].startswith("/preuve?suite=%2Ffichiers%2F")
    assert _entries("desk.import_problems_read") == []
    assert _entries("desk.file_difference_read") == shown_on_pages
    head.get(f"/fichiers/imports/{batch}")
    colleagues.age_proofs(timedelta(0))
    assert "familles.csv" in shown(head.get(f"/fichiers/imports/{batch}/problemes.csv"))
    assert "FAMILLE5" in shown(head.get(f"/fichiers/{key}/changements.csv"))
    engineer.get(f"/fichiers/imports/{batch}")
    assert _entries("desk.import_problems_read") == ["desk.import_problems_read"] * 2
    assert _entries("desk.file_difference_read") == [*shown_on_pages, "desk.file_difference_read"]


def _entries(*kinds: str) -> list[str]:
    statement = select(AuditEntry.kind).where(AuditEntry.kind.in_(kinds)).order_by(AuditEntry.id)
    return list(db.session.scalars(statement))


def test_a_problem_about_a_call_names_the_pupil_before_and_after_the_import(
    desk: Flask, colleagues: Colleagues
) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(3)))
    db.session.execute(update(Guardianship).values(disputed_at=now()))
    db.session.commit()
    _, page = checked(head, sheet(*families(3)))
    assert "tant que l’établissement n’a pas décidé. Élève : Léa FAMILLE1." in page
    imported(head, sheet(*families(3)))
    batch = db.session.scalars(select(ImportBatch).order_by(ImportBatch.started_at.desc())).first()
    assert batch is not None
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert "FAMILLE1 Marie (élève : Léa FAMILLE1)" in page


def test_the_same_words_about_the_same_key_are_one_problem(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    pupils, (name, people) = siecle()
    ties = "\n".join(xml.responsible("999", guardian, RESP_LEGAL="2") for guardian in ("5", "6"))
    files = pupils, (name, people.replace(b"</DONNEES>", ties.encode() + b"</DONNEES>"))
    _, page = checked(head, *files)
    assert re.search(r"ResponsablesAvecAdresses.xml, lignes \d+, \d+ : Cette personne est responsable d’un", page)
    imported(head, *files)
    assert "Lignes à corriger" not in shown(head.get("/")), "nobody corrects a doubt in the file"


def test_problems_are_in_three_groups_and_those_of_the_former_file_are_folded(
    desk: Flask, colleagues: Colleagues
) -> None:
    """What is to be corrected is counted; a person without an account, as it is to be, never is."""
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(3)))
    db.session.execute(update(Account).where(Account.family_name == "FAMILLE3").values(activated_at=now()))
    db.session.commit()
    wrong = row(3, given="Julie"), row(8, child="1008;FAMILLE8;Léa;"), row(9).replace(";6A;1;", ";6A;2;")
    for corrected, doubted in (("1", "3"), ("0", "0")):
        done = imported(head, sheet(*families(2), *wrong), mot="IMPORTER")
        page = shown(head.get(f"/fichiers/imports/{done.result['batch']}"))
        counts = re.findall(r"<h2>(À \w+) <span class=.tag plain.>(\d)", page)
        assert counts == [("À corriger", corrected), ("À vérifier", doubted)]
        assert ("Déjà dans le fichier précédent (3)" in page) == (doubted == "0")
        assert re.search(r"<summary>Sans compte, c’est normal</summary>.*FAMILLE9", page, re.DOTALL)
        assert ("Lignes à corriger" in shown(head.get("/"))) == (corrected == "1")


def test_two_pupils_of_one_name_are_named_with_class_and_date(desk: Flask, colleagues: Colleagues) -> None:
    younger = onde.MALO.replace("14/09/2018", "02/01/2019")
    files = onde.pupils(onde.MALO, younger, onde.ZOE), onde.ONDE_GUARDIANS
    named = [(name, text.encode("cp1252")) for name, text in zip(("eleves.csv", "parents.csv"), files, strict=True)]
    _, page = checked(colleagues.signed_in(Role.HEAD), *named)
    expected = "Deux élèves s’appellent Malo LEROY (CP A, né(e) le 02/01/2019 ; CP A, né(e) le 14/09/2018)"
    assert expected in page
    assert not re.search(r"\bclé\b", page[page.index("<h1") :])


def test_a_guardian_who_leaves_and_stays_in_the_file_counts_once(desk: Flask, colleagues: Colleagues) -> None:
    browser, (pupils, _) = colleagues.signed_in(Role.HEAD), siecle()
    imported(browser, *siecle())
    people = xml.siecle(
        "BEE_RESPONSABLES",
        xml.person("5", ADRESSE_ID="9"),
        xml.person("6", ADRESSE_ID="9", PRENOM="Yann"),
        xml.postal_address("9"),
        xml.responsible("812", "6", RESP_LEGAL="1"),
        uaj=COLLEGE,
    )
    _, page = checked(browser, pupils, ("ResponsablesAvecAdresses.xml", people))
    assert "Responsables : arrivées 1, changements 0, départs 1, inchangés 0." in page
    assert page.count("Responsable : le compte se ferme.") == 1
    assert "Responsable : " not in page.partition("<h2>Changent")[2].partition("</table>")[0]


def test_an_import_is_shown_whose_counts_were_stored_without_those_who_leave(
    desk: Flask, colleagues: Colleagues
) -> None:
    secretary = colleagues.signed_in()
    imported(secretary, sheet(*families(2)))
    batch = db.session.scalars(select(ImportBatch)).one()
    path = f"/fichiers/imports/{batch.id}"
    sentence = "Élèves : arrivées 2, changements 0, départs 0, inchangés 0."
    assert sentence in shown(secretary.get(path))
    batch.counts = {
        name: {key: number for key, number in numbers.items() if key != "leaving"}
        for name, numbers in batch.counts.items()
    }
    db.session.commit()
    assert sentence in shown(secretary.get(path))
