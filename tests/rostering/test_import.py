"""`idp roster import` over a school year: new accounts, changes, people who leave or return."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from idp.accounts.models import Account, Child
from idp.clock import now
from idp.db import db
from idp.rostering.models import ImportBatch, ImportIssue
from idp.sessions.models import Session
from tests.builders import Build, commit
from tests.commands.conftest import Run, read_json
from tests.rostering.aaf_school import COLLEGE, LYCEE, Parent, Pupil, Year, delete, modify, write
from tests.rostering.seen import account, children_of, codes, disable, imported, state

SUMS = ("students", "guardians", "accounts")
NOBODY = {"read": 0, "created": 0, "changed": 0, "unchanged": 0, "left": 0, "refused": 0, "leaving": 0}


def test_the_first_complete_file_creates_an_account_for_each_representative(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    report = imported(act, folder)
    assert (report["format"], report["mode"], report["schools"]) == ("aaf", "complete", [COLLEGE, LYCEE])
    assert report["students"] == NOBODY | {"read": 12, "created": 12}
    assert report["guardians"] == NOBODY | {"read": 24, "created": 24}
    assert report["accounts"] == {"total": 24, "created": 24, "disabled": 0}
    assert report["issues"] == []
    mother = account("9100000")
    assert (mother.family_name, mother.given_name, mother.civility) == ("FAMILLEAA", "Mèrea", "Mme")
    assert (mother.address_lines, mother.postcode, mother.city) == (["0 rue du Test"], "59990", "Rivebelle")
    assert (mother.join_key, mother.address_diffusion) == ("9100000", True)
    assert (mother.provisional_hash, mother.activated_at) == (None, None)
    [child] = mother.children
    assert (child.school.uai, child.student_id, child.class_name) == (LYCEE, "79200000", "6EME1")


def test_a_check_reports_like_an_import_and_writes_nothing(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    before = state()
    report = imported(act, folder, command="check")
    assert (report["batch"], report["guardians"]["created"]) == (None, 24)
    assert state() == before
    assert db.session.scalars(select(ImportBatch)).all() == []
    done = imported(act, folder)
    assert [done[name] for name in SUMS] == [report[name] for name in SUMS]


@pytest.mark.row("R-05")
def test_the_same_file_twice_changes_nothing(act: Run, year: Year, folder: Path) -> None:
    year.write(folder)
    imported(act, folder)
    before, updated = state(), dict(db.session.execute(select(Account.id, Account.updated_at)).all())
    report = imported(act, folder)
    assert report["students"] == NOBODY | {"read": 12, "unchanged": 12}
    assert report["guardians"] == NOBODY | {"read": 24, "unchanged": 24}
    assert report["accounts"] == {"total": 24, "created": 0, "disabled": 0}
    assert state() == before
    assert dict(db.session.execute(select(Account.id, Account.updated_at)).all()) == updated


def test_an_import_changes_only_the_changed_records(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    username = account("9100001").username
    year.change("9100001", family="NOUVEAUNOM", street="9 rue Neuve", postcode="59991", city="Valdoux")
    year.change("9200001", group="5EME2")
    year.change("9200002", uai=COLLEGE)
    report = imported(act, year.write(folder))
    assert report["students"] == NOBODY | {"read": 12, "changed": 2, "unchanged": 10}
    assert report["guardians"] == NOBODY | {"read": 24, "changed": 1, "unchanged": 23}
    mother = account("9100001")
    assert (mother.username, mother.family_name, mother.city) == (username, "NOUVEAUNOM", "Valdoux")
    assert [child.class_name for child in mother.children] == ["5EME2"]
    assert [child.school.uai for child in account("9100002").children] == [COLLEGE]


def test_accounts_are_created_for_representatives_of_pupils_in_a_class(act: Run, year: Year, folder: Path) -> None:
    year.add(
        Parent("1", "Charge", "AAA"),
        Parent("2", "Contact", "BBB"),
        Parent("3", "Sans", "CLASSE"),
        Parent("4", "Sans", "ENFANT"),
        Pupil("10", "Un", "AAA", parents=(("1", "90", "2"), ("2", "90", "3"))),
        Pupil("11", "Deux", "CLASSE", group="", parents=(("3", "10", "1"),)),
    )
    report = imported(act, year.write(folder))
    assert report["guardians"] == NOBODY | {"read": 28, "created": 24, "refused": 4}
    assert report["students"] == NOBODY | {"read": 14, "created": 13, "refused": 1}
    issue_keys = {(issue["code"], issue["key"]) for issue in report["issues"]}
    assert issue_keys == {
        ("no_legal_authority", "aaf:1"),
        ("no_legal_authority", "aaf:2"),
        ("no_open_student", "aaf:3"),
        ("no_student", "aaf:4"),
        ("student_without_class", "aaf:11"),
        ("student_without_representative", "aaf:10"),
    }
    assert all(issue["severity"] == "warning" and issue["line"] > 0 for issue in report["issues"])


def test_a_setting_creates_accounts_for_people_in_charge(
    act: Run, year: Year, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    year.add(Parent("1", "Charge", "AAA"), Parent("2", "Contact", "BBB"))
    year.add(Pupil("10", "Un", "AAA", parents=(("1", "90", "2"), ("2", "90", "3"))))
    monkeypatch.setenv("IDP_ROSTER_PERSON_IN_CHARGE", "true")
    assert imported(act, year.write(folder))["accounts"]["created"] == 25
    assert account("1").guardianships[0].authority == 2


def test_a_parent_absent_from_the_file_is_disabled_and_not_removed(
    act: Run, year: Year, folder: Path, build: Build
) -> None:
    imported(act, year.write(folder))
    del year.pupils["9200000"], year.parents["9100000"], year.parents["9150000"]
    report = imported(act, year.write(folder), "--force")
    assert report["students"] == NOBODY | {"read": 11, "unchanged": 11, "left": 1}
    assert report["guardians"] == NOBODY | {"read": 22, "unchanged": 22, "left": 2}
    assert report["accounts"] == {"total": 22, "created": 0, "disabled": 2}
    gone = account("9100000")
    assert (gone.has_left, gone.disabled_at is None) == (True, False)
    assert children_of("9100000") == []
    assert db.session.scalars(select(Child).where(Child.left_at.is_not(None))).one().given_name == "Enfanta"


def test_a_returning_parent_keeps_identifier_and_password(act: Run, year: Year, folder: Path, build: Build) -> None:
    imported(act, year.write(folder))
    username = account("9100000").username
    commit(update(Account).where(Account.username == username).values(password_hash=build.hash("x")))
    absent = small_absence(year)
    imported(act, year.write(folder), "--force")
    year.add(*absent)
    report = imported(act, year.write(folder))
    assert report["guardians"] == NOBODY | {"read": 24, "changed": 2, "unchanged": 22}
    back = account("9100000")
    assert (back.username, back.has_left, back.disabled_at) == (username, False, None)
    assert back.password_hash == build.hash("x")
    assert children_of("9100000") == ["Enfanta"]


def small_absence(year: Year) -> tuple[Pupil | Parent, ...]:
    return (year.pupils.pop("9200000"), year.parents.pop("9100000"), year.parents.pop("9150000"))


def test_an_account_disabled_by_an_operator_stays_disabled_when_the_family_returns(
    act: Run, year: Year, folder: Path
) -> None:
    imported(act, year.write(folder))
    disable(account("9100000"))
    absent = small_absence(year)
    imported(act, year.write(folder), "--force")
    year.add(*absent)
    imported(act, year.write(folder))
    assert account("9100000").disabled_at is not None
    assert account("9150000").disabled_at is None


def test_a_parent_who_leaves_is_signed_out_everywhere(act: Run, year: Year, folder: Path, build: Build) -> None:
    imported(act, year.write(folder))
    holder = account("9100000")
    moment = now()
    db.session.add(
        Session(
            digest=b"x" * 32, sid="s" * 22, account_id=holder.id, generation=holder.generation, auth_time=moment,
            amr=["pwd"], last_seen_at=moment, expires_at=moment + timedelta(days=365),
        )
    )  # fmt: skip
    db.session.commit()
    small_absence(year)
    imported(act, year.write(folder), "--force")
    db.session.rollback()
    assert db.session.scalars(select(Session.ended_at)).one() is not None
    assert account("9100000").generation == 1


@pytest.mark.row("R-06")
def test_an_import_without_half_of_the_parents_is_stopped(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    before = state()
    for number in range(6):
        year.pupils.pop(str(9200000 + number))
    year.add(Parent("77", "Nouvelle", "FAMILLE"), Pupil("78", "Petit", "FAMILLE", parents=(("77", "10", "1"),)))
    assert imported(act, year.write(folder), code=1)["accounts"]["disabled"] == 12
    assert state() == before, "not even the new family was written"
    assert db.session.scalars(select(ImportBatch.state).order_by(ImportBatch.started_at)).all() == ["done", "stopped"]
    answer = act("roster", "check", str(folder))
    assert answer.code == 1
    assert "12 of 24 accounts would be disabled, more than 5 % (use --force if that is right)" in answer.err
    assert imported(act, folder, "--force")["accounts"] == {"total": 13, "created": 1, "disabled": 12}


def test_an_emptied_school_stops_a_large_import(act: Run, folder: Path) -> None:
    year = Year()
    for number in range(440):
        uai = LYCEE if number < 20 else COLLEGE
        year.add(Parent(f"1{number:04}", f"G{number}", f"N{number}"))
        year.add(Pupil(f"2{number:04}", "E", f"N{number}", uai=uai, parents=((f"1{number:04}", "10", "1"),)))
    imported(act, year.write(folder))
    for number in range(15):
        year.pupils.pop(f"2{number:04}")
    answer = act("roster", "import", str(year.write(folder)))
    assert (answer.code, f"15 of the 20 accounts of {LYCEE} would be disabled" in answer.err) == (1, True)


@pytest.mark.row("R-07", "Z-06")
def test_a_confirmed_email_is_never_overwritten(act: Run, year: Year, folder: Path) -> None:
    year.change("9100000", mail="fichier@exemple.fr")
    imported(act, year.write(folder))
    assert account("9100000").school_email == "fichier@exemple.fr"
    own = {"email": "parent@exemple.fr", "email_confirmed_at": now(), "mailbox": "parent@exemple.fr"}
    commit(update(Account).where(Account.roster_key == "aaf:9100000").values(**own))
    year.change("9100000", mail="intrus@exemple.fr")
    imported(act, year.write(folder))
    parent = account("9100000")
    assert (parent.email, parent.school_email) == ("parent@exemple.fr", "intrus@exemple.fr")


@pytest.mark.row("R-08")
def test_repeated_keys_and_keys_that_differ_in_case_are_refused(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("AB1", "Anne", "DUPONT"), Parent("ab1", "Berthe", "MARTIN"))
    year.add(Pupil("10", "Un", "DUPONT", parents=(("AB1", "10", "1"), ("ab1", "10", "1"))))
    year.write(folder)
    more = Year(parents={"9100000": Parent("9100000", "Autre", "PERSONNE")}, schools=())
    more.write(folder / "suite", "Complet_20260902")
    report = imported(act, folder)
    assert report["guardians"] == NOBODY | {"read": 27, "created": 23, "refused": 4}
    assert sorted(issue["code"] for issue in report["issues"] if issue["severity"] == "error") == [
        "guardian_key_case", "guardian_key_case", "guardian_key_twice", "guardian_key_twice",
    ]  # fmt: skip
    keys = set(db.session.scalars(select(Account.roster_key)))
    assert not keys & {"aaf:AB1", "aaf:ab1", "aaf:9100000"}


def test_near_duplicates_are_proposed_and_never_merged(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("501", "Anne-Marie", "D’ALMEIDA"), Parent("502", "ANNE MARIE", "d'Almeida"))
    year.add(Pupil("10", "Un", "DUPONT", parents=(("501", "10", "1"),)))
    year.add(Pupil("11", "Deux", "DUPONT", parents=(("502", "10", "1"),)))
    report = imported(act, year.write(folder))
    assert [(issue["code"], issue["key"]) for issue in report["issues"]] == [
        ("near_duplicate", "aaf:501"), ("near_duplicate", "aaf:502"),
    ]  # fmt: skip
    assert report["accounts"]["created"] == 26
    year.add(Parent("503", "Anne-Marie", "D'Almeida"), Pupil("12", "Trois", "DUPONT", parents=(("503", "10", "1"),)))
    assert [issue["key"] for issue in imported(act, year.write(folder))["issues"]] == ["aaf:503"]


def test_a_second_source_for_a_school_is_refused(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    csv = folder.parent / "autres.csv"
    csv.write_text("id;nom;prenom;nomenfant;prenomenfant;classeenfant\n1;LEROY;Noémie;LEROY;Malo;6e 1\n")
    assert f"{COLLEGE} is fed by aaf files" in act("roster", "import", str(csv), "--school", COLLEGE).err


def test_issues_are_stored_with_the_import(act: Run, year: Year, folder: Path) -> None:
    year.add(Parent("4", "=SANS", "ENFANT"))
    report = imported(act, year.write(folder))
    batch = db.session.scalars(select(ImportBatch)).one()
    assert (str(batch.id), batch.state, batch.counts["guardians"]["refused"]) == (report["batch"], "done", 1)
    [issue] = db.session.scalars(select(ImportIssue)).all()
    assert (issue.code, issue.key, issue.line) == ("no_student", "aaf:4", report["issues"][0]["line"])
    assert read_json(act, "roster", "show", report["batch"])["issues"] == report["issues"]
    assert read_json(act, "roster", "list")[0]["batch"] == report["batch"]
    out = folder.parent / "problemes.csv"
    assert act("roster", "show", report["batch"], "--issues", str(out)).code == 0
    assert "no_student" in out.read_text(encoding="utf-8-sig")


def test_a_delta_adds_changes_moves_and_removes(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    day = folder.parent / "delta"
    pupils = [
        modify("Eleve", "9200001", {"ENTEleveClasses": ["52002$2DE4"], "ENTPersonStructRattach": ["52002"]}),
        delete("Eleve", "9200002"),
    ]
    sister = Pupil("9300001", "Sœur", "FAMILLEBA", parents=(("9100001", "10", "1"), ("9150001", "20", "1")))
    Year(pupils={"9300001": sister}, schools=()).write(day, "Delta_20261001")
    write(day / "ENT_0599001N_Delta_20261001_Eleve_0001.xml", pupils)
    write(
        day / "ENT_0599001N_Delta_20261001_PersRelEleve_0001.xml",
        [
            modify("PersRelEleve", "9150001", {"ENTPersonAdresse": ["3 quai du Halage$$"]}),
            modify("PersRelEleve", "404", {"ENTPersonVille": ["Ailleurs"]}),
            delete("PersRelEleve", "9150003"),
        ],
    )
    report = imported(act, day)
    assert report["mode"] == "delta"
    assert report["students"] == NOBODY | {"read": 3, "created": 1, "changed": 2, "leaving": 1, "left": 1}
    assert report["guardians"] == NOBODY | {"read": 3, "changed": 2, "leaving": 1, "left": 3, "refused": 1}
    assert sorted(codes(report)) == ["change_of_unknown", *["guardian_left"] * 3]
    assert children_of("9100001") == ["Enfantb", "Sœur"]
    assert {child.school.uai for child in account("9100001").children} == {COLLEGE, LYCEE}
    assert account("9150001").address_lines == ["3 quai du Halage"]
    assert (account("9150001").given_name, account("9150001").city) == ("Pèreb", "Rivebelle")
    assert account("9150003").disabled_at is not None
    assert account("9100003").disabled_at is None
    assert account("9100002").disabled_at is not None
    assert account("9100000").disabled_at is None, "a Delta says nothing of those whom it does not name"


def test_a_pupil_who_changed_school_stays_in_the_new_school(act: Run, tmp_path: Path) -> None:
    head = "id;nom;prenom;classe;datedesortie;persreleleve\n"
    people = "id;nom;prenom\n5;LEROY;Noémie\n"
    for uai, row in ((COLLEGE, "7;LEROY;Malo;6e 1;;5\n8;LEROY;Tom;6e 1;;5\n"), (LYCEE, "9;LEROY;Zoé;2de;;5\n")):
        folder = tmp_path / uai
        folder.mkdir()
        (folder / "eleves.csv").write_text(head + row)
        (folder / "responsables.csv").write_text(people)
        imported(act, folder, "--school", uai)
    moved = db.session.scalars(select(Child).where(Child.given_name == "Malo")).one()
    moved.school_id = db.session.scalars(select(Child.school_id).where(Child.given_name == "Zoé")).one()
    db.session.commit()
    (tmp_path / COLLEGE / "eleves.csv").write_text(head + "7;LEROY;Malo;6e 1;01/09/2026;5\n8;LEROY;Tom;6e 1;;5\n")
    assert imported(act, tmp_path / COLLEGE, "--school", COLLEGE)["students"]["left"] == 0
    db.session.expire_all()
    assert db.session.scalars(select(Child.left_at).where(Child.given_name == "Malo")).one() is None


def test_an_invalid_email_is_dropped_and_the_person_imported(act: Run, year: Year, folder: Path) -> None:
    year.change("9100000", mail="pas d'adresse").change("9100001", mail="mere@exemple.fr")
    report = imported(act, year.write(folder))
    assert [(issue["code"], issue["key"]) for issue in report["issues"]] == [("bad_mail", "aaf:9100000")]
    assert account("9100000").school_email is None
    assert account("9100001").school_email == "mere@exemple.fr"


@pytest.mark.row("K-04")
def test_a_family_that_moved_belongs_to_its_new_school_only(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    mother, father = account("9100000").username, account("9150000").username
    year.change("9200000", uai=COLLEGE, parents=(("9100000", "10", "1"),))
    imported(act, year.write(folder))
    assert act("account", "show", mother, "--school", COLLEGE).code == 0
    assert act("account", "show", mother, "--school", LYCEE).code == 1
    assert act("account", "show", father, "--school", COLLEGE).code == 1, "he is no guardian any more"
    assert "disabled, no child in a school any more" in act("account", "show", father).out


def test_a_refused_record_leaves_a_known_family_unchanged(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    before = state()
    for code, pupil, parent in (("too_long", "x" * 201, "y" * 201), ("foreign_letter", "Enf\u0430nta", "\u0424AM")):
        year.change("9200000", given=pupil).change("9100001", family=parent)
        report = imported(act, year.write(folder))
        assert [(issue["code"], issue["line"] > 0) for issue in report["issues"]] == [(code, True)] * 2
        assert (report["students"]["refused"], report["students"]["left"]) == (1, 0)
        assert (report["guardians"]["refused"], report["guardians"]["left"]) == (1, 0)
        assert state() == before
