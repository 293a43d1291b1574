"""An act that waits for the account's lock sees what another act closed during the wait."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask import Flask

from idp.accounts import directory
from idp.clock import now
from idp.db import db, unit_of_work
from tests.builders import Build
from tests.throttle.test_guard import PATIENCE, wait_for_lock


@pytest.mark.row("K-25")
def test_a_locked_account_is_closed_by_a_decision_of_the_transaction_that_it_waited_for(
    app: Flask, build: Build, database_url: str
) -> None:
    account = build.active().id
    db.session.remove()

    @unit_of_work()
    def is_shut() -> bool:
        locked = directory.get_for_change(account)
        assert locked is not None
        return locked.is_shut_at(now())

    def ask() -> bool:
        with app.app_context():
            return is_shut()

    with psycopg.connect(database_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("SELECT id FROM account WHERE id = %s FOR UPDATE", [account])
        waiting = thread.submit(ask)
        wait_for_lock(database_url, waiting)  # type: ignore[arg-type]
        other.execute(
            "INSERT INTO closing (id, account_id, reason, reference, begun_at, begun_by, sessions_ended, ended_by, "
            "end_reason, kind) VALUES (%s, %s, 'jugement', '', now(), '', 0, '', '', 'decided')",
            [uuid.uuid4(), account],
        )
        other.execute("UPDATE account SET generation = generation + 1 WHERE id = %s", [account])
        other.commit()
        assert waiting.result(PATIENCE)
