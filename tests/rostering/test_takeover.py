"""Files that would give somebody a child or an account of another person; pupils of one name (R-08)."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts import merging as account_merging
from idp.accounts.models import Account, Child, Merge
from idp.config import Settings
from idp.db import db
from idp.families import merging
from tests.closed import dispute
from tests.commands.conftest import Run
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year, add, delete, modify, write
from tests.rostering.seen import account, children_of, codes, imported, state
from tests.rostering.test_onde import MALO, ZOE, guardians, pupils

HEAD = "nom;prenom;adresse;cp;commune;mail;nomenfant;prenomenfant;classeenfant\n"


def by_names(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "responsables.csv").write_text(HEAD + "\n".join(rows) + "\n")
    return folder


def marie() -> Account:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Account).where(Account.family_name == "MARTIN")).one()


@pytest.mark.parametrize(
    "where",
    [
        ";;;",
        ";;;secretariat@exemple.fr",
        "1 rue de la Gare;;;",
        "1 rue de la Gare;59990;;marie@exemple.fr",
        ";59990;Rivebelle;marie@exemple.fr",
    ],
)
def test_rows_with_one_name_and_an_incomplete_postal_address_are_two_people(act: Run, folder: Path, where: str) -> None:
    rows = (f"MARTIN;Marie;{where};MARTIN;Léa;CM2", f"MARTIN;Marie;{where};BERNARD;Zoé;CP")
    report = imported(act, by_names(folder, *rows, "PETIT;Paul;;;;;PETIT;Rose;CP"), "--school", COLLEGE)
    assert codes(report).count("guardian_key_twice") == 2
    assert "donnez un numéro à chaque personne" in str(report["issues"])
    assert db.session.scalars(select(Account.family_name)).all() == ["PETIT"]


def test_rows_with_one_name_and_one_complete_postal_address_are_one_person(act: Run, folder: Path) -> None:
    rows = [f"MARTIN;Marie;1 rue A;59990;Rivebelle;;{child}" for child in ("MARTIN;Léa;CM2", "BERNARD;Zoé;CP")]
    imported(act, by_names(folder, *rows), "--school", COLLEGE)
    assert sorted(child.given_name for child in marie().children) == ["Léa", "Zoé"]


def test_two_rows_of_onde_without_a_commune_are_two_people(act: Run, folder: Path) -> None:
    folder.mkdir()
    zoe = ZOE.replace("LEROY;ÖZ", "BERNARD;").replace("Zoé", "Rose")
    (folder / "eleves.csv").write_text(pupils(MALO, zoe), encoding="cp1252")
    rows = [f"MME;MARTIN;;Marie;1 rue de la Gare;;;;;;;;{child};" for child in ("LEROY;;Malo", ";BERNARD;Rose")]
    (folder / "responsables.csv").write_text(guardians(*rows, children=1), encoding="cp1252")
    assert codes(imported(act, folder, "--school", COLLEGE)).count("guardian_key_twice") == 2
    assert db.session.scalars(select(Account.id)).all() == []


def merged(act: Run, year: Year, folder: Path, settings: Settings) -> None:
    """Let one person, known under two keys, join the two letters."""
    year.add(Parent("501", "Anne", "DUPONT"), Pupil("10", "Un", "DUPONT", parents=(("501", "10", "1"),)))
    year.add(Parent("502", "Anne", "DUPONT"), Pupil("11", "Deux", "DUPONT", parents=(("502", "10", "1"),)))
    imported(act, year.write(folder))
    account_merging.merge(settings, account("501"), account("502"))
    db.session.commit()


def test_a_child_that_came_after_a_wrong_merge_goes_back_with_the_next_file(
    act: Run, year: Year, folder: Path, settings: Settings
) -> None:
    merged(act, year, folder, settings)
    other = db.session.scalars(select(Merge.account_id)).one()
    year.add(Pupil("12", "Trois", "DUPONT", parents=(("502", "10", "1"),)))
    imported(act, year.write(folder))
    assert children_of("501") == ["Deux", "Trois", "Un"]
    merging.unlink(other, "deux homonymes")
    imported(act, year.write(folder))
    assert (children_of("501"), children_of("502")) == (["Un"], ["Deux", "Trois"])
    assert account("502").id == other


def test_a_returning_account_with_two_keys_keeps_both_children(
    act: Run, year: Year, folder: Path, settings: Settings
) -> None:
    merged(act, year, folder, settings)
    day = folder.parent / "delta"
    write(day / "ENT_Delta_PersRelEleve_0000.xml", [delete("PersRelEleve", "502")])
    relinked = modify("Eleve", "11", {"ENTElevePersRelEleve": ["501$10$1$1$1$0"]})
    write(day / "ENT_Delta_Eleve_0000.xml", [relinked])
    imported(act, day)
    assert children_of("501") == ["Deux", "Un"]
    year.change("11", parents=(("502", "10", "1"),))
    first, second = year.pupils.pop("10"), year.pupils.pop("11")
    imported(act, year.write(folder), "--force")
    assert account("501").disabled_at is not None
    year.add(second)
    imported(act, year.write(folder))
    assert (account("501").disabled_at, account("501").has_left, children_of("501")) == (None, False, ["Deux"])
    year.add(first)
    imported(act, year.write(folder))
    assert children_of("501") == ["Deux", "Un"]


def test_the_last_record_of_a_pupil_in_a_delta_applies(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    day = folder.parent / "delta"
    both = year.pupils["9200000"]
    requests = [add("Eleve", both.key, both.attributes())]
    year.change("9200000", parents=(("9100000", "10", "1"), ("9150000", "20", "3")))
    requests.append(add("Eleve", both.key, year.pupils["9200000"].attributes()))
    write(day / "ENT_Delta_Eleve_0000.xml", requests)
    imported(act, day)
    assert (children_of("9100000"), children_of("9150000")) == (["Enfanta"], [])
    other = Pupil("9200001", "Zoé", "ROUGE", parents=(("9100002", "10", "1"),))
    write(
        day / "ENT_Delta_Eleve_0000.xml",
        [add("Eleve", "9200001", year.pupils["9200001"].attributes()), add("Eleve", "9200001", other.attributes())],
    )
    assert codes(imported(act, day, code=1)).count("student_key_twice") == 2


def test_a_parent_with_a_remaining_child_stays_enabled(act: Run, year: Year, folder: Path) -> None:
    year.add(Pupil("88", "Autre", "FAMILLEAA", parents=(("9100000", "10", "1"),)))
    imported(act, year.write(folder))
    day = folder.parent / "delta"
    write(day / "ENT_Delta_Eleve_0000.xml", [delete("Eleve", "88")])
    write(day / "ENT_Delta_PersRelEleve_0000.xml", [delete("PersRelEleve", "9150000")])
    imported(act, day)
    assert account("9100000").disabled_at is None
    assert account("9150000").disabled_at is not None


@pytest.mark.row("R-06")
def test_a_shifted_column_a_foreign_file_and_a_deleting_delta_are_stopped(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    before = state()
    keys = list(year.pupils)
    parents = [year.pupils[key].parents for key in keys]
    for key, of_next in zip(keys, [*parents[1:], parents[0]], strict=True):
        year.change(key, parents=of_next)
    answer = act("roster", "import", str(year.write(folder)))
    assert answer.code == 1
    assert "24 of 24 ties between a guardian and a child would end" in answer.err
    everybody = [add("PersRelEleve", "77", Parent("77", "Ogre", "TOUT").attributes())]
    many = [
        add("Eleve", f"7{n}", Pupil(f"7{n}", "E", "F", parents=(("77", "10", "1"),)).attributes()) for n in range(21)
    ]
    write(folder.parent / "ogre" / "ENT_Complet_PersRelEleve_0000.xml", everybody)
    write(folder.parent / "ogre" / "ENT_Complet_Eleve_0000.xml", many)
    write(folder.parent / "ogre" / "ENT_Complet_Eleve_0001.xml", [])
    assert act("roster", "import", str(folder.parent / "ogre")).code == 1
    gone = [delete("PersRelEleve", key) for key in year.parents]
    write(folder.parent / "delta" / "ENT_Delta_PersRelEleve_0000.xml", gone)
    answer = act("roster", "import", str(folder.parent / "delta"))
    assert "24 of 24 accounts would be disabled" in answer.err
    assert state() == before


def test_a_folder_named_delta_is_read_as_a_complete_file(act: Run, tmp_path: Path) -> None:
    folder = by_names(tmp_path / "college_delta", "MARTIN;Marie;1 rue A;59990;R;;MARTIN;Léa;CM2")
    assert imported(act, folder, "--school", COLLEGE)["mode"] == "complete"


def test_a_delta_limited_to_one_school_is_refused(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    day = folder.parent / "delta"
    write(day / "ENT_Delta_Eleve_0000.xml", [delete("Eleve", "9200000")])
    assert "delta_of_one_school" in codes(imported(act, day, "--school", LYCEE, code=1))


def test_a_parent_with_a_doubtful_record_can_lose_the_tie(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    year.change("9200000", parents=(("9100000", "10", "1"),))
    year.write(folder)
    twice = Year(schools=()).add(Parent("9150000", "Pèrea", "FAMILLEAA", civility="M.", city="Ailleurs"))
    twice.write(folder, "Complet_20260902")
    imported(act, folder)
    assert children_of("9150000") == []


def test_an_unreadable_link_removes_no_tie(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    year.change("9200000", parents=(("9100000", "10", "1"), ("9150000", "20", "?")))
    assert "bad_link" in codes(imported(act, year.write(folder)))
    assert children_of("9150000") == ["Enfanta"]


def test_control_characters_are_removed_from_names(act: Run, year: Year, folder: Path) -> None:
    year.change("9100000", given="Mère\u202ea\u2028", family="FAMILLEAA")
    imported(act, year.write(folder))
    assert account("9100000").given_name == "Mèrea"


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
    people = db.session.scalars(select(Account).where(Account.family_name == "LEROY", ~Account.has_left))
    return {person.given_name: [child.birth_date for child in person.children] for person in people}


def malos() -> dict[date | None, Child]:
    db.session.rollback()
    db.session.expire_all()
    present = select(Child).where(Child.given_name == "Malo", Child.left_at.is_(None))
    return {child.birth_date: child for child in db.session.scalars(present)}


BOTH = (ELDER, "CP A"), (YOUNGER, "CP B")


@pytest.mark.row("R-08")
def test_the_class_in_a_guardians_row_tells_which_pupil_it_means(act: Run, folder: Path) -> None:
    for created in (3, 0):
        report = imported(act, onde(folder, BOTH, (ANNE, PAUL)), "--school", COLLEGE)
        assert "student_key_twice" not in codes(report)
        assert (report["students"]["read"], report["students"]["created"]) == (3, created)
    assert ties() == {"Anne": [ELDER], "Paul": [YOUNGER]}
    first, second = malos().values()
    assert first.student_id != second.student_id
    assert not any((child.roster_key or "").endswith(child.student_id) for child in (first, second))


@pytest.mark.row("R-08")
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


@pytest.mark.row("R-08")
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


@pytest.mark.row("R-08")
def test_a_pupil_who_gets_a_date_stays_the_same_and_a_file_without_dates_wipes_none(act: Run, folder: Path) -> None:
    for day, kept in (("", None), (str(ELDER), ELDER), ("", ELDER)):
        report = imported(act, csv(folder, [(day, "6A")], [("Anne", "", "6A", "")]), "--school", COLLEGE)
        assert (report["students"]["created"], report["guardians"]["created"]) == ((0, 0) if kept else (2, 2))
        assert ties() == {"Anne": [kept]}
    imported(act, csv(folder, [("", "6A")], [("Anne", "", "6A", str(ELDER))]), "--school", COLLEGE)
    assert ties() == {"Anne": [ELDER]}
    assert len(db.session.scalars(select(Child.id)).all()) == 2


@pytest.mark.row("R-08")
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


@pytest.mark.row("R-08")
def test_the_same_name_with_another_date_is_another_pupil(act: Run, folder: Path) -> None:
    imported(act, onde(folder, BOTH[:1], (ANNE,)), "--school", COLLEGE)
    former = malos()[ELDER].id
    report = imported(act, onde(folder, BOTH[1:], (PAUL,)), "--school", COLLEGE, "--force")
    assert (report["students"]["created"], report["students"]["left"]) == (1, 1)
    assert (ties(), list(malos())) == ({"Paul": [YOUNGER]}, [YOUNGER])
    assert malos()[YOUNGER].id != former


@pytest.mark.row("R-08")
def test_a_corrected_date_keeps_the_pupil_and_the_ties_and_a_later_namesake_is_new(act: Run, folder: Path) -> None:
    imported(act, onde(folder, [(YOUNGER, "CP A")], (ANNE,)), "--school", COLLEGE)
    known = malos()[YOUNGER].id
    dispute(children=[known])
    db.session.commit()
    imported(act, onde(folder, BOTH[:1], (ANNE,)), "--school", COLLEGE)
    assert (malos()[ELDER].id, ties()) == (known, {"Anne": []})
    imported(act, onde(folder, BOTH, (ANNE, PAUL)), "--school", COLLEGE)
    assert malos()[ELDER].id == known
    assert ties() == {"Anne": [], "Paul": [YOUNGER]}
    for parents in ((ANNE, PAUL), (PAUL, ANNE)):
        assert imported(act, onde(folder, BOTH, parents), "--school", COLLEGE)["students"]["created"] == 0


@pytest.mark.row("R-08")
def test_the_date_of_a_pupil_with_a_number_is_not_stored(act: Run, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "eleves.csv").write_text("id;nom;prenom;classe;dateNaissance\n7;LEROY;Malo;6A;14/09/2017\n")
    (folder / "responsables.csv").write_text("id;nom;prenom;idenfant\n8;LEROY;Anne;7\n")
    for created in (1, 0):
        report = imported(act, folder, "--school", COLLEGE)
        assert (report["students"]["created"], report["students"]["changed"]) == (created, 0)
        assert ties() == {"Anne": [None]}
