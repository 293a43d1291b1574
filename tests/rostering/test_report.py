"""The report of an import: rows counted once, and skipped actions."""

from pathlib import Path

from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE
from tests.rostering.seen import codes, imported
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
