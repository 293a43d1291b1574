"""The report of an import: rows counted once, skipped actions, and unread rows, whose people do not leave."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.models import Account, Child
from idp.db import db, searched_words
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Year
from tests.rostering.seen import codes, imported, state
from tests.rostering.test_takeover import by_names


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
