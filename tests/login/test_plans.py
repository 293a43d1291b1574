"""The statements of a sign-in on PostgreSQL: their number, their plans, and index entries that they do not write."""

import re
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select

from idp.accounts.models import Account
from idp.db import db
from idp.services import services_of
from idp.throttle.counters import ThrottleCounter
from tests.builders import PASSWORD, Build
from tests.pages import sign_in
from tests.protocol.listening import Seen, close_and_count, listening
from tests.protocol.test_statements import crowd
from tests.statements.heard import heard

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
        "INSERT INTO guardianship (account_id, child_id, rank, kinship, authority, was_excluded)"
        " SELECT account.id, child.id, 0, '', 1, false FROM (SELECT id, row_number() OVER () AS n FROM account) account"
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
    close_and_count(app, database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM FULL account")
        before = updates(connection)
        for account in people[:20]:
            for _ in range(3):
                wait_for_other_databases(connection)
                sign_in(app.test_client(), "/connexion", account.username, PASSWORD)
    close_and_count(app, database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        all_, heap_only = (now - then for now, then in zip(updates(connection), before, strict=True))
    assert (all_, heap_only) == (60, 60)
    assert db.session.scalar(select(func.count()).select_from(Account)) == 40
    assert db.session.scalar(select(func.sum(ThrottleCounter.count))) == 0


def wait_for_other_databases(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    writing = "SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND datname <> current_database()"
    deadline = time.monotonic() + 60
    while connection.execute(writing).fetchone():
        assert time.monotonic() < deadline, "another test writes in one transaction for a minute"
        time.sleep(0.005)


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
