"""The report of an import: rows counted once, and skipped actions."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE
from tests.rostering.seen import codes, imported
from tests.rostering.test_takeover import by_names

pytestmark = pytest.mark.both_databases


def test_pupils_and_guardians_without_numbers_repeat_nothing(act: Run, folder: Path) -> None:
    by_names(folder, "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2", "MARTIN;Paul;9 rue Z;59992;V;;MARTIN;Léa;CM2")
    pupils = folder / "eleves.csv"
    pupils.write_text("nom;prenom;classe\nMARTIN;Léa;CM2\nPETIT;Rose;CP\n")
    said = imported(act, folder, "--school", COLLEGE)
    assert "repeated_line" not in codes(said)
    assert (said["students"]["read"], said["students"]["created"], said["students"]["refused"]) == (2, 2, 0)
    pupils.write_text("nom;prenom;classe\nMARTIN;Léa;CM2\nPETIT;Rose;CP\nPETIT;Rose;CP\n")
    said = imported(act, folder, "--school", COLLEGE)
    assert codes(said).count("repeated_line") == said["students"]["refused"] == 1


def test_a_stopped_import_says_what_it_would_have_done(act: Run, folder: Path) -> None:
    imported(act, by_names(folder, "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2"), "--school", COLLEGE)
    other = by_names(folder, "PETIT;Paul;1 rue A;59990;R;;PETIT;Rose;CM2")
    answer = act("roster", "import", str(other), "--school", COLLEGE)
    assert answer.code == 1
    assert "stopped import " in answer.out
    assert "accounts, if it were done: 1 in the end, 1 opened, 1 disabled" in answer.out
    assert "nothing was imported" in answer.err
