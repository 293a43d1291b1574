"""`idp roster` and `idp school` as an operator meets them: usage, refusals, and the report of an import."""

import os
import pty
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.config import Settings
from idp.db import db, searched_words
from idp.languages import OF_LETTERS
from tests import forked
from tests.commands.conftest import Answer, Run, read_json
from tests.commands.processes import environment
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Year, modify, write
from tests.rostering.seen import codes, imported, state
from tests.rostering.test_takeover import by_names
from tests.rows import each_row

ELEVES = """<?xml version="1.0" encoding="ISO-8859-15"?>
<BEE_ELEVES><PARAMETRES><UAJ>0599003R</UAJ></PARAMETRES><DONNEES><ELEVES>
<ELEVE ELEVE_ID="701"><NOM_DE_FAMILLE>ROUSSEAU</NOM_DE_FAMILLE><PRENOM>Gaspard</PRENOM></ELEVE></ELEVES>
<STRUCTURES><STRUCTURES_ELEVE ELEVE_ID="701"><STRUCTURE><CODE_STRUCTURE>1G3</CODE_STRUCTURE>
<TYPE_STRUCTURE>D</TYPE_STRUCTURE></STRUCTURE></STRUCTURES_ELEVE></STRUCTURES></DONNEES></BEE_ELEVES>"""
RESPONSABLES = """<?xml version="1.0" encoding="ISO-8859-15"?>
<BEE_RESPONSABLES><PARAMETRES><UAJ>0599003R</UAJ></PARAMETRES><DONNEES><PERSONNES>
<PERSONNE PERSONNE_ID="812"><NOM_DE_FAMILLE>ROUSSEAU</NOM_DE_FAMILLE><PRENOM>Cécile</PRENOM>
<LC_CIVILITE>MME</LC_CIVILITE></PERSONNE></PERSONNES><RESPONSABLES><RESPONSABLE_ELEVE><ELEVE_ID>701</ELEVE_ID>
<PERSONNE_ID>812</PERSONNE_ID><CODE_PARENTE>10</CODE_PARENTE><NIVEAU_RESPONSABILITE>1</NIVEAU_RESPONSABILITE>
</RESPONSABLE_ELEVE></RESPONSABLES></DONNEES></BEE_RESPONSABLES>"""


def siecle(folder: Path, *, eleves: bool = True, responsables: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    for expected, name, text in (
        (eleves, "ElevesAvecAdresses.xml", ELEVES),
        (responsables, "ResponsablesAvecAdresses.xml", RESPONSABLES),
    ):
        if expected:
            (folder / name).write_text(text, encoding="iso-8859-15")
    return folder


def test_a_table_and_the_first_problems_on_the_terminal(act: Run, year: Year, folder: Path) -> None:
    for number in range(30):
        year.add(Parent(f"7{number:02}", "Sans", "ENFANT"))
    answer = act("roster", "import", str(year.write(folder)))
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "aaf, complete, 2 schools"
    assert lines[1].split() == ["read", "created", "changed", "unchanged", "left", "refused"]
    assert lines[3].split() == ["guardians", "54", "24", "0", "0", "0", "30"]
    assert lines[5] == "accounts: 24 in the end, 24 opened, 0 disabled"
    assert answer.err.count("\n") == 21
    for printed in ("warning: ", "… and 10 more problems", "[aaf:700]"):
        assert printed in answer.err


@pytest.mark.row("R-04")
def test_problems_for_a_spreadsheet_run_nothing(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("=cmd|' /C calc'!A0", "Sans", "ENFANT"))
    out = folder.parent / "problemes.csv"
    year.write(folder)
    assert act("roster", "check", str(folder), "--issues", str(out)).code == 0
    text = out.read_text(encoding="utf-8-sig")
    assert '"severity";"file";"line";"key";"code";"message"' in text
    assert ("aaf:=cmd" in text, '"=' in text) == (True, False)
    assert "exists already, nothing was done" in act("roster", "import", str(folder), "--issues", str(out)).err
    assert db.session.scalars(select(Account.id)).all() == []


def test_the_difference_by_name_is_written_as_a_table(act: Run, year: Year, folder: Path) -> None:
    out = folder.parent / "difference.csv"
    year.write(folder)
    assert act("roster", "check", str(folder), "--difference", str(out)).code == 0
    text = out.read_text(encoding="utf-8-sig")
    assert '"quoi";"personne";"classe";"détail"' in text
    assert '"création";"FAMILLEAA Enfanta";"6EME1";"Élève : arrive dans l’établissement."' in text
    answer = act("roster", "import", str(folder), "--difference", str(out))
    assert (answer.code, "exists already, nothing was done" in answer.err) == (1, True)


@each_row(
    ("options", "message"),
    [
        (["--school", "0599001X"], "not a UAI"),
        (["--encoding", "klingon"], "no encoding klingon"),
        (["--format", "excel"], "is not one of"),
        (["--mode", "partial"], "is not one of"),
        ([], "Missing argument"),
    ],
)
def test_a_usage_error_names_the_right_options(act: Run, folder: Path, options: list[str], message: str) -> None:
    answer = act("roster", "import", *([str(folder)] if options else []), *options)
    assert (answer.code, message in answer.err) == (2, True)


def test_a_file_that_is_not_there_and_a_folder_without_any(act: Run, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.xml", tmp_path):
        answer = act("roster", "import", str(path))
        assert (answer.code, "nothing was imported" in answer.err) == (1, True)


def test_a_cut_file_stops_everything(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    path = folder / "ENT_0599001N_Complet_20260901_PersRelEleve_0000.xml"
    path.write_bytes(path.read_bytes()[:-200])
    report = imported(act, folder, code=1)
    assert report["accounts"] == {"total": 0, "created": 0, "disabled": 0}
    assert report["issues"][0]["severity"] == "error"
    assert db.session.scalars(select(Account.id)).all() == []


def test_issue_that_stops_an_import_has_a_line_of_its_own(act: Run, tmp_path: Path) -> None:
    (path := tmp_path / "x.zip").write_bytes(b"PK\x03\x04")
    refusal, issue = act("roster", "import", str(path)).err.splitlines()[-2:]
    assert refusal == "Error: nothing was imported, because of this error:"
    assert issue.startswith(f"error: {path}:1: ")


@pytest.mark.parametrize(
    ("command", "failure"), [("check", "these files cannot be imported"), ("import", "nothing was imported")]
)
def test_the_error_that_stops_a_command_is_said_once(act: Run, tmp_path: Path, command: str, failure: str) -> None:
    path = by_names(tmp_path / "csv", "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2")
    answer = act("roster", command, str(path))
    refusal, issue = answer.err.splitlines()
    assert (answer.code, refusal) == (1, f"Error: {failure}, because of this error:")
    assert issue.startswith("error: ")
    assert "donnez son UAI" in issue
    answer = act("roster", command, str(tmp_path / "absent.xml"), "--json")
    assert answer.err.startswith(f"Error: {failure}"), "the error is on its stream beside JSON too"


def test_a_siecle_pair_creates_accounts_and_needs_the_school_name(act: Run, tmp_path: Path) -> None:
    report = imported(act, siecle(tmp_path / "siecle"))
    assert (report["format"], report["schools"]) == ("siecle", ["0599003R"])
    assert report["accounts"]["created"] == 1
    assert codes(report) == ["school_without_name", "school_without_name"][: len(codes(report))]
    mother = db.session.scalars(select(Account)).one()
    assert (mother.roster_key, mother.join_key, mother.given_name) == ("siecle:812", None, "Cécile")
    named = ("--name", "Lycée Rosa-Bonheur", "--address", "1 rue", "--phone", "03")
    assert act("school", "set", "0599003R", *named) == Answer(0, "0599003R was changed\n", "")
    assert codes(imported(act, tmp_path / "siecle")) == []
    [row] = read_json(act, "school", "list")
    assert row == {
        "uai": "0599003R", "name": "Lycée Rosa-Bonheur", "degree": "2D", "source": "siecle", "address": ["1 rue"],
        "phone": "03", "hours": "", "letter_languages": list(OF_LETTERS), "mail": None,
    }  # fmt: skip


@pytest.mark.parametrize("missing", ["eleves", "responsables"])
def test_half_a_siecle_pair_is_refused(act: Run, tmp_path: Path, missing: str) -> None:
    folder = siecle(tmp_path / "siecle", **{missing: False})
    assert "siecle takes two files" in act("roster", "import", str(folder), "--force").err


def test_mixed_formats_or_modes_are_refused(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    siecle(folder)
    assert "two_formats" in codes(imported(act, folder, code=1))
    for path in folder.glob("*Avec*"):
        path.unlink()
    Year(schools=()).add(Parent("1")).write(folder, "Delta_20260902")
    assert "two_modes" in codes(imported(act, folder, code=1))


def test_changes_in_a_complete_file_are_refused(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    write(folder / "ENT_Complet_Eleve_0001.xml", [modify("Eleve", "9200001", {"givenName": ["Autre"]})])
    assert "changes_in_complete" in codes(imported(act, folder, code=1))


def test_an_import_can_be_limited_to_one_school(act: Run, year: Year, folder: Path) -> None:
    report = imported(act, year.write(folder), "--school", LYCEE)
    assert report["schools"] == [LYCEE]
    assert (report["students"]["read"], report["guardians"]["created"]) == (6, 12)
    report = imported(act, folder)
    assert (report["guardians"]["created"], report["guardians"]["unchanged"]) == (12, 12)


def test_a_pupil_of_an_unknown_school_is_reported_and_refused(act: Run, year: Year, folder: Path) -> None:
    year.schools = (COLLEGE,)
    report = imported(act, year.write(folder))
    assert codes(report).count("student_school_unknown") == 6
    assert report["students"]["refused"] == 6


def test_a_school_can_be_created_before_any_import(act: Run) -> None:
    command = ("school", "set", COLLEGE)
    for options, code, printed in (
        ((), 2, "give at least one of"),
        (("--phone", "03 53 01 40 40"), 1, "it needs a name"),
        (("--name", "x" * 201), 1, "is longer than 200 characters"),
    ):
        answer = act(*command, *options)
        assert (answer.code, printed in answer.err) == (code, True), answer
    assert act(*command, "--name", "Collège", "--degree", "1D").out == f"{COLLEGE} was added\n"
    assert "Collège" in act("school", "list").out
    chosen = ("--letter-language", "tr", "--letter-language", "ar")
    for languages, given in ((["tr", "ar"], chosen), ([], ("--letter-language", "none"))):
        assert act(*command, *given).out == f"{COLLEGE} was changed\n"
        assert read_json(act, "school", "list")[0]["letter_languages"] == languages
    assert "stands alone" in act(*command, *chosen, "--letter-language", "none").err
    assert act(*command, "--letter-language", "xx").code == 2


def test_control_characters_in_a_path_are_escaped(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("4", "Sans", "ENFANT"))
    answer = act("roster", "check", str(year.write(folder).rename(folder.with_name("fichiers\x1b[2J"))))
    assert ("\x1b" in answer.out + answer.err, "[2J" in answer.err) == (False, True)


def test_the_progress_bar_appears_on_a_terminal_only(settings: Settings, year: Year, folder: Path) -> None:
    year.write(folder)
    ours, theirs = pty.openpty()
    command = (forked.IDP, "roster", "import", str(folder))
    with os.fdopen(theirs, "wb", buffering=0) as terminal:
        shown = forked.Program(*command, env=environment(settings) | {"TERM": "xterm"}, output=terminal)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        seen += part
    assert shown.wait(60) == 0
    os.close(ours)
    assert b"reading" in seen
    quiet = forked.run(*command, env=environment(settings))
    assert quiet.returncode == 0
    assert "reading" not in quiet.stdout + quiet.stderr


def test_pupils_in_both_files_are_not_reported_as_repeated(act: Run, folder: Path) -> None:
    by_names(folder, "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2", "MARTIN;Paul;9 rue Z;59992;V;;MARTIN;Léa;CM2")
    pupils = folder / "eleves.csv"
    pupils.write_text("nom;prenom;classe\nMARTIN;Léa;CM2\nPETIT;Rose;CP\n")
    report = imported(act, folder, "--school", COLLEGE)
    assert "repeated_line" not in codes(report)
    assert (report["students"]["read"], report["students"]["created"], report["students"]["refused"]) == (2, 2, 0)
    pupils.write_text("nom;prenom;classe\nMARTIN;Léa;CM2\nPETIT;Rose;CP\nPETIT;Rose;CP\n")
    report = imported(act, folder, "--school", COLLEGE)
    assert codes(report).count("repeated_line") == report["students"]["refused"] == 1


def test_a_stopped_import_prints_the_planned_changes(act: Run, folder: Path) -> None:
    imported(act, by_names(folder, "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2"), "--school", COLLEGE)
    other = by_names(folder, "PETIT;Paul;1 rue A;59990;R;;PETIT;Rose;CM2")
    answer = act("roster", "import", str(other), "--school", COLLEGE)
    assert answer.code == 1
    assert "stopped import " in answer.out
    assert "accounts, if it were done: 1 in the end, 1 opened, 1 disabled" in answer.out
    assert "nothing was imported" in answer.err


@pytest.mark.parametrize(("kind", "number"), [("students", "9200000"), ("guardians", "9100001")])
def test_a_refused_record_without_a_key_prevents_departures(
    act: Run, year: Year, folder: Path, kind: str, number: str
) -> None:
    imported(act, year.write(folder))
    before = state()
    report = imported(act, year.change(number, key="").write(folder))
    assert (report[kind]["refused"], report[kind]["left"]) == (1, 0)
    assert state() == before


def test_an_unread_row_of_a_parent_prevents_departures_of_pupils(act: Run, folder: Path) -> None:
    folder.mkdir()
    head = "nom;prenom;nom enfant;prenom enfant;classe enfant\n"
    rows = "LEROY;Noémie;LEROY;Malo;6e 1\nPETIT;Jean;PETIT;Zoé;6e 1\n"
    file = folder / "responsables.csv"
    file.write_text(head + rows)
    report = imported(act, folder, "--school", LYCEE)
    assert report["students"]["created"] == 2, report
    for unread in ("PETIT;Jean;PETIT;Zoé;6e 1;x;y;z\n", ";Jean;PETIT;Zoé;6e 1\n"):
        file.write_text(head + "LEROY;Noémie;LEROY;Malo;6e 1\n" + unread)
        report = imported(act, folder, "--school", LYCEE)
        assert (report["guardians"]["refused"], report["students"]["left"]) == (1, 0)


def test_imported_people_are_found_by_their_words(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    year.change("9100001", family="NOUVEAUNOM")
    year.change("9200001", group="5EME2")
    imported(act, year.write(folder))
    rows: list[Account | Child] = [*db.session.scalars(select(Account)), *db.session.scalars(select(Child))]
    assert len(rows) == 36
    for row in rows:
        names = [getattr(row, name) for name in row.searched_fields]
        assert all(word in row.search_text for name in names for word in searched_words(name)), row.search_text
