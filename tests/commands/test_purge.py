"""`idp purge`: O-04, W-10, retention periods (section 6.7), concurrent purges and killed purges."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, Engine, event, func, or_, select, text

from idp.accounts.models import Account, RemovalWarning, SchoolNotice
from idp.accounts.notices import NOTICE
from idp.accounts.one_time_links import OneTimeLink
from idp.activation.service import KeptPassword
from idp.audit.models import AuditEntry
from idp.clock import ACTIVATION_LIFETIME, now
from idp.config import Settings
from idp.db import db
from idp.oidc.models import AuthorizationCode, PushedRequest, SpentProof, Token
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import SpentChallenge
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests import forked
from tests.builders import PASSWORD, Build
from tests.commands.conftest import Events, Run, check_refusal
from tests.commands.processes import environment
from tests.commands.remains import DAY, HOUR, Remains, a_dead_town, keep, number, purged
from tests.pages import heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for


def test_a_purge_without_work_prints_zeros(act: Run, build: Build) -> None:
    build.active()
    lines = act("purge").out.splitlines()
    assert [line.split()[0] for line in lines] == ["0"] * 27


def test_links_are_removed_seven_days_after_their_end(act: Run, build: Build, events: Events) -> None:
    remains = Remains(build.active())
    remains.link(7 * DAY + HOUR)
    remains.link(8 * DAY, used_at=now() - 8 * DAY)
    remains.link(7 * DAY - HOUR)
    remains.link(-HOUR)
    remains.link(-HOUR, revoked_at=now())
    assert purged(act) == {"links": 2}
    assert number(OneTimeLink) == 3
    assert [event.details for event in events("purge.completed")] == [{"removed": {"links": 2}}]


def test_settled_notices_are_removed_and_open_notices_stay(act: Run, build: Build) -> None:
    own = {"school_id": build.school().id, "account_id": build.active().id, "created_at": now() - 400 * DAY}
    keep(
        SchoolNotice(kind="letter_doubt", settled_at=now() - 366 * DAY, **own),
        SchoolNotice(kind="other_mailbox", settled_at=now() - 364 * DAY, **own),
        SchoolNotice(kind="letter_guessed", **own),
    )
    assert purged(act) == {"notices_removed": 1}
    assert set(db.session.scalars(select(SchoolNotice.kind))) == {"other_mailbox", "letter_guessed"}


def test_expired_pushed_requests_and_proofs_are_removed(act: Run, build: Build, app: Flask) -> None:
    """A pushed request is kept until the code is issued. A proof is kept longer than its
    validity and the allowed clock skew.
    """
    ages = [DAY + HOUR, DAY - HOUR, timedelta(minutes=61), timedelta(minutes=30), -HOUR]
    for index, age in enumerate(ages):
        row = {"digest": bytes([index]), "expires_at": now() - age}
        keep(PushedRequest(client_id=uuid.uuid4(), parameters={}, **row), SpentProof(**row), SpentChallenge(**row))
    assert purged(act) == {"pushed_requests": 3, "proofs": 1, "challenges": 1}
    for kept in (SpentProof, SpentChallenge):
        assert sorted(db.session.scalars(select(kept.digest))) == [bytes([index]) for index in range(1, 5)]
    assert sorted(db.session.scalars(select(PushedRequest.digest))) == [b"\x03", b"\x04"]


def test_sessions_are_removed_with_their_tokens(act: Run, build: Build) -> None:
    remains = Remains(build.active())
    remains.session(7 * DAY + HOUR)
    remains.session(9 * DAY, ended_at=now() - 9 * DAY)
    recent = remains.session(6 * DAY)
    assert purged(act) == {"sessions": 2, "codes": 2, "tokens": 2}
    assert db.session.scalars(select(Session.id)).all() == [recent]
    assert (number(Token), number(AuthorizationCode)) == (1, 1)


def test_a_session_with_a_valid_refresh_token_loses_only_old_access_tokens(act: Run, build: Build) -> None:
    remains = Remains(build.active())
    living = remains.session(20 * DAY)
    remains.token(living, "r", 10 * DAY, used_at=now() - 12 * DAY)
    remains.token(living, "r", -DAY)
    remains.token(living, "a", HOUR)
    for dead in ({"revoked_at": now()}, {}):
        remains.token(remains.session(20 * DAY), "r", -DAY if dead else DAY, **dead)
    remains.token(remains.session(20 * DAY, ended_at=now() - 20 * DAY), "r", -DAY)
    assert purged(act) == {"sessions": 3, "codes": 3, "tokens": 7}
    assert db.session.scalars(select(Session.id)).all() == [living]
    assert sorted(db.session.scalars(select(Token.kind))) == ["a", "r", "r"], "a reuse is still seen"


def test_a_session_that_is_refreshed_for_weeks_stays(act: Run, build: Build, browser: FlaskClient) -> None:
    ent = build.ent(scopes=OFFLINE)
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    with time_machine.travel(now() + timedelta(days=12)):
        purged(act)
        assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200


def test_messages_are_removed_thirty_days_after_delivery(act: Run, app: Flask) -> None:
    for age, outcome in ((31 * DAY, "sent"), (31 * DAY, "dead"), (29 * DAY, "sent"), (None, "waiting")):
        finished = None if age is None else now() - age
        keep(OutboxMessage(kind="x", payload={}, finished_at=finished, outcome=outcome, created_at=now() - 40 * DAY))
    assert purged(act) == {"outbox_messages": 2}
    assert number(OutboxMessage) == 2


@pytest.mark.row("O-04")
def test_the_journal_keeps_a_year_and_failures_of_every_kind_half_of_it(act: Run, build: Build) -> None:
    remains = Remains(build.active())
    for age in (366 * DAY, 364 * DAY, 184 * DAY, 182 * DAY):
        for result in ("ok", "refused", "throttled"):
            remains.event(age, result=result)
        remains.event(age, kind="letter.link_doubted", result="refused")
    before = number(AuditEntry)
    assert purged(act) == {"journal_entries": 4, "failures": 6}
    assert number(AuditEntry, AuditEntry.kind != "purge.completed") == before - 10
    left = db.session.scalars(select(AuditEntry.at).where(AuditEntry.result != "ok")).all()
    assert len(left) == 3
    assert min(left) > now() - 183 * DAY


def test_expired_counters_are_removed(act: Run, app: Flask) -> None:
    for moment in (now() - HOUR, now() + HOUR):
        times = {"since": moment, "open_at": moment, "expires_at": moment}
        keep(ThrottleCounter(limit="x", key=uuid.uuid4().bytes, count=1, **times))
    assert purged(act) == {"throttle_counters": 1}
    assert number(ThrottleCounter) == 1


@contextmanager
def transactions() -> Iterator[Counter[int]]:
    open_ones: Counter[int] = Counter()
    sizes: Counter[int] = Counter()

    def changed(connection: Connection, cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.lstrip().startswith("SELECT"):
            open_ones[id(connection)] += max(cursor.rowcount, 0)

    def begun(connection: Connection) -> None:
        open_ones[id(connection)] = 0

    def committed(connection: Connection) -> None:
        sizes[open_ones.pop(id(connection))] += 1

    event.listen(Engine, "begin", begun)
    event.listen(Engine, "after_cursor_execute", changed)
    event.listen(Engine, "commit", committed)
    try:
        yield sizes
    finally:
        event.remove(Engine, "begin", begun)
        event.remove(Engine, "after_cursor_execute", changed)
        event.remove(Engine, "commit", committed)


@pytest.mark.row("W-10")
def test_a_large_purge_uses_short_transactions(act: Run, build: Build) -> None:
    account = build.active()
    a_dead_town(account, 1200)
    unused = {"family_name": "A", "given_name": "B", "activated_at": now() - 800 * DAY, "email": "a@exemple.fr"}
    unused |= {"known_use_at": now() - 800 * DAY}
    keep(*(Account(username=f"y.{uuid.uuid4().hex}", **unused) for _ in range(400)))
    with transactions() as sizes:
        counted = purged(act)
    names = ("throttle_counters", "links", "sessions", "codes", "outbox_messages", "journal_entries", "failures")
    expected = dict.fromkeys((*names, "letters_expired"), 1200)
    assert counted == {**expected, "tokens": 2400, "accounts_warned": 400}
    assert max(sizes) <= 1000, "no transaction is longer than that"
    assert sum(size * times for size, times in sizes.items()) >= 12_400
    assert number(Account) == 1601
    assert purged(act) == {}


@pytest.mark.row("W-10")
def test_sign_ins_succeed_during_a_purge(app: Flask, build: Build, settings: Settings, tmp_path: Path) -> None:
    account = build.active()
    a_dead_town(account, 1500)
    with (tmp_path / "log").open("wb") as log:
        purging = forked.Program(forked.IDP, "purge", env=environment(settings), output=log)
    signed_in = 0
    while purging.poll() is None or not signed_in:
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == "Gérer mon compte"
        signed_in += 1
    assert purging.returncode == 0, (tmp_path / "log").read_text()
    assert number(Session, Session.expires_at > now()) == signed_in


def every_kind(build: Build) -> set[uuid.UUID]:
    build.ent()
    child = build.child()
    long_ago: dict[str, Any] = {"activated_at": now() - 800 * DAY, "children": [child]}
    a_dead_town(build.active(children=[child]), 7)
    warned = [build.active(**long_ago) for _ in range(5)]
    removed = [build.active(removal_warning=RemovalWarning(warned_at=now() - 31 * DAY), **long_ago) for _ in range(5)]
    for account in (*warned, *removed):
        Remains(account).everything(build)
    gone = {account.id for account in removed}
    db.session.rollback()
    return gone


def assert_done_once(gone: set[uuid.UUID], events: Events) -> None:
    for table in (Token, AuthorizationCode, Session, OneTimeLink):
        assert number(table) == 5, table
    assert number(Account, Account.id.in_(gone)) == 0
    assert number(Account, Account.provisional_hash.is_not(None)) == 0
    assert sorted(str(e.account_id) for e in events("account.purged")) == sorted(map(str, gone))
    warned = [e.account_id for e in events("account.inactivity_warned")]
    assert len(warned) == len(set(warned)) == 5
    assert number(OutboxMessage, OutboxMessage.kind == NOTICE) == 5
    assert number(AuditEntry, or_(AuditEntry.result == "refused", AuditEntry.kind == "code.issued")) == 0
    assert number(AuditEntry, AuditEntry.account_id.in_(gone), AuditEntry.ip != "") == 0


@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.long)])
def test_a_killed_purge_is_completed_by_the_next_run(act: Run, build: Build, events: Events, step: int) -> None:
    gone = every_kind(build)
    done = forked.run("tests.commands.killed", build.settings.database_url, str(step), timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 10, "each time some commits later"
    assert_done_once(gone, events)
    assert purged(act) == {}


def test_two_concurrent_purges_share_the_work(act: Run, build: Build, settings: Settings, events: Events) -> None:
    gone = every_kind(build)
    a_dead_town(build.active(children=[]), 1500)
    db.session.rollback()
    both = [forked.Program(forked.IDP, "purge", "--json", env=environment(settings)) for _ in range(2)]
    total: Counter[str] = Counter()
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        total.update(json.loads(out))
    assert total["tokens"] == 2 * 1507
    assert all(total[name] == 1507 for name in ("links", "sessions", "codes", "outbox_messages", "letters_expired"))
    assert (total["accounts_warned"], total["accounts_removed"]) == (5, 5)
    assert_done_once(gone, events)
    assert purged(act) == {}


@pytest.mark.row("O-05", "K-06")
@pytest.mark.usefixtures("no_pauses")
def test_a_purge_reports_a_database_error_and_is_not_completed(act: Run, build: Build, events: Events) -> None:
    account = build.active(disabled_at=now() - 91 * DAY)
    with db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE school_notice RENAME TO gone"))
    check_refusal(act("purge"), "Error: the database cannot be used")
    assert events("purge.completed") == []
    assert db.session.scalar(select(func.count()).where(Account.id == account.id)) == 1


def test_kept_passwords_are_removed_once_their_activation_is_over(act: Run, build: Build) -> None:
    over = now() - ACTIVATION_LIFETIME
    for digest, kept_at in ((b"over", over), (b"open", over + HOUR / 60)):
        keep(KeptPassword(digest=digest, password_hash="x", kept_at=kept_at))
    assert purged(act) == {"kept_passwords": 1}
    assert db.session.scalars(select(KeptPassword.digest)).all() == [b"open"]
