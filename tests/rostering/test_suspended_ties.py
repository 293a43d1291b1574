"""An import leaves suspensions as they are."""

from pathlib import Path

import pytest
from sqlalchemy import select

from idp.accounts.suspensions.models import Suspension
from idp.clock import now
from idp.db import db
from idp.operations.helpdesk import suspension
from idp.operations.helpdesk.suspension import Decision
from tests.commands.conftest import Run
from tests.rostering.aaf_school import Year
from tests.rostering.seen import account, children_of, imported
from tests.rostering.test_disputed_ties import FATHER, set_ties

pytestmark = pytest.mark.row("R-13")


def test_an_import_keeps_a_suspended_tie_and_a_suspended_account(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    suspension.suspend(account(FATHER).id, Decision(reason="jugement"))
    before = children_of(FATHER)
    imported(act, folder)
    db.session.expire_all()
    assert children_of(FATHER) == before
    assert account(FATHER).is_suspended_at(now())
    assert len(db.session.scalars(select(Suspension).where(Suspension.ended_at.is_(None))).all()) == 2


def test_a_suspended_tie_that_a_file_brings_back_is_still_suspended(act: Run, year: Year, folder: Path) -> None:
    imported(act, year.write(folder))
    [tie, *_] = account(FATHER).guardianships
    suspension.suspend(account(FATHER).id, Decision(reason="jugement", child=tie.child_id))
    set_ties(FATHER, ended_at=now())
    imported(act, folder)
    db.session.expire_all()
    [tie, *_] = account(FATHER).guardianships
    assert tie.is_unended
    assert not tie.holds_at(now())
