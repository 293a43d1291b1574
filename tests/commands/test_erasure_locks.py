"""`idp account erase` locks the account and those that were merged into it, also one that is merged meanwhile."""

import uuid

import pytest
from sqlalchemy import select, update

from idp.accounts import directory
from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import Build
from tests.commands.conftest import Run

pytestmark = pytest.mark.row("K-10")


@pytest.fixture
def family(build: Build) -> tuple[Account, list[uuid.UUID]]:
    """An account with three merged ones, one of them over a second; and the ids of all."""
    main = build.active()

    def merged_into(other: Account) -> Account:
        return build.never_activated(disabled_at=now(), merged_into_id=other.id, children=[])

    first, second = merged_into(main), merged_into(main)
    third = merged_into(first)
    return main, [main.id, first.id, second.id, third.id]


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
    assert db.session.scalars(select(Account.id).where(Account.id.in_(ids))).all() == []


def test_account_that_is_merged_during_an_erasure_is_not_forgotten(
    act: Run, build: Build, family: tuple[Account, list[uuid.UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, ids = family
    late, lock_truly = build.never_activated(children=[]).id, directory.get_for_change

    def merge_and_lock(account_id: uuid.UUID) -> Account | None:
        with db.engine.begin() as other:
            merging = update(Account).where(Account.id == late).values(merged_into_id=main.id, disabled_at=now())
            other.execute(merging)
        return lock_truly(account_id)

    with monkeypatch.context() as patch:
        patch.setattr(directory, "get_for_change", merge_and_lock)
        refused = act("account", "erase", main.username, "--reason", "demande", "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert "changed meanwhile: try again" in refused.err
    remaining = select(Account.id).where(Account.id.in_([*ids, late]))
    assert len(db.session.scalars(remaining).all()) == 5
    assert act("account", "erase", main.username, "--reason", "demande", "--yes").code == 0
    assert db.session.scalars(remaining).all() == []
