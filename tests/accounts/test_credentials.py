"""The effects of a change of credentials, on a row and in an UPDATE."""

from flask import Flask
from sqlalchemy import update

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import Build


def test_a_row_and_an_update_count_a_change_of_credentials_alike(app: Flask, build: Build) -> None:
    account = build.active()
    before = account.generation
    account.credentials_changed()
    db.session.commit()
    assert account.changed_once_since(before)
    db.session.execute(
        update(Account).where(Account.id == account.id).values(generation=Account.next_generation()),
        execution_options={"synchronize_session": False},
    )
    db.session.commit()
    db.session.refresh(account)
    assert account.generation == before + 2
    assert not account.changed_once_since(before)


def test_a_new_password_lifts_a_block_and_a_breach_and_changes_credentials(app: Flask, build: Build) -> None:
    account = build.active(password_blocked_at=now(), breached_at=now())
    before, started = account.generation, now()
    account.set_password("a new hash")
    assert (account.password_hash, account.password_blocked_at, account.breached_at) == ("a new hash", None, None)
    assert account.password_changed_at is not None
    assert account.password_changed_at >= started
    assert account.changed_once_since(before)
