"""Acts on one account, without a page: a letter that others may hold, an account in dispute."""

from idp.accounts.models import Account
from idp.accounts.school_notices import Kind
from idp.audit.models import AuditEntry
from idp.db import db
from idp.families import acts
from idp.families.refusals import Code
from tests.builders import Build
from tests.closed import dispute
from tests.families.notices import noticed
from tests.settlements import REASON, refused


def test_a_letter_that_others_may_hold_is_void_at_once(build: Build) -> None:
    account = build.never_activated()
    notice, before = noticed(Kind.LETTER_GUESSED, account, build.school()), account.generation
    acts.void_letter(notice.id, REASON)
    db.session.expire_all()
    assert (account.provisional_hash, account.generation > before) == (None, True)
    assert (notice.sentence, notice.settled_at is not None) == (REASON, True)
    assert [entry.details["change"] for entry in db.session.query(AuditEntry).filter_by(kind="account.changed")] == [
        "letter_voided"
    ]
    with refused(Code.SETTLED):
        acts.void_letter(notice.id, REASON)


def test_an_account_that_was_activated_meanwhile_keeps_its_password(build: Build) -> None:
    account = build.active()
    notice, before = noticed(Kind.LETTER_GUESSED, account, build.school()), account.password_hash
    acts.void_letter(notice.id, REASON)
    db.session.expire_all()
    assert (account.password_hash, notice.settled_at is not None) == (before, True)


def test_an_account_in_dispute_is_not_unlocked(build: Build) -> None:
    account = build.active()
    dispute(account.id)
    db.session.commit()
    before = account.tries_counted_since
    with refused(Code.CLOSED_BY_DISPUTE):
        acts.unlock(account.id)
    assert db.session.get_one(Account, account.id, populate_existing=True).tries_counted_since == before
