"""Z-09: an activation that is killed at any statement."""

import json
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from tests import forked, killing
from tests.activation.steps import ACTIVATION, EMAIL, SENT, AccountState, fill_in, open_activation, read_state
from tests.builders import Build
from tests.pages import heading

_MOST = {killing.WRITES: 25, killing.STATEMENTS: 60}
"""More accounts than there are points."""


def _untouched(state: AccountState) -> bool:
    return not state.active and state.letter and (state.links, state.mails, state.completions) == (0, 0, 0)


def _whole(state: AccountState) -> bool:
    return (
        state.active
        and not state.letter
        and state.pending == EMAIL
        and (state.links, state.mails, state.completions) == (1, 1, 1)
    )


@pytest.mark.parametrize("points", killing.POINTS)
@pytest.mark.row("Z-09")
def test_killed_at_any_statement_the_account_is_untouched_or_active_with_its_mail(
    app: Flask, build: Build, tmp_path: Path, points: str
) -> None:
    child = build.child()
    usernames = [build.never_activated(children=[child]).username for _ in range(_MOST[points])]
    order = (build.settings.database_url, str(tmp_path), points, *usernames)
    done = forked.run("tests.activation.killed", *order, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    story = json.loads(done.stdout)
    died_at = [chapter["killed_at"] for chapter in story]
    assert died_at[-1] == "", "the last one lived"
    assert all(died_at[:-1])
    assert any(text.startswith("UPDATE account") for text in died_at), died_at
    assert any(text.startswith("INSERT INTO outbox") for text in died_at), died_at
    assert "COMMIT" in died_at
    if build.settings.database_url.startswith("postgresql"):
        assert any(text.startswith("WITH") for text in died_at), "prepared statements are points too"

    states = []
    for n, chapter in enumerate(story):
        account = db.session.scalars(select(Account).where(Account.username == chapter["username"])).one()
        state = read_state(account.id)
        assert _untouched(state) or _whole(state), (chapter["killed_at"], state)
        states.append(state.active)
        if not state.active:
            browser = app.test_client()
            browser.environ_base["REMOTE_ADDR"] = f"203.0.113.{n}"
            page = open_activation(browser, account)
            assert heading(page) == ACTIVATION, "the letter is still good"
            assert heading(fill_in(browser, page, mail=f"p{n}@exemple.fr")) == SENT
    assert states == sorted(states), "once kept, kept"
    assert True in states[:-1], "somebody died after the commit"
    assert False in states
