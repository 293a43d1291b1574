"""A record that is refused is in the file all the same: its person does not leave."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.rostering.aaf_school import LYCEE, Year
from tests.rostering.seen import imported, state


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
