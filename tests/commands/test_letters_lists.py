"""`idp letters remaining` and `idp letters remind`: what the desk's page of classes does, by command."""

import json
from pathlib import Path

import pytest

from idp.accounts import emails
from idp.clock import now
from idp.db import db
from idp.outbox.queue import OutboxMessage
from tests.builders import COLLEGE, Build
from tests.closed import suspend
from tests.commands.conftest import Run
from tests.commands.families import parent, pupil


def test_the_remaining_parents_of_a_class_are_listed_by_name_alone(act: Run, build: Build) -> None:
    first, second = pupil(build, "6e 1"), pupil(build, "6e 2")
    held = build.never_activated(children=[first], family_name="DUPONT")
    parent(build, second, family_name="ZOLA")
    build.never_activated(children=[first], family_name="PERIME", provisional_expires_at=now())
    build.active(children=[first], family_name="ACTIF")
    build.active(children=[first], family_name="ATTEND", email=None, pending_email="a@exemple.fr")
    build.active(children=[first], family_name="SANS", email=None)
    build.active(children=[first], family_name="SIGNALE", email=None, contested_at=now())
    build.never_activated(children=[first], family_name="REFAIT", first_activated_at=now())
    suspend(parent(build, first, family_name="SUSPENDU").id)
    answer = act("letters", "remaining", "--school", COLLEGE, "--class", "6e 1", "--json")
    assert [(row["pupil"], row["guardian"], row["state"]) for row in json.loads(answer.out)] == [
        ("LEROY Malo", "ATTEND Noémie", "email_to_confirm"),
        ("LEROY Malo", "DUPONT Noémie", "to_activate"),
        ("LEROY Malo", "PERIME Noémie", "no_letter"),
        ("LEROY Malo", "REFAIT Noémie", "to_activate_again"),
        ("LEROY Malo", "SANS Noémie", "no_email"),
    ]
    out = act("letters", "remaining", "--school", COLLEGE.lower()).out
    assert "ZOLA Noémie" in out
    assert held.username not in out


def test_parents_whose_address_waits_are_reminded_once_a_week(act: Run, build: Build) -> None:
    child = pupil(build, "6e 1")
    for number in range(2):
        build.active(children=[child], email=None, pending_email=f"p{number}@exemple.fr")
    suspend(build.active(children=[child], email=None, pending_email="s@exemple.fr").id)
    expected = (
        {"sent": 2, "too_soon": 0, "later": 0, "nothing": 0},
        {"sent": 0, "too_soon": 2, "later": 0, "nothing": 0},
    )
    for report in expected:
        assert json.loads(act("letters", "remind", "--school", COLLEGE, "--class", "6e 1", "--json").out) == report
    assert "0 reminded, 2 reminded a short time ago" in act("letters", "remind", "--school", COLLEGE).out
    assert db.session.query(OutboxMessage).filter_by(kind=emails.CONFIRM_EMAIL).count() == 2


@pytest.mark.parametrize("command", ["remaining", "remind"])
def test_an_unknown_school_or_class_is_reported(act: Run, build: Build, command: str) -> None:
    pupil(build, "6e 1")
    answer = act("letters", command, "--school", COLLEGE, "--class", "6e 9")
    assert (answer.code, f"{COLLEGE} has no class 6e 9" in answer.err) == (1, True)
    assert "no school 0599009Z" in act("letters", command, "--school", "0599009Z").err


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
