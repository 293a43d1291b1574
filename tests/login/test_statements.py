"""The statements of a sign-in: one counts the try, one admits the person; their number, plans and index entries."""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Guardianship
from idp.accounts.notices import NOTICE
from idp.accounts.passwords.hasher import Hasher
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.login import admission
from idp.outbox.queue import OutboxMessage
from idp.services import services_of
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests.builders import PASSWORD, Build, add_contest, commit
from tests.closed import dispute
from tests.database.messages import traced
from tests.pages import form_token, heading, sign_in
from tests.protocol.listening import Seen, fresh_connections, listening
from tests.protocol.test_statements import crowd
from tests.statements.lending import heard
from tests.waiting import wait_for

_ACCOUNT = "Gérer mon compte"
_REFUSED = "Connexion"


def posting(app: Flask, account: Account, *, device: bool) -> Callable[[], None]:
    """Return what posts the sign-in form of a browser that the account knows, or of another one."""
    browser = app.test_client()
    if device:
        sign_in(browser, "/connexion", account.username, PASSWORD)
        browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
    token = form_token(browser.get("/connexion"))
    data = {"csrf_token": token, "identifiant": account.username, "mot-de-passe": PASSWORD}

    def post() -> None:
        assert browser.post("/connexion", data=data).status_code == 303

    return post


@pytest.mark.parametrize("device", [True, False], ids=["known device", "new device"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_a_sign_in_sends_two_statements_and_no_other_message(
    app: Flask,
    build: Build,
    tmp_path: Path,
    device: bool,  # noqa: FBT001 - a row of the table above
    is_first: bool,  # noqa: FBT001 - same
) -> None:
    account = build.active(last_sign_in_at=None if is_first else now())
    with traced(app, tmp_path) as messages:
        for _ in range(3):  # a new connection, a known one
            post = posting(app, account, device=device)
            messages.restart()
            post()
            sent = messages.statements()
    assert len(sent) == 2, sent
    assert not re.search("BEGIN|COMMIT|ROLLBACK", "".join(sent)), "each statement commits by itself"


def _set(**values: object) -> Callable[[Account], None]:
    def change(account: Account) -> None:
        db.session.execute(update(Account).where(Account.id == account.id).values(**values))

    return change


_change_credentials = _set(generation=Account.next_generation())


def _contest(account: Account) -> None:
    _set(password_state=PasswordState.BLOCKED)(account)
    add_contest(account.id, now())


def _dispute(account: Account) -> None:
    dispute(account.id)


def _erase(account: Account) -> None:
    db.session.execute(delete(Guardianship).where(Guardianship.account_id == account.id))
    db.session.execute(delete(Account).where(Account.id == account.id))


@pytest.mark.parametrize(
    ("change", "page"),
    [
        (_set(password_state=PasswordState.BLOCKED), "Choisissez un nouveau mot de passe"),
        (_change_credentials, _REFUSED),
        (_set(disabled_at=now()), _REFUSED),
        (_set(password_hash="another"), _REFUSED),
        (_contest, "Ce compte est fermé pour le moment"),
        (_dispute, "Ce compte est fermé pour le moment"),
        (_erase, _REFUSED),
    ],
    ids=["blocked", "generation", "disabled", "password", "contested", "disputed", "erased"],
)
def test_a_change_while_the_hash_is_computed_opens_no_session(
    app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch, change: Callable[[Account], None], page: str
) -> None:
    account = build.active(children=[build.child()])
    verify = Hasher.verify

    def slowly(self: Hasher, stored: str | None, password: str, lane: str) -> bool:
        with unit_of_work():
            change(account)
        return verify(self, stored, password, lane)  # type: ignore[arg-type]

    monkeypatch.setattr(Hasher, "verify", slowly)
    assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == page
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0
    entries = db.session.scalars(select(AuditEntry.kind).where(AuditEntry.kind == "sign_in", AuditEntry.result == "ok"))
    assert entries.all() == []


def test_an_account_that_changed_gets_nothing(app: Flask, monkeypatch: pytest.MonkeyPatch, parent: Account) -> None:
    # The first step of the chain writes nothing, and so none of the others does.
    admit, answers = admission.admit, []

    def late(*arguments: object) -> bool:
        with unit_of_work():
            _change_credentials(parent)
        answers.append((admit(*arguments), counters()))  # type: ignore[arg-type]
        return answers[-1][0]

    def counters() -> list[int]:
        return sorted(db.session.scalars(select(ThrottleCounter.count)))

    monkeypatch.setattr(admission, "admit", late)
    assert heading(sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)) == _REFUSED
    assert answers == [(False, [1, 1, 1])]
    assert db.session.get_one(Account, parent.id, populate_existing=True).last_sign_in_at is None
    assert db.session.scalar(select(func.count()).select_from(Session)) == 0


def test_both_ways_write_the_same_rows(app: Flask, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    # The chain and the unit of work write the account, the session, the journal, the mail and the counters alike.

    def written() -> dict[str, list[dict[str, object]]]:
        account = build.active(last_sign_in_at=now(), activated_in=b"x")
        assert heading(sign_in(app.test_client(), "/connexion", account.username, PASSWORD)) == _ACCOUNT
        own = {
            Account: Account.id == account.id,
            Session: Session.account_id == account.id,
            AuditEntry: AuditEntry.account_id == account.id,
            OutboxMessage: OutboxMessage.kind == NOTICE,
            ThrottleCounter: ThrottleCounter.count >= 0,
        }
        rows = {}
        for model, condition in own.items():
            kept = [column for column in model.__table__.columns if column.name not in _DRAWN]
            selected = db.session.execute(select(*kept).where(condition)).mappings().all()
            rows[model.__tablename__] = [
                {name: value is not None if name in _DIFFERENT else value for name, value in row.items()}
                for row in selected
            ]
        db.session.execute(delete(OutboxMessage))
        commit(delete(ThrottleCounter))
        return rows

    at_once = written()
    with monkeypatch.context() as patch:
        patch.setattr(admission, "admit", lambda *_arguments: False)
        in_a_unit = written()
    for name, rows in at_once.items():
        assert rows == in_a_unit[name], name
    assert {name: len(rows) for name, rows in at_once.items()} == {
        "account": 1,
        "session": 1,
        "audit": 1,
        "outbox": 1,
        "throttle": 2,
    }


_DRAWN = {"id", "username", "account_id", "join_key", "search_text"}
_DIFFERENT = {
    "digest", "sid", "mac", "salt", "personal_digest", "request_id", "details", "payload", "at", "key", "since",
    "created_at", "updated_at", "last_seen_at", "auth_time", "expires_at", "available_at", "last_sign_in_at",
    "activated_at", "known_use_at", "password_changed_at", "email_confirmed_at", "open_at",
}  # fmt: skip
"""Columns whose values are drawn or are a time; only whether they have one is compared."""


@pytest.mark.parametrize(
    ("ended", "owner"),
    [(True, "same"), (False, "same"), (True, "another"), (False, "another")],
    ids=["ended", "continued", "another's, ended", "another's"],
)
def test_a_former_session_is_ended_or_continued(
    app: Flask,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    ended: bool,  # noqa: FBT001 - a row of the table above
    owner: str,
) -> None:
    # Security rows A-17, I-17. The statement admits nobody while the cookie's session has not ended.
    account, browser, admit, answers = build.active(), app.test_client(), admission.admit, []
    before = account if owner == "same" else build.active()
    sign_in(browser, "/connexion", before.username, PASSWORD)
    sid = db.session.scalars(select(Session.sid)).one()
    if ended:
        commit(update(Session).values(ended_at=now()))

    def noting(*arguments: object) -> bool:
        answers.append(admit(*arguments))  # type: ignore[arg-type]
        return answers[-1]

    monkeypatch.setattr(admission, "admit", noting)
    data = {"identifiant": account.username, "mot-de-passe": PASSWORD}
    data["csrf_token"] = form_token(browser.get("/mot-de-passe-oublie"))
    assert browser.post("/connexion", data=data).status_code == 303
    assert answers == [ended]
    rows = db.session.execute(select(Session.sid, Session.account_id, Session.ended_at)).all()
    alive = [(row.account_id, row.sid == sid) for row in rows if row.ended_at is None]
    assert alive == [(account.id, owner == "same" and not ended)]
    assert len(rows) == 2


TABLES = "account|guardianship|session|throttle"
TYPES: dict[type, str] = {bytes: "bytea", UUID: "uuid", datetime: "timestamptz", bool: "boolean", int: "integer"}


def recorded(app: Flask, build: Build) -> Seen:
    """Return the statements of a sign-in in a new browser, in the same one, and in one whose session has ended."""
    account, browser = build.active(children=[build.child()]), app.test_client()
    with listening(app) as seen:
        for _ in range(2):
            sign_in(browser, "/connexion", account.username, PASSWORD)
            browser.delete_cookie("__Host-ss", domain="connexion.exemple.test")
        browser.set_cookie("__Host-ss", "x" * 43, domain="connexion.exemple.test")
        sign_in(browser, "/connexion", account.username, PASSWORD)
    return seen


def generic_plans(seen: Seen, connection: psycopg.Connection[tuple[object, ...]]) -> Iterator[str]:
    for text, values in {text: values for text, values in seen if text.startswith("WITH")}.items():
        yield planned(connection, text, values)


def multiply(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Give the server five thousand accounts, each with a tie, a session and a counter, and their statistics."""
    connection.execute("INSERT INTO throttle SELECT 'x', decode(md5('k' || n), 'hex'), 1, now(), now(), now()"
                       " FROM generate_series(1, 5000) n")  # fmt: skip
    connection.execute(
        "INSERT INTO child (id, school_id, student_id, family_name, given_name, class_name, search_text)"
        " SELECT gen_random_uuid(), school_id, n, family_name, given_name, class_name, search_text"
        " FROM (SELECT * FROM child LIMIT 1) child, generate_series(1, 5000) n"
    )
    crowd(connection)
    connection.execute(
        "INSERT INTO guardianship (account_id, child_id, rank, kinship, authority)"
        " SELECT account.id, child.id, 0, '', 1 FROM (SELECT id, row_number() OVER () AS n FROM account) account"
        " JOIN (SELECT id, row_number() OVER () AS n FROM child WHERE length(student_id) < 5) child USING (n)"
    )
    connection.execute("ANALYZE guardianship")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_statement_of_a_sign_in_scans_a_table(app: Flask, build: Build, database_url: str) -> None:
    # On a connection of theirs: without statistics, with those of tables that are almost empty, and of large ones.
    seen = recorded(app, build)
    with services_of(app).connections.lend() as lent:
        connection: Any = lent.driver_connection
        for prepare in (lambda: None, lambda: connection.execute("ANALYZE"), lambda: multiply(connection)):
            prepare()
            plans = list(generic_plans(seen, connection))
            assert len(plans) == 5, "two for a new device, two for a known one, one after a session"
            for plan in plans:
                assert not re.search("Merge|Hash", plan), plan
                assert not re.search(rf"Seq Scan on ({TABLES})\b", plan), plan


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_sign_in_writes_no_index_entry_of_the_account(app: Flask, build: Build, database_url: str) -> None:
    # The pages of the table are full, as an import leaves them: they keep room for one more version of a row.
    #
    # The server cannot reuse the room of a version that is younger than any transaction of another database, such as
    # that of another test; so each sign-in waits until there is none.
    people = [build.active() for _ in range(40)]
    fresh_connections(app)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM FULL account")
        before = updates(connection)
        for account in people[:20]:
            for _ in range(3):
                wait_for_other_databases(connection)
                sign_in(app.test_client(), "/connexion", account.username, PASSWORD)
    fresh_connections(app)
    with psycopg.connect(database_url, autocommit=True) as connection:
        all_, heap_only = (now - then for now, then in zip(updates(connection), before, strict=True))
    assert (all_, heap_only) == (60, 60)
    assert db.session.scalar(select(func.count()).select_from(Account)) == 40
    assert db.session.scalar(select(func.sum(ThrottleCounter.count))) == 0


def wait_for_other_databases(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    writing = "SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname <> current_database()"
    wait_for(lambda: connection.execute(writing).fetchone() is None)


def updates(connection: psycopg.Connection[tuple[object, ...]]) -> tuple[int, int]:
    """Return the updates of accounts so far, and those that wrote no index entry."""
    connection.execute("SELECT pg_stat_clear_snapshot()")
    row = connection.execute(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'account'"
    ).fetchone()
    assert row is not None
    return row  # type: ignore[return-value]


def planned(connection: psycopg.Connection[Any], text: str, values: dict[str, Any] | tuple[Any, ...]) -> str:
    if isinstance(values, dict):
        names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", text)))
        text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.index(match.group(1)) + 1}", text)
        values = tuple(values[name] for name in names)
    types = ", ".join(TYPES.get(type(value), "unknown") for value in values)
    connection.execute(f"PREPARE hot ({types}) AS {text}")
    nothing = ", ".join("NULL" for _ in values)
    lines = connection.execute(f"EXPLAIN EXECUTE hot ({nothing})").fetchall()
    connection.execute("DEALLOCATE hot")
    return "\n".join(line[0] for line in lines)


MOST = 9
"""Count the form, the sign-in and the account's page."""


def test_sign_in_gains_no_statement(app: Flask, parent: Account) -> None:
    sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)  # the first sign-in fills caches
    with heard() as run:
        sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)
    ran = [text for text in run if text.split()[0] not in {"BEGIN", "COMMIT"}]
    assert 0 < len(ran) <= MOST, ran
    [devices] = [text for text in ran if "UNION" in text]
    assert devices.count("LIMIT") == 2, "the sessions and the device sessions of the page have each a limit"
