"""The files of a school: upload, check with the difference by name, refusals."""

import io
import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from idp.app import create_app
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk.jobs import files
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.school_files import policy
from idp.desk.staff.models import Role
from idp.outbox import queue
from idp.rostering.files.archives import Limits
from idp.rostering.models import ImportBatch
from idp.services import services
from idp.web import declarations
from tests.builders import LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import (
    HEAD,
    checked,
    families,
    imported,
    key_of,
    names,
    row,
    send,
    sheet,
    shown,
    siecle,
    zipped,
)
from tests.desk.trial_jobs import do_all
from tests.pages import heading
from tests.rostering import xml_files as xml
from tests.rostering.test_onde import ONDE_GUARDIANS, ONDE_PUPILS
from tests.rows import each_row

ALL = ">Tout en CSV</a>"


def test_a_file_is_checked_by_name_then_imported(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, page = checked(browser, sheet(*families(3)))
    assert "un compte est créé, pour Léa FAMILLE1" in page
    assert names() == set()
    done = key_of(post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}"))
    do_all()
    assert names() == {"FAMILLE1 Léa", "FAMILLE2 Léa", "FAMILLE3 Léa"}
    result = shown(browser.get(f"/travaux/{done}"))
    assert re.findall(r'<a class="btn[^>]* href="([^"]+)">([^<]+)<', result) == [
        ("/classes/courriers?tout=1", "Imprimer les courriers"),
        ("/fichiers", "Revenir aux fichiers"),
    ]
    assert {file.content for file in db.session.scalars(select(JobFile))} == {b""}
    assert "CSV, importé" in shown(browser.get("/fichiers"))


ONDE = [(f"{name}.csv", text.encode("cp1252")) for name, text in (("eleves", ONDE_PUPILS), ("parents", ONDE_GUARDIANS))]


@pytest.mark.parametrize(
    ("contents", "pupils"),
    [
        (siecle(), {"LEROY Malo"}),
        ([("siecle.zip", zipped(*siecle()))], {"LEROY Malo"}),
        (ONDE, {"LEROY Malo", "ÖZ Zoé"}),
    ],
    ids=["SIECLE", "an archive", "ONDE"],
)
def test_files_of_each_software_are_taken(
    desk: Flask, colleagues: Colleagues, contents: list[tuple[str, bytes]], pupils: set[str]
) -> None:
    done = imported(colleagues.signed_in(), *contents)
    assert (done.state, names()) == (State.DONE, pupils)
    assert db.session.scalar(select(ImportBatch.files)) == [name for name, _ in contents]


def test_one_file_of_a_pair_is_refused(desk: Flask, colleagues: Colleagues) -> None:
    _, page = checked(colleagues.signed_in(), siecle()[0])
    assert "Il manque un fichier" in page
    assert not [text for text in ("Importer</button>", "aucun représentant légal") if text in page]


def test_the_difference_says_by_name_what_changes(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    imported(browser, sheet(*families()))
    rows = families()
    rows[0] = row(1, child="1001;FAMILLE1;Léa;5B", home="9 place Neuve;59000;Valdoux", mail="autre@exemple.fr")
    rows[1] = row(2, child="1001;FAMILLE1;Léa;5B")  # another child instead of the own one
    rows += [row(99, family="NOUVELLE", child="1099;NOUVELLE;Zoé;6B")]
    del rows[2]
    _, page = checked(browser, sheet(*rows))
    assert "adresse postale : 1 rue A, 59990 Rivebelle → 9 place Neuve, 59000 Valdoux" in page
    assert "adresse mail du fichier : m…@exemple.fr → a…@exemple.fr" in page
    assert "autre@exemple.fr" not in page, "the whole mail address is not shown"
    changes = (
        "classe : 6A → 5B",
        "Devient responsable de Léa FAMILLE1.",
        "NOUVELLE Zoé",
        "FAMILLE3 Marie",
        "départs 2",
    )
    assert [change for change in changes if change not in page] == []


def test_a_tie_that_ends_is_said_by_name(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    both = [*families(), row(90, family="AUTRE", given="Paul", child="1001;FAMILLE1;Léa;6A")]
    imported(browser, sheet(*both))
    _, page = checked(browser, sheet(*families()))
    assert "N’est plus responsable de Léa FAMILLE1, et n’y a plus accès." in page
    assert "AUTRE Paul" in page
    _is_told_who_changes(page)
    imported(browser, sheet(*families()))
    _is_told_who_changes(checked(browser, sheet(*both))[1])


def _is_told_who_changes(page: str) -> None:
    assert "Élèves : arrivées 0, changements 1," in page
    changed = page.partition("Changent")[2].partition("</table>")[0]
    assert "FAMILLE1 Léa" in changed
    assert "ses responsables changent" in changed


@pytest.mark.row("K-22")
def test_the_whole_difference_is_a_csv_without_formulas(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    evil = row(1, family="=HYPERLINK(1)", child="1001;=cmd;+Léa;@6A")
    key, page = checked(browser, sheet(evil, *families()[1:]))
    assert ALL in page
    table = browser.get(f"/fichiers/{key}/changements.csv").get_data(as_text=True)
    assert "FAMILLE2 Marie" in table
    entries = select(AuditEntry).where(AuditEntry.kind == "desk.file_difference_read")
    assert [entry.details["job"] for entry in db.session.scalars(entries)] == [str(key)] * 2, "the page and the file"
    assert not [cell for line in table.lstrip("\ufeff").splitlines() for cell in line.split(";") if cell[1:2] in "=+@"]
    imported(browser, sheet(*families()))
    key, unchanged = checked(browser, sheet(*families()))
    assert ALL not in unchanged, "an empty file is not offered"
    assert browser.get(f"/fichiers/{key}/changements.csv").headers["Location"] == f"/fichiers/{key}"


def test_files_and_difference_are_encrypted_and_go_after_a_day(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, _ = checked(browser, sheet(*families(2)))
    stored = db.session.scalars(select(JobFile)).all()
    assert len(stored) == 3
    assert not [file for file in stored if b"FAMILLE" in file.content]
    assert "FAMILLE" not in str(db.session.get_one(Job, key).result)
    for file in stored:
        assert file.expires_at - file.created_at <= timedelta(hours=24, seconds=1)
        file.expires_at = now() - timedelta(seconds=1)
    db.session.commit()
    page = shown(browser.get(f"/fichiers/{key}"))
    assert "FAMILLE" not in page
    assert "Les fichiers ne sont plus là" in page


def test_a_new_check_removes_the_files_of_the_former_one(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    former, _ = checked(browser, sheet(*families(2)))
    checked(browser, sheet(*families(3)))
    assert {file.content for file in db.session.scalars(select(JobFile).where(JobFile.job_id == former))} == {b""}


def test_a_check_that_cannot_be_stored_removes_no_former_files(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = colleagues.signed_in()
    former, _ = checked(browser, sheet(*families(2)))
    monkeypatch.setattr(queue, "enqueue", lambda *_args, **_kw: 1 / 0)
    assert send(browser, sheet(*families(3))).status_code == 500
    assert files.uploads(services().settings, former)


def test_a_new_check_keeps_the_files_that_are_being_imported(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    key, _ = checked(browser, sheet(*families(2)))
    post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}")
    send(browser, sheet(*families(3)))
    assert files.uploads(services().settings, key)
    do_all()
    assert len(names()) == 2


def test_three_checks_of_a_person_wait_at_once(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    for _ in range(3):
        assert send(browser, sheet(row(1))).status_code == 303
    assert "3 vérifications sont déjà en cours" in shown(send(browser, sheet(row(1))))
    assert db.session.query(Job).count() == 3


def test_a_check_is_for_the_school_alone(desk: Flask, colleagues: Colleagues) -> None:
    key, _ = checked(colleagues.signed_in(), sheet(*families(2)))
    for stranger in (colleagues.signed_in(Role.HEAD, uai=LYCEE), colleagues.signed_in(Role.ENGINEER)):
        assert stranger.get(f"/fichiers/{key}").status_code == 404
        assert post(stranger, f"/fichiers/{key}/importer", "/fichiers").status_code == 404
        assert str(key) not in shown(stranger.get("/fichiers"))
    assert str(key) in shown(colleagues.signed_in(Role.HEAD).get("/fichiers"))


@pytest.mark.row("K-04")
@each_row(
    "contents",
    [
        [sheet(*families(3), row(4, uai=LYCEE))],
        [sheet(row(4, uai=LYCEE))],
        siecle(LYCEE),
        [("deux.zip", zipped(*((f"a/{name}", content) for name, content in siecle()),
                             *((f"b/{name}", content) for name, content in siecle(LYCEE))))],
    ],
)  # fmt: skip
def test_a_file_with_another_school_is_refused_as_a_whole(
    desk: Flask, colleagues: Colleagues, contents: list[bytes | tuple[str, bytes]]
) -> None:
    colleagues.build.school(LYCEE)
    browser = colleagues.signed_in(Role.HEAD)
    key, page = checked(browser, *contents)
    assert "autre établissement" in page
    assert "Importer</button>" not in page
    post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}")
    do_all()
    assert names() == set()
    assert db.session.scalar(select(ImportBatch)) is None


BOMB = zipped(("ElevesAvecAdresses.xml", b"<BEE_ELEVES>" + b" " * (40 << 20)))
ENTITIES = (
    b'<?xml version="1.0"?><!DOCTYPE BEE_ELEVES [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    b"<BEE_ELEVES><PARAMETRES><UAJ>0599001N</UAJ></PARAMETRES><DONNEES>&b;</DONNEES></BEE_ELEVES>"
)


@pytest.mark.row("K-23")
@each_row(
    ("name", "content", "sentence"),
    [
        ("eleves.pdf", b"%PDF-1.7 ...", "Ce ne sont pas des fichiers de SIECLE"),
        ("eleves.xlsx", zipped(("[Content_Types].xml", b"<Types/>")), "Ce ne sont pas des fichiers de SIECLE"),
        ("rien.csv", HEAD.encode(), "aucun élève"),
        ("bombe.zip", BOMB, "trop gros fichiers"),
        ("dans.zip", zipped(("dans.zip", zipped(*siecle()))), "Cette archive en contient une autre"),
        ("hors.zip", zipped(("../../etc/eleves.xml", b"x")), "un chemin qui mène hors d’elle"),
        ("abime.zip", zipped(*siecle())[:200], "abîmée"),
        ("entites.xml", ENTITIES, "entit"),
        ("aaf.xml", xml.aaf(xml.put("Eleve", xml.PUPIL)), "Ce ne sont pas des fichiers de SIECLE"),
    ],
)
def test_a_file_that_cannot_be_imported_says_why(
    desk: Flask, colleagues: Colleagues, name: str, content: bytes, sentence: str
) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    key, page = checked(browser, (name, content))
    assert sentence in page
    assert "Importer</button>" not in page
    assert {file.content for file in db.session.scalars(select(JobFile).where(JobFile.is_upload))} == {b""}
    assert post(browser, f"/fichiers/{key}/importer", f"/fichiers/{key}").status_code == 200
    assert db.session.scalar(select(ImportBatch)) is None


@pytest.mark.row("K-23")
def test_a_school_has_lower_limits_of_archives(
    desk: Flask, colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "LIMITS", Limits(total=1000, ratio=200, entries=10))
    _, page = checked(colleagues.signed_in(), ("gros.zip", zipped(("eleves.xml", b"<a/>" * 1000))))
    assert "trop de fichiers, ou de trop gros fichiers" in page


def test_a_form_without_a_file_or_with_an_empty_one_is_told(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    assert "Choisissez un fichier" in send(browser).get_data(as_text=True)
    empty = send(browser, ("vide.csv", b"")).get_data(as_text=True)
    assert "Le fichier vide.csv est vide" in empty
    many = send(browser, *[sheet(row(1))] * 11)
    assert "Donnez 10 fichiers au plus" in shown(many)
    assert db.session.scalar(select(Job)) is None


@pytest.mark.row("K-23")
def test_a_form_of_more_than_32_megabytes_is_told(desk: Flask, colleagues: Colleagues) -> None:
    answer = send(colleagues.signed_in(), b"x" * (33 << 20))
    assert answer.status_code == 413
    assert heading(answer) == "Fichiers"
    assert "32 Mo au plus" in shown(answer)
    assert db.session.scalar(select(Job)) is None


def test_a_long_form_of_a_stranger_is_not_read(desk: Flask, visitor: FlaskClient) -> None:
    body = b"x" * (1 << 20)
    answer = visitor.post("/fichiers", data=body, content_type="multipart/form-data; boundary=b")
    assert answer.headers["Location"] == "/connexion?suite=/fichiers?fait%3Drien"


@each_row("path", ["/connexion", "/", "/travaux/00000000-0000-0000-0000-000000000000/annuler", "/fichiers/x"])
def test_other_pages_take_no_files(desk: Flask, colleagues: Colleagues, path: str) -> None:
    files_of_form = {"fichiers": (io.BytesIO(b"x"), "x.csv")}
    assert colleagues.signed_in().post(path, data=files_of_form).status_code == 415


def test_the_form_needs_its_token(desk: Flask, colleagues: Colleagues) -> None:
    browser = colleagues.signed_in()
    browser.get("/fichiers")
    answer = browser.post("/fichiers", data={"fichiers": (io.BytesIO(sheet(row(1))), "x.csv")})
    assert answer.status_code == 400
    broken = browser.post("/fichiers", data=b"--b\r\nnothing", content_type="multipart/form-data; boundary=b")
    assert broken.status_code == 400
    assert db.session.scalar(select(Job)) is None


def test_a_large_file_of_any_bytes_is_taken(desk: Flask, colleagues: Colleagues) -> None:
    content = b"%PDF" + b"\r" * (2 << 20) + b"\n--" * (1 << 20) + bytes(2 << 20)
    assert send(colleagues.signed_in(), ("gros.pdf", content)).status_code == 303
    [upload] = files.uploads(services().settings, db.session.scalars(select(Job.id)).one())
    assert upload.content == content


def test_a_guardian_who_comes_back_is_not_from_elsewhere(desk: Flask, colleagues: Colleagues) -> None:
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(40)))
    imported(head, sheet(*families(39)))
    _, page = checked(head, sheet(*families(40)))
    assert "a de nouveau un enfant ici, le compte se rouvre" in page
    assert "autre établissement" not in page


def test_no_other_page_takes_files_and_none_of_the_parents(desk: Flask, settings: Settings) -> None:
    assert declarations.of(desk).taking_files == {"/fichiers"}
    assert declarations.of(create_app(settings)).taking_files == set()
