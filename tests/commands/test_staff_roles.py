"""`idp staff end --role` ends one role and keeps the access; `idp school set --hours` is printed in letters."""

import json

from idp.accounts.models import School
from idp.audit.models import AuditEntry
from idp.db import db
from idp.desk.staff.models import StaffRole
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Run


def test_one_role_ends_and_the_other_stays(idp: Run, build: Build) -> None:
    build.school(), build.school(LYCEE)
    given = ("--name", "Inès Nouvelle", "--role", "secretary", "--school", COLLEGE, "--school", LYCEE)
    assert idp("staff", "invite", "ines@college.test", *given).code == 0
    assert idp("staff", "end", "ines@college.test", "--school", LYCEE).code == 2
    assert idp("staff", "end", "ines@college.test", "--role", "head", "--school", LYCEE).code == 1
    assert idp("staff", "end", "ines@college.test", "--role", "secretary", "--school", LYCEE).code == 0
    assert idp("staff", "end", "ines@college.test", "--role", "secretary", "--school", LYCEE).code == 1
    [person] = json.loads(idp("staff", "list", "--json").out)
    assert person["schools"] == [COLLEGE]
    assert db.session.query(StaffRole).filter(StaffRole.ended_at.is_not(None)).count() == 1
    assert db.session.query(AuditEntry).filter_by(kind="staff.role_ended").one().details["uai"] == LYCEE


def test_hours_are_set_and_removed(idp: Run, build: Build) -> None:
    build.school()
    assert idp("school", "set", COLLEGE, "--hours", "Lundi à vendredi, 8 h à 17 h").code == 0
    assert db.session.query(School).one().hours == "Lundi à vendredi, 8 h à 17 h"
    assert idp("school", "set", COLLEGE, "--hours", "").code == 0
    db.session.expire_all()
    assert db.session.query(School).one().hours == ""
    assert idp("school", "set", COLLEGE, "--hours", "x" * 81).code == 1
