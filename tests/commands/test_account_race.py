"""Z-05: sign-ins while an operator closes the account, in separate processes."""

import json

import pytest
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from idp.sessions.models import Session
from tests import forked
from tests.builders import Build
from tests.commands.race import ACTS


@pytest.mark.row("Z-05")
@pytest.mark.parametrize("rounds", [8, pytest.param(32, marks=pytest.mark.long)])
@pytest.mark.parametrize("act", ACTS)
def test_a_disabled_account_has_no_session(build: Build, act: str, rounds: int) -> None:
    build.ent()
    child = build.child()
    usernames = [build.active(children=[child]).username for _ in range(rounds)]
    db.session.rollback()
    order = {"database": build.settings.database_url, "act": act, "usernames": usernames}
    done = forked.run("tests.commands.race", timeout=400, stdin=json.dumps(order))
    assert done.returncode == 0, done.stderr[-3000:]
    opened = sum(json.loads(done.stdout))
    assert opened >= rounds, "there were sessions to end"
    rows = db.session.execute(
        select(Session.ended_at, Session.generation, Account.generation).join(Account, Account.id == Session.account_id)
    ).all()
    db.session.rollback()
    assert len(rows) == opened
    assert [row for row in rows if row[0] is None] == [], "not even one that only its generation would stop"
    assert [row for row in rows if row[1] == row[2]] == [], "nor one that only its end would"
