"""Letters at the counter for accounts that were never active: few an hour without a fresh proof, and all are seen."""

from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from idp.desk.alerts import rules
from idp.desk.staff.models import Role
from idp.outbox.queue import OutboxMessage
from idp.throttle import guard, limits
from idp.throttle.guard import Granted
from tests.builders import PROVISIONAL, Build
from tests.desk.colleagues import Colleagues
from tests.desk.test_letter import again, opens
from tests.pages import form_token


class Counter:
    """A person at the counter whose last proof is old, and the number of first letters that the desk counts."""

    def __init__(self, colleagues: Colleagues) -> None:
        colleagues.build.ent()
        self.staff = colleagues.person()
        colleagues.grant(self.staff, Role.SECRETARY)
        self.browser, _ = colleagues.session(self.staff, proof_age=timedelta(hours=3))
        self.token = form_token(self.browser.get("/etablissements"))

    def send(self, account: Account) -> TestResponse:
        """Print a letter without looking at the account first, as a script would."""
        fields = {"csrf_token": self.token, "generation": str(again(account).generation), "layout": "letter"}
        return self.browser.post(f"/comptes/{account.id}/courrier", data=fields)

    def count(self, letters: int) -> None:
        """Count letters that were printed."""
        for _ in range(letters):
            assert isinstance(guard.take(limits.FIRST_LETTERS, str(self.staff.id)), Granted)

    def is_full(self) -> bool:
        """Return whether the next letter needs a proof."""
        db.session.rollback()
        return guard.remaining_wait(limits.FIRST_LETTERS, str(self.staff.id)) > 0


@pytest.mark.row("K-30")
def test_ten_first_letters_an_hour_need_no_proof_and_more_do(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    thief = Counter(colleagues)
    thief.count(9)
    tenth, eleventh = build.never_activated(), build.never_activated()
    assert thief.send(tenth).headers["Location"].startswith("/travaux/")
    assert not opens(tenth, PROVISIONAL)
    proof = f"/preuve?suite=%2Fcomptes%2F{eleventh.id}%2Fcourrier"
    assert thief.send(eleventh).headers["Location"] == proof
    assert opens(eleventh, PROVISIONAL)
    assert thief.browser.get(f"/comptes/{eleventh.id}/courrier").headers["Location"] == proof, "before the click"
    other_session, _ = colleagues.session(thief.staff, proof_age=timedelta(hours=3))
    assert other_session.get(f"/comptes/{eleventh.id}/courrier").headers["Location"] == proof


def test_a_letter_after_a_proof_opens_the_next_ten(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    counter = Counter(colleagues)
    counter.count(10)
    assert counter.is_full()
    colleagues.age_proofs(timedelta())
    assert counter.send(build.never_activated()).headers["Location"].startswith("/travaux/")
    assert not counter.is_full()
    colleagues.age_proofs()
    counter.count(9)
    assert counter.send(build.never_activated()).headers["Location"].startswith("/travaux/")
    assert counter.is_full()


@pytest.mark.row("K-34")
@pytest.mark.parametrize(("days", "needs"), [(29, True), (31, False)])
def test_the_first_letter_of_a_guardian_whom_the_desk_has_just_imported_needs_a_proof(
    desk: Flask, colleagues: Colleagues, build: Build, days: int, *, needs: bool
) -> None:
    counter = Counter(colleagues)
    account = build.never_activated(is_from_desk=True, created_at=now() - timedelta(days=days))
    page, answer = counter.browser.get(f"/comptes/{account.id}/courrier"), counter.send(account)
    assert (page.status_code == 303) is needs, "before the page opens"
    assert answer.headers["Location"].startswith("/preuve?" if needs else "/travaux/")
    assert opens(account, PROVISIONAL) is needs


@pytest.mark.row("K-30")
def test_letters_of_a_script_are_opened_accounts_that_the_head_is_told_of(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    chief = colleagues.person("Henri Roux")
    colleagues.grant(chief, Role.HEAD)
    script = Counter(colleagues)
    script.count(10)
    for _ in range(rules.MOST_OPENED + 1):
        script.send(build.never_activated())  # each is refused: the tries count too
    rules.look(OutboxMessage())
    mails = db.session.query(OutboxMessage).filter_by(kind=rules.ALERT).all()
    assert [(mail.payload["alert"], mail.payload["recipient"]) for mail in mails] == [("many_accounts", str(chief.id))]
