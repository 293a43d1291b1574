"""A record that is refused is in the file all the same: its person does not leave."""

from pathlib import Path

import pytest

from tests.commands.conftest import Run
from tests.rostering.aaf_school import LYCEE, Year
from tests.rostering.seen import imported, state

pytestmark = pytest.mark.both_databases


@pytest.mark.parametrize(("kind", "number"), [("students", "9200000"), ("guardians", "9100001")])
def test_nobody_leaves_while_a_refused_record_has_no_key(
    act: Run, year: Year, folder: Path, kind: str, number: str
) -> None:
    imported(act, year.write(folder))
    before = state()
    said = imported(act, year.change(number, key="").write(folder))
    assert (said[kind]["refused"], said[kind]["left"]) == (1, 0)
    assert state() == before


def test_no_pupil_leaves_with_the_unread_row_of_a_parent(act: Run, folder: Path) -> None:
    folder.mkdir()
    head = "nom;prenom;nom enfant;prenom enfant;classe enfant\n"
    rows = "LEROY;Noémie;LEROY;Malo;6e 1\nPETIT;Jean;PETIT;Zoé;6e 1\n"
    file = folder / "responsables.csv"
    file.write_text(head + rows)
    said = imported(act, folder, "--school", LYCEE)
    assert said["students"]["created"] == 2, said
    for unread in ("PETIT;Jean;PETIT;Zoé;6e 1;x;y;z\n", ";Jean;PETIT;Zoé;6e 1\n"):
        file.write_text(head + "LEROY;Noémie;LEROY;Malo;6e 1\n" + unread)
        said = imported(act, folder, "--school", LYCEE)
        assert (said["guardians"]["refused"], said["students"]["left"]) == (1, 0)
