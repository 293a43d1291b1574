"""`idp letters status`, and the lists of a class: the progress of each class."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from idp.accounts import school_notices
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk.statistics import figures
from idp.families.standing import Group
from idp.letters import class_lists
from idp.letters.class_lists import Reminded
from idp.operations import letter_counts as counts
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import dispute_tie, suspend
from tests.commands.conftest import Answer, Run, check_refusal, read_json
from tests.commands.families import link, parent, pupil

NUMBERS = ("accounts", "printed", "activated", "waiting", "without_mail", "expired", "never_printed", "disputed")


def schools(act: Run, *options: str) -> Any:
    return read_json(act, "letters", "status", *options)["schools"]


def counted(act: Run, *options: str) -> dict[tuple[str, str], tuple[int, ...]]:
    rows = [row for school in schools(act, *options) for row in school["classes"]]
    return {(row["uai"], row["class"]): tuple(row[name] for name in NUMBERS) for row in rows}


@pytest.fixture
def families(build: Build) -> None:
    """Every state of an account, in two classes of a school, and another school."""
    sixth, second = pupil(build, "6e 1"), pupil(build, "6e 10")
    early = pupil(build, "6e 2")
    build.active(children=[sixth])
    build.active(children=[sixth], email=None, pending_email="a@exemple.fr")
    build.active(children=[sixth], email=None)
    build.never_activated(children=[sixth], generation=1)
    build.never_activated(children=[sixth], provisional_expires_at=now() - timedelta(days=1), generation=1)
    parent(build, sixth, generation=1)  # the letter was reported: it is no longer valid
    parent(build, sixth, second)  # counted in both classes, and once in the school
    parent(build, early)
    parent(build, second)
    parent(build, sixth, disabled_at=now())
    disputed, gone = parent(build, sixth), parent(build, sixth)
    link(gone, sixth).ended_at = now()
    dispute_tie(link(disputed, sixth))
    parent(build, pupil(build, "2de 7", LYCEE), sixth)
    left = pupil(build, "6e 1")
    parent(build, left)
    left.left_at = now()
    db.session.commit()


@pytest.mark.usefixtures("families")
def test_each_account_counts_once_in_each_class_and_state(act: Run) -> None:
    counts = counted(act)
    assert counts == {
        (COLLEGE, "6e 1"): (9, 5, 3, 1, 1, 1, 3, 1),
        (COLLEGE, "6e 2"): (1, 0, 0, 0, 0, 0, 1, 0),
        (COLLEGE, "6e 10"): (2, 0, 0, 0, 0, 0, 2, 0),
        (LYCEE, "2de 7"): (1, 0, 0, 0, 0, 0, 1, 0),
    }
    assert [name for _, name in counts] == ["6e 1", "6e 2", "6e 10", "2de 7"]
    assert counted(act, "--school", LYCEE.lower()) == {(LYCEE, "2de 7"): (1, 0, 0, 0, 0, 0, 1, 0)}


def test_many_schools_are_counted_in_batches(act: Run, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "_SCHOOLS_AT_ONCE", 2)
    uais = [f"05990{number:02}X" for number in range(5)]
    for uai in reversed(uais):
        parent(build, pupil(build, "6e 1", uai))
    assert [uai for uai, _ in counted(act)] == uais


def test_status_counts_open_notices_and_shared_mailboxes(act: Run, build: Build) -> None:
    malo, lila = pupil(build, "6e 1"), pupil(build, "2de 7", LYCEE)
    family = [build.active(children=[malo], email="famille@exemple.fr") for _ in range(2)]
    neighbours = [build.active(children=[malo], email="Relais@exemple.fr") for _ in range(2)]
    neighbours += [build.active(children=[lila], email="relais@exemple.fr")]
    build.active(children=[lila], email="relais@exemple.fr", disabled_at=now())
    for kind in (Kind.LETTER_DOUBT, Kind.SHARED_MAILBOX):
        school_notices.add(kind, family[0].id, [build.school().id])
    school_notices.add(Kind.LETTER_DOUBT, neighbours[0].id, [build.school(LYCEE).id])
    school_notices.settle(neighbours[0].id, by="somebody")
    db.session.commit()
    counts = {school["uai"]: (school["notices_open"], school["shared_mailboxes"]) for school in schools(act)}
    assert counts == {COLLEGE: (2, 1), LYCEE: (0, 1)}
    out = act("letters", "status", "--school", COLLEGE).out
    assert "open notices: 2, mailboxes of more than two accounts: 1" in out


@pytest.mark.usefixtures("families")
def test_the_command_and_the_board_of_classes_count_the_same(act: Run, build: Build) -> None:
    rows, whole = figures.by_class(build.school().id)
    status = {row["class"]: row for row in next(iter(schools(act, "--school", COLLEGE)))["classes"]}
    assert {row.key: row.accounts for row in rows} == {name: row["accounts"] for name, row in status.items()}
    for row in rows:
        counted = dict(zip(figures.STATES, row.counts, strict=True))
        line = status[row.key]
        assert line["activated"] == row.activated + row.waiting
        assert (line["expired"], line["disputed"]) == (counted[Group.EXPIRED], counted[Group.DISPUTED])
    line = next(line for line in act("letters", "status", "--school", COLLEGE).out.splitlines() if "whole" in line)
    assert line.split()[:3] == ["whole", "school", str(whole.accounts)]


def test_status_is_empty_without_accounts_and_refuses_an_unknown_school(act: Run, build: Build) -> None:
    build.school()
    for options, where in ((("--school", COLLEGE), "this school"), ((), "any school")):
        assert counted(act, *options) == {}
        note = f"no pupil of {where} has an account: import them with `idp roster import`\n"
        assert act("letters", "status", *options) == Answer(0, "", note)
    check_refusal(act("letters", "status", "--school", "0599003R"), "Error: no school 0599003R\n")


@pytest.mark.usefixtures("families")
def test_a_file_gets_plain_columns(act: Run) -> None:
    lines = act("letters", "status", "--school", COLLEGE).out.splitlines()
    assert lines[0] == "0599001N  Collège des Tilleuls"
    words = "class accounts printed activated waiting without mail expired never printed disputed"
    assert " ".join(lines[1].split()) == words
    assert " ".join(lines[2].split()) == "6e 1 9 5 3 1 1 1 3 1"
    assert " ".join(lines[5].split()) == "whole school 11 5 3 1 1 1 5 1"
    assert lines[6] == "  open notices: 0, mailboxes of more than two accounts: 0"
    assert len(lines) == 7


def test_control_characters_in_a_class_name_are_escaped(act: Run, build: Build) -> None:
    parent(build, pupil(build, "\x1b[2J[u]1"))
    out = act("letters", "status").out
    assert ("\x1b[2J" in out, "[u]1" in out) == (False, True)


def test_the_count_of_one_school_uses_an_index(build: Build) -> None:
    query = counts._counted([build.school().id]).compile(db.engine, compile_kwargs={"render_postcompile": True})
    with db.engine.connect() as connection:
        for way in ("seqscan", "hashjoin", "mergejoin"):  # an empty table is always scanned
            connection.execute(text(f"SET enable_{way} = off"))
        plan = connection.exec_driver_sql(f"EXPLAIN {query}", query.params).scalars().all()
        assert not [line for line in plan if "Seq Scan" in line], plan


def test_a_school_without_pupils_prints_a_note(act: Run, build: Build) -> None:
    build.school()
    for options, where in ((("--school", COLLEGE), "this school"), ((), "any school")):
        answer = act("letters", "status", *options)
        assert (answer.code, answer.out) == (0, "")
        assert answer.err == f"no pupil of {where} has an account: import them with `idp roster import`\n"


def test_the_remaining_parents_of_a_class_are_listed_by_name_alone(build: Build) -> None:
    first, second = pupil(build, "6e 1"), pupil(build, "6e 2")
    build.never_activated(children=[first], family_name="DUPONT")
    parent(build, second, family_name="ZOLA")
    build.never_activated(children=[first], family_name="PERIME", provisional_expires_at=now())
    build.active(children=[first], family_name="ACTIF")
    build.active(children=[first], family_name="ATTEND", email=None, pending_email="a@exemple.fr")
    build.active(children=[first], family_name="SANS", email=None)
    build.active(children=[first], family_name="SIGNALE", email=None, contested_at=now())
    build.never_activated(children=[first], family_name="REFAIT", first_activated_at=now())
    suspend(parent(build, first, family_name="SUSPENDU").id)
    rows = class_lists.remaining(build.school(), "6e 1")
    assert [(row.pupil, row.guardian, row.missing) for row in rows] == [
        ("LEROY Malo", "ATTEND Noémie", "email_to_confirm"),
        ("LEROY Malo", "DUPONT Noémie", "to_activate"),
        ("LEROY Malo", "PERIME Noémie", "no_letter"),
        ("LEROY Malo", "REFAIT Noémie", "to_activate_again"),
        ("LEROY Malo", "SANS Noémie", "no_email"),
    ]
    assert "ZOLA Noémie" in [row.guardian for row in class_lists.remaining(build.school(), None)]


def test_parents_whose_address_waits_are_reminded(build: Build) -> None:
    child = pupil(build, "6e 1")
    build.active(children=[child], email=None, pending_email="p@exemple.fr")
    suspend(build.active(children=[child], email=None, pending_email="s@exemple.fr").id)
    people = [person.account_id for person in class_lists.waiting(build.school(), "6e 1")]
    assert class_lists.remind(build.settings, people) == Reminded(sent=1)
    assert class_lists.remind(build.settings, people) == Reminded(too_soon=1)


def test_a_person_whose_address_has_no_room_gets_no_letter(act: Run, build: Build, tmp_path: Path) -> None:
    build.ent()
    lines = ["Très longue ligne d’adresse, escalier, bâtiment et résidence des Grands Tilleuls"] * 6
    long = [parent(build, pupil(build, "6e 1"), address_lines=lines, city="Rivebelle") for _ in range(2)]
    former = [account.provisional_hash for account in long]
    parent(build, pupil(build, "6e 1"), address_lines=["1 rue du Test"], postcode="59990", city="Rivebelle")
    answer = act("letters", "print", "--school", COLLEGE, "--out", str(tmp_path / "a.pdf"))
    assert "1 letter in " in answer.out
    names = ", ".join(sorted(account.username for account in long))
    assert f"skipped: {names} has no letter: a name or the postal address is too long for it\n" in answer.err
    db.session.expire_all()
    assert [account.provisional_hash for account in long] == former
    order = ("letters", "print", "--username", long[0].username, "--out", str(tmp_path / "b.pdf"))
    assert f"has no room on the letter of {long[0].username}" in act(*order).err
