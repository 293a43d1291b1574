"""Two pupils of one name in files without numbers: the birth date, and a guardian's row, tell them apart (R-08)."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select, update

from idp.accounts.models import Account, Child, Guardianship
from idp.clock import now
from idp.db import db
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE
from tests.rostering.seen import codes, imported
from tests.rostering.test_onde import guardians, pupils

pytestmark = pytest.mark.row("R-08")

ELDER, YOUNGER = date(2017, 9, 14), date(2018, 1, 2)
ANNE, PAUL = ("Anne", "1 rue A", "CP A"), ("Paul", "9 rue Z", "CP B")
"""Guardians of a pupil called Malo LEROY: given name, home, and the pupil's class."""
Parents = Sequence[tuple[str, str, str]]


def onde(folder: Path, born: Sequence[tuple[date, str]], parents: Parents) -> Path:
    """Write the two exports of ONDE: pupils called Malo LEROY, by birth date and class, and a pupil beside them."""
    folder.mkdir(exist_ok=True)
    rows = [f"LEROY;;Malo;{day:%d/%m/%Y}{';' * 12}{class_name}" for day, class_name in born]
    (folder / "eleves.csv").write_text(pupils(*rows, f"PETIT;;Rose;{';' * 12}CE1"), encoding="cp1252")
    people = [f"MME;LEROY;;{name};{home};59990;Rivebelle;;;;;;;LEROY;Malo;{of}" for name, home, of in parents]
    people.append("MME;PETIT;;Lise;3 rue C;59990;Rivebelle;;;;;;;PETIT;Rose;CE1")
    (folder / "responsables.csv").write_text(guardians(*people, children=1), encoding="cp1252")
    return folder


def csv(folder: Path, born: Sequence[tuple[str, str]], parents: Sequence[tuple[str, str, str, str]]) -> Path:
    """Write CSV files without numbers; a date may be empty, for a pupil or in a guardian's row, where it comes last."""
    folder.mkdir(exist_ok=True)
    rows = [f"LEROY;Malo;{class_name};{day}\n" for day, class_name in born]
    (folder / "eleves.csv").write_text("nom;prenom;classe;dateNaissance\n" + "".join(rows) + "PETIT;Rose;6A;\n")
    people = [f"LEROY;{name};{home};59990;Rivebelle;LEROY;Malo;{of};{day}\n" for name, home, of, day in parents]
    head = "nom;prenom;adresse;cp;commune;nomenfant;prenomenfant;classeenfant;dateNaissanceEnfant\n"
    last = "PETIT;Lise;3 rue C;59990;Rivebelle;PETIT;Rose;6A;\n"
    (folder / "responsables.csv").write_text(head + "".join(people) + last)
    return folder


def ties() -> dict[str, list[date | None]]:
    """Return the birth dates of the pupils called Malo whose guardian each person called LEROY is."""
    db.session.rollback()
    db.session.expire_all()
    people = db.session.scalars(select(Account).where(Account.family_name == "LEROY", Account.left_at.is_(None)))
    return {person.given_name: [child.birth_date for child in person.children] for person in people}


def malos() -> dict[date | None, Child]:
    db.session.rollback()
    db.session.expire_all()
    present = select(Child).where(Child.given_name == "Malo", Child.left_at.is_(None))
    return {child.birth_date: child for child in db.session.scalars(present)}


BOTH = (ELDER, "CP A"), (YOUNGER, "CP B")


def test_the_class_in_a_guardians_row_tells_which_pupil_it_means(act: Run, folder: Path) -> None:
    for created in (3, 0):
        report = imported(act, onde(folder, BOTH, (ANNE, PAUL)), "--school", COLLEGE)
        assert "student_key_twice" not in codes(report)
        assert (report["students"]["read"], report["students"]["created"]) == (3, created)
    assert ties() == {"Anne": [ELDER], "Paul": [YOUNGER]}
    first, second = malos().values()
    assert first.student_id != second.student_id
    assert not any((child.roster_key or "").endswith(child.student_id) for child in (first, second))


def test_two_pupils_whom_nothing_tells_apart_are_named_and_nothing_changes(act: Run, folder: Path) -> None:
    imported(act, onde(folder, BOTH[:1], (ANNE,)), "--school", COLLEGE)
    known = malos()[ELDER].id
    together = onde(folder, ((ELDER, "CP A"), (YOUNGER, "CP A")), (ANNE, ("Paul", "9 rue Z", "CP A")))
    report = imported(act, together, "--school", COLLEGE)
    sentences = [issue["message"] for issue in report["issues"] if issue["code"] == "student_key_twice"]
    sentence = (
        "Deux élèves s’appellent Malo LEROY (CP A, né(e) le 02/01/2018 ; CP A, né(e) le 14/09/2017), et les fichiers "
        "ne disent pas partout duquel ils parlent : aucun des deux n’est pris. Dans ONDE, ajoutez à l’un son deuxième "
        "prénom, puis refaites les deux exports."
    )
    assert sentences == [sentence] * 2
    assert "student_missing" not in codes(report)
    assert {day: child.id for day, child in malos().items()} == {ELDER: known}
    assert ties() == {"Anne": [ELDER]}


def test_the_date_in_a_guardians_row_tells_namesakes_of_one_class_apart(act: Run, folder: Path) -> None:
    days = [(str(ELDER), "6A"), (str(YOUNGER), "6A")]
    people = [("Anne", "1 rue A", "6A"), ("Paul", "9 rue Z", "6A")]
    dated = [(*person, day) for person, (day, _) in zip(people, days, strict=True)]
    report = imported(act, csv(folder, days, [(*person, "") for person in people]), "--school", COLLEGE)
    assert "« dateNaissanceEnfant »" in str(report["issues"])
    report = imported(act, csv(folder, days, dated), "--school", COLLEGE)
    assert "student_key_twice" not in codes(report)
    assert ties() == {"Anne": [ELDER], "Paul": [YOUNGER]}
    imported(act, csv(folder, days[:1], dated), "--school", COLLEGE)
    assert ties() == {"Anne": [ELDER], "Paul": [YOUNGER]}


def test_a_pupil_who_gets_a_date_stays_the_same_and_a_file_without_dates_wipes_none(act: Run, folder: Path) -> None:
    for day, kept in (("", None), (str(ELDER), ELDER), ("", ELDER)):
        report = imported(act, csv(folder, [(day, "6A")], [("Anne", "", "6A", "")]), "--school", COLLEGE)
        assert (report["students"]["created"], report["guardians"]["created"]) == ((0, 0) if kept else (2, 2))
        assert ties() == {"Anne": [kept]}
    imported(act, csv(folder, [("", "6A")], [("Anne", "", "6A", str(ELDER))]), "--school", COLLEGE)
    assert ties() == {"Anne": [ELDER]}
    assert len(db.session.scalars(select(Child.id)).all()) == 2


def test_a_known_pupil_without_a_date_keeps_the_guardians_when_a_namesake_comes(act: Run, folder: Path) -> None:
    imported(act, csv(folder, [("", "6A")], [("Anne", "1 rue A", "6A", "")]), "--school", COLLEGE)
    [known] = [child.id for child in malos().values()]
    people = [("Paul", "9 rue Z", "5B", ""), ("Anne", "1 rue A", "5A", "")]
    unclear = imported(act, csv(folder, [(str(YOUNGER), "5A"), (str(ELDER), "5A")], people), "--school", COLLEGE)
    assert "student_key_twice" in codes(unclear)
    assert ties() == {"Anne": [None]}
    imported(act, csv(folder, [(str(YOUNGER), "5B"), (str(ELDER), "5A")], people), "--school", COLLEGE)
    assert malos()[ELDER].id == known
    assert ties() == {"Anne": [ELDER], "Paul": [YOUNGER]}


def test_the_same_name_with_another_date_is_another_pupil(act: Run, folder: Path) -> None:
    imported(act, onde(folder, BOTH[:1], (ANNE,)), "--school", COLLEGE)
    former = malos()[ELDER].id
    report = imported(act, onde(folder, BOTH[1:], (PAUL,)), "--school", COLLEGE, "--force")
    assert (report["students"]["created"], report["students"]["left"]) == (1, 1)
    assert (ties(), list(malos())) == ({"Paul": [YOUNGER]}, [YOUNGER])
    assert malos()[YOUNGER].id != former


def test_a_corrected_date_keeps_the_pupil_and_the_ties_and_a_later_namesake_is_new(act: Run, folder: Path) -> None:
    imported(act, onde(folder, [(YOUNGER, "CP A")], (ANNE,)), "--school", COLLEGE)
    known = malos()[YOUNGER].id
    db.session.execute(update(Guardianship).where(Guardianship.child_id == known).values(disputed_at=now()))
    db.session.commit()
    imported(act, onde(folder, BOTH[:1], (ANNE,)), "--school", COLLEGE)
    assert (malos()[ELDER].id, ties()) == (known, {"Anne": []})
    imported(act, onde(folder, BOTH, (ANNE, PAUL)), "--school", COLLEGE)
    assert malos()[ELDER].id == known
    assert ties() == {"Anne": [], "Paul": [YOUNGER]}
    for parents in ((ANNE, PAUL), (PAUL, ANNE)):
        assert imported(act, onde(folder, BOTH, parents), "--school", COLLEGE)["students"]["created"] == 0


def test_the_date_of_a_pupil_with_a_number_is_not_stored(act: Run, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "eleves.csv").write_text("id;nom;prenom;classe;dateNaissance\n7;LEROY;Malo;6A;14/09/2017\n")
    (folder / "responsables.csv").write_text("id;nom;prenom;idenfant\n8;LEROY;Anne;7\n")
    for created in (1, 0):
        report = imported(act, folder, "--school", COLLEGE)
        assert (report["students"]["created"], report["students"]["changed"]) == (created, 0)
        assert ties() == {"Anne": [None]}
