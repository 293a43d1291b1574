"""`idp account erase` when the connection breaks during COMMIT: nobody knows whether the person is erased."""

import contextvars

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from idp.accounts.models import Account
from idp.audit import log
from idp.db import UnitSession, db
from idp.families.refusals import Code
from idp.operations.personal_data import erasure
from idp.throttle.counters import ThrottleCounter
from tests.builders import Build
from tests.commands.accounts import wrong_tries
from tests.commands.conftest import Events, Run
from tests.settlements import refused

pytestmark = [pytest.mark.row("K-10"), pytest.mark.usefixtures("no_pauses")]


def _lost() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


def test_erasure_whose_answer_was_lost_is_reported_as_done(
    act: Run, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = build.active()
    key, username = account.id, account.username
    wrong_tries(username)
    commit = UnitSession.commit
    lost: list[OperationalError] = []

    def commit_and_lose_the_answer(session: UnitSession) -> None:
        erases = session.is_writing
        commit(session)
        if erases and not lost:
            lost.append(_lost())
            raise lost[0]

    monkeypatch.setattr(UnitSession, "commit", commit_and_lose_the_answer)
    done = act("account", "erase", username, "--reason", "demande", "--yes")
    assert lost
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{username} is erased: 1 account; ")
    assert done.out.count("stays: ") >= 3
    assert db.session.get(Account, key) is None
    assert [event.account_id for event in events("account.erased")] == [key]
    assert db.session.query(ThrottleCounter).count() == 0, "the counters of the identifier go too"


def test_erasure_that_was_rolled_back_is_refused_after_another_operators(
    app: Flask, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, commit = build.active().id, UnitSession.commit
    lost: list[OperationalError] = []

    def erase_as_another() -> None:
        with app.app_context(), log.acting_for(log.Origin(actor="autre")):
            erasure.erase(key, "demande")
            db.session.remove()

    def break_before_commit(session: UnitSession) -> None:
        if session.is_writing and not lost:
            lost.append(_lost())
            session.rollback()
            contextvars.Context().run(erase_as_another)
            raise lost[0]
        commit(session)

    monkeypatch.setattr(UnitSession, "commit", break_before_commit)
    with refused(Code.GONE):
        erasure.erase(key, "demande")
    assert [event.actor for event in events("account.erased")] == ["autre"]
