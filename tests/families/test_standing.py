"""The state of an account: the same rule for one account and in SQL, with words for each state."""

from collections.abc import Callable
from datetime import timedelta

from flask import Flask
from sqlalchemy import select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Merge, RemovalWarning
from idp.clock import now
from idp.db import db
from idp.desk import words
from idp.families.standing import Group, Standing, foremost, group_of, in_group, standings
from tests.builders import Build
from tests.closed import dispute, exclude, suspend


def disputed(account: Account) -> Account:
    dispute(account.id)
    db.session.commit()
    return account


def left(build: Build) -> Account:
    return build.active(disabled_at=now(), has_left=True)


def suspended(account: Account) -> Account:
    suspend(account.id)
    return account


def excluded(account: Account) -> Account:
    exclude(account.id, since=account.disabled_at)
    db.session.commit()
    return account


_PAST = timedelta(days=-1)
MAKERS: dict[Standing, Callable[[Build], Account]] = {
    Standing.LETTER_VALID: lambda build: build.never_activated(),
    Standing.CLOSED: lambda build: suspended(build.active()),
    Standing.LETTER_EXPIRED: lambda build: build.never_activated(provisional_expires_at=now() + _PAST),
    Standing.NO_LETTER: lambda build: build.never_activated(provisional_hash=None, provisional_expires_at=None),
    Standing.NEW_LETTER_VALID: lambda build: build.never_activated(first_activated_at=now() + _PAST),
    Standing.NEW_LETTER_EXPIRED: lambda build: build.never_activated(
        first_activated_at=now() + _PAST, provisional_hash=None, provisional_expires_at=None
    ),
    Standing.ACTIVE: lambda build: build.active(),
    Standing.UNCONFIRMED: lambda build: build.active(email=None, pending_email="a@exemple.fr"),
    Standing.NO_ADDRESS: lambda build: build.active(email=None),
    Standing.BLOCKED: lambda build: build.active(password_state=PasswordState.BLOCKED),
    Standing.BREACHED: lambda build: build.active(password_state=PasswordState.BREACHED),
    Standing.BLOCKED_UNCONFIRMED: lambda build: build.active(
        email=None, pending_email="b@exemple.fr", password_state=PasswordState.BLOCKED
    ),
    Standing.CONTESTED: lambda build: build.active(contested_at=now()),
    Standing.DISPUTED: lambda build: disputed(build.never_activated()),
    Standing.WARNED: lambda build: build.active(
        activated_at=now() - timedelta(days=1), removal_warning=RemovalWarning()
    ),
    Standing.REPLACED: lambda build: build.active(disabled_at=now()),
    Standing.LEFT: left,
    Standing.EXCLUDED: lambda build: excluded(left(build)),
    Standing.MERGED: lambda build: build.active(disabled_at=now(), merge=Merge(into_id=build.active().id)),
}


def test_each_account_is_in_one_group_which_sql_finds_too(app: Flask, build: Build) -> None:
    assert set(MAKERS) == set(Standing)
    for standing, make in MAKERS.items():
        account = make(build)
        holding = standings(account)
        assert foremost(holding) is standing
        groups = [
            group
            for group in Group
            if db.session.scalar(select(Account.id).where(Account.id == account.id, in_group(group)))
        ]
        assert groups == [group_of(holding)], standing
        assert (account.email is not None) >= (groups[0] in {Group.ACTIVE, Group.BLOCKED}), "as the figures say"


def test_each_standing_has_words(app: Flask) -> None:
    assert set(words.OF) == set(Standing)
    for standing, texts in words.OF.items():
        assert texts.step or texts.next or standing is Standing.ACTIVE, "the next step is always visible"
