"""The problems of files: each once, with the names of its people, before the import and after it."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from idp.accounts.models import Account, SchoolNotice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.jobs import kinds, lifecycle
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import policy
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.rostering import reading
from idp.rostering.files.text import ROWS_PER_TICK
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Record
from tests.builders import COLLEGE, LYCEE
from tests.closed import dispute
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import checked, families, imported, key_of, row, send, sheet, shown, siecle, zipped
from tests.desk.trial_jobs import do_all
from tests.rostering import test_onde as onde, xml_files as xml


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
    db.session.execute(update(ImportIssue).values(file="/srv/fichiers/familles.csv"))
    db.session.commit()
    page = shown(head.get(f"/fichiers/imports/{batch.id}"))
    assert (sentence in page, "/srv" in page) == (True, False), "the folder of a command's file"
    assert "FAMILLE4 Léa" in page, "the pupil has no row in the database"
    table = shown(head.get(f"/fichiers/imports/{batch.id}/problemes.csv"))
    assert "FAMILLE4 Léa" in table
    assert table.count("FAMILLE4 Paul") == 1
    assert "FAMILLE4" not in shown(colleagues.signed_in(Role.ENGINEER).get(f"/fichiers/imports/{batch.id}"))


def test_pages_and_files_that_name_people_are_in_the_journal(desk: Flask, colleagues: Colleagues) -> None:
    head, engineer = colleagues.signed_in(Role.HEAD), colleagues.signed_in(Role.ENGINEER)
    rows = [*families(3), row(4, mail="pas une adresse")]
    imported(head, sheet(*rows))
    key, _ = checked(head, sheet(*rows, row(5)))
    batch = db.session.scalars(select(ImportBatch.id)).one()
    shown_on_pages = _entries("desk.file_difference_read")
    head.get(f"/fichiers/imports/{batch}")
    head.get(f"/fichiers/imports/{batch}/problemes.csv")
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
    dispute()
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


def test_the_head_reads_each_name_of_files_that_a_secretary_checked(desk: Flask, colleagues: Colleagues) -> None:
    secretary, head, stranger = (
        colleagues.signed_in(),
        colleagues.signed_in(Role.HEAD),
        colleagues.signed_in(Role.HEAD, uai=LYCEE),
    )
    key, _ = checked(secretary, sheet(*families(150)))
    assert "Et 100 autres : « Tout en CSV » les donne tous." in shown(head.get(f"/fichiers/{key}"))
    stored = db.session.scalar(select(func.count()).select_from(JobFile))
    for _ in range(2):
        table = head.get(f"/fichiers/{key}/changements.csv")
        assert table.headers["Content-Disposition"] == "attachment; filename=changements.csv"
        assert not [number for number in range(1, 151) if f"FAMILLE{number} Marie" not in shown(table)]
    assert db.session.scalar(select(func.count()).select_from(JobFile)) == stored, "no copy is stored"
    assert stranger.get(f"/fichiers/{key}/changements.csv").status_code == 404


def test_long_lists_are_folded_and_a_link_leads_to_the_decision(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, page = checked(browser, sheet(*families(150)))
    assert page.index("arrivées 150") < page.index('<a href="#decision">Aller à la décision</a>') < page.index("<table")
    assert "Et 100 autres : « Tout en CSV » les donne tous." in page
    assert page.count("un compte est créé") + page.count("arrive dans l’établissement") == 200
    assert page.index("</table>") < page.index('<h2 id="decision">') < page.index(">Importer</button>")
    assert re.findall(r'class="btn" type="submit">([^<]+)', page.partition("<main")[2]) == ["Importer"]
    open_lines = re.sub(r"<details class=\"more\">.*?</details>", "", page.partition("<main")[2], flags=re.DOTALL)
    assert open_lines.count('<th scope="row">') == 10
    assert "Voir les 190 suivants" in page
    _, short = checked(browser, sheet(*families(5)))
    assert "<details" not in short.partition("<main")[2]
    assert short.count('<th scope="row">') == 10, "five pupils and their guardians"
    post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}")
    assert "#decision" not in shown(browser.get(f"/fichiers/{key}")), "other files have replaced these"


@pytest.mark.row("K-23")
def test_files_of_unreadable_rows_are_not_read_to_their_end(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MOST_REFUSED", 20)
    browser, unreadable = colleagues.signed_in(), ["illisible"] * 15
    _, page = checked(browser, ("familles.csv", sheet(row(1), *unreadable)))
    assert "Importer</button>" in page
    files = zipped(("1.csv", sheet(row(1), *unreadable)), ("2.csv", sheet(*unreadable)), ("3.csv", sheet(row(2))))
    _, page = checked(browser, ("familles.zip", files))
    assert "Trop de lignes de ces fichiers ne peuvent pas être prises" in page
    assert "2.csv, ligne 7" in page
    assert "2.csv, ligne 8" not in page
    assert "Importer</button>" not in page


def test_a_check_is_cancelled_while_it_reads_the_rows(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream of a CSV was copied by then, so that it tells no progress any more."""
    monkeypatch.setattr(kinds, "_TICK_SECONDS", 0.0)
    key = key_of(send(colleagues.signed_in(), sheet(*["illisible"] * (5 * ROWS_PER_TICK))))
    add, records = reading.add, list[Record]()

    def add_and_cancel(staging: Staging, record: Record) -> None:
        records.append(record)
        if len(records) == ROWS_PER_TICK:
            lifecycle.cancel(db.session.get_one(Job, key))
        add(staging, record)

    monkeypatch.setattr(reading, "add", add_and_cancel)
    do_all()
    assert db.session.get_one(Job, key).state is State.CANCELLED
    assert len(records) <= 2 * ROWS_PER_TICK


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
    closing.close(account.id, Decision(reason="le juge a décidé", school=colleagues.build.school()))
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
    closing.close(account.id, Decision(reason="le juge a décidé", school=colleagues.build.school()))
    engineer = colleagues.signed_in(Role.ENGINEER)
    for number in (2, 3):
        children = [row(number, child=f"{2000 + child};FAMILLE{number};Léa;6A") for child in range(21)]
        _, page = checked(engineer, sheet(*families(3), *children))
        assert "Une personne aurait plus de 20 enfants." in page
