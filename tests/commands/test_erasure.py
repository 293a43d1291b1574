"""`idp account erase`: its locks, a connection that breaks during COMMIT, and a request of the person meanwhile."""

import contextvars
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

import idp.db
from idp.accounts import directory
from idp.accounts.models import Account, Merge
from idp.audit import log
from idp.clock import now
from idp.db import UnitSession, db
from idp.families.refusals import Code
from idp.operations.personal_data import rights
from idp.throttle.counters import ThrottleCounter
from tests.activation.steps import activate
from tests.builders import PASSWORD, Build
from tests.charter.tokens import accept, acceptances, token_of
from tests.commands.accounts import wrong_tries
from tests.commands.conftest import Events, Run, check_refusal
from tests.pages import form_token, heading, sign_in, submit
from tests.relying_party import Attempt
from tests.settlements import refused


@pytest.fixture
def family(build: Build) -> tuple[Account, list[uuid.UUID]]:
    """An account with three merged ones, one of them over a second; and the ids of all."""
    main = build.active()

    def merged_into(other: Account) -> Account:
        return build.never_activated(disabled_at=now(), merge=Merge(into_id=other.id), children=[])

    first, second = merged_into(main), merged_into(main)
    third = merged_into(first)
    return main, [main.id, first.id, second.id, third.id]


@pytest.mark.row("K-10")
def test_erasure_locks_all_accounts_of_the_person_in_the_order_of_their_ids(
    act: Run, family: tuple[Account, list[uuid.UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, ids = family
    locked, lock_truly = [], directory.get_for_change

    def lock(account_id: uuid.UUID) -> Account | None:
        locked.append(account_id)
        return lock_truly(account_id)

    monkeypatch.setattr(directory, "get_for_change", lock)
    assert act("account", "erase", main.username, "--reason", "demande", "--yes").code == 0
    assert locked == sorted(ids)


@pytest.mark.row("K-10")
def test_account_that_is_merged_during_an_erasure_is_not_forgotten(
    act: Run, build: Build, family: tuple[Account, list[uuid.UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, ids = family
    late, lock_truly = build.never_activated(children=[]).id, directory.get_for_change

    def merge_and_lock(account_id: uuid.UUID) -> Account | None:
        with db.engine.begin() as other:
            merging = insert(Merge).values(account_id=late, into_id=main.id)
            other.execute(merging.on_conflict_do_nothing())
        return lock_truly(account_id)

    with monkeypatch.context() as patch:
        patch.setattr(directory, "get_for_change", merge_and_lock)
        check_refusal(act("account", "erase", main.username, "--reason", "demande", "--yes"), "changed meanwhile: try")
    remaining = select(Account.id).where(Account.id.in_([*ids, late]))
    assert len(db.session.scalars(remaining).all()) == 5
    assert act("account", "erase", main.username, "--reason", "demande", "--yes").code == 0
    assert db.session.scalars(remaining).all() == []


def _lost() -> OperationalError:
    return OperationalError("COMMIT", {}, Exception("server closed the connection unexpectedly"))


@pytest.mark.row("K-10")
@pytest.mark.usefixtures("no_pauses")
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
    assert (len(lost), done.code, done.err) == (1, 0, "")
    assert done.out.startswith(f"{username} is erased: 1 account; ")
    assert [event.account_id for event in events("account.erased")] == [key]
    assert db.session.query(ThrottleCounter).count() == 0, "the counters of the identifier go too"


@pytest.mark.row("K-10")
@pytest.mark.usefixtures("no_pauses")
def test_erasure_that_was_rolled_back_is_refused_after_another_operators(
    app: Flask, build: Build, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, commit = build.active().id, UnitSession.commit
    lost: list[OperationalError] = []

    def erase_as_another() -> None:
        with app.app_context(), log.acting_for(log.Origin(actor="autre")):
            rights.erase(key, "demande")
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
        rights.erase(key, "demande")
    assert [event.actor for event in events("account.erased")] == ["autre"]


EraseBeforeWrite = Callable[[uuid.UUID], None]


@pytest.fixture
def erase_before_write(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> EraseBeforeWrite:
    """Erase an account, as another process would, right before the next unit of work begins."""
    release = idp.db.release_connection

    def erase(account_id: uuid.UUID) -> None:
        with app.app_context():
            rights.erase(account_id, "demande")
            db.session.remove()

    def prepare(account_id: uuid.UUID) -> None:
        def release_and_erase() -> None:
            release()
            monkeypatch.setattr(idp.db, "release_connection", release)
            contextvars.Context().run(erase, account_id)

        monkeypatch.setattr(idp.db, "release_connection", release_and_erase)

    return prepare


@pytest.mark.row("K-10")
def test_session_that_an_erasure_removes_before_it_is_touched_is_none(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    account = build.active()
    key = account.id
    with time_machine.travel(now(), tick=False) as clock:
        sign_in(browser, "/connexion", account.username, PASSWORD)
        clock.shift(timedelta(minutes=20))
        erase_before_write(key)
        assert browser.get("/mon-compte").headers.get("Location") == "/connexion"


@pytest.mark.row("K-10")
def test_person_erased_before_the_charter_is_accepted_has_to_sign_in(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    ent, account = build.ent(charter="provider"), build.active()
    build.publish(ent, "1")
    page = sign_in(browser, ent.url(Attempt()), account.username, PASSWORD)
    erase_before_write(account.id)
    assert heading(submit(browser, page, accepte="y", version="1")) == "Connexion"
    assert acceptances() == []


@pytest.mark.row("K-10")
def test_access_token_of_a_person_erased_before_the_acceptance_is_invalid(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    ent, account = build.ent(charter="ent"), build.active()
    build.publish(ent, "1")
    token = token_of(browser, ent, account)["access_token"]
    erase_before_write(account.id)
    refused = accept(browser, token, "1")
    assert (refused.status_code, refused.get_json()["error"]) == (401, "invalid_token")
    assert acceptances() == []


@pytest.mark.row("K-10")
def test_interaction_of_a_person_erased_before_the_link_is_sent_again_is_lost(
    browser: FlaskClient, build: Build, erase_before_write: EraseBeforeWrite
) -> None:
    account = build.never_activated()
    with time_machine.travel(now(), tick=False) as clock:
        waiting = activate(browser, account)
        clock.shift(timedelta(seconds=61))
        erase_before_write(account.id)
        place, data = waiting.request.full_path, {"csrf_token": form_token(waiting)}
        for _ in range(2):
            assert browser.post(place, data=data).status_code == 400
