"""The SQL statements of a sign-in on every connection, and requests while the database is unavailable or locked."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp import pool
from idp.accounts.models import Account
from idp.db import db
from idp.metrics import instruments
from idp.services import services_of
from tests import applications
from tests.builders import Build
from tests.protocol.flow import OFFLINE, code_for, tokens_for
from tests.protocol.listening import close_and_count, fresh_connections, listening
from tests.relying_party import Attempt, RelyingParty


@pytest.fixture
def _counting() -> Iterator[None]:
    instruments.start()
    yield
    instruments.end()


BIG = ("session", "account", "token", "authorization_code")


def requests(browser: FlaskClient, ent: RelyingParty, scope: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the three requests of a sign-in; each is built from the response to the previous one."""
    attempt, answers = Attempt(), {}

    def authorize() -> None:
        answers["code"] = code_for(browser, ent, attempt, scope=scope)

    def token() -> None:
        answers.update(ent.exchange(browser, answers["code"], attempt).get_json())

    def userinfo() -> None:
        assert ent.userinfo(browser, answers["access_token"]).status_code == 200

    yield "authorize", authorize
    yield "token", token
    yield "userinfo", userinfo


@pytest.mark.usefixtures("_counting")
@pytest.mark.parametrize("scope", ["openid profile email ent charter", OFFLINE])
def test_a_sign_on_with_a_session_costs_five_statements_at_most(
    app: Flask, browser: FlaskClient, build: Build, session: Account, scope: str
) -> None:
    # OpenID Connect Core 1.0, 3.1.3. Own rule: two statements before that
    # request (3.1.2), three for it, and one for UserInfo (5.3).
    ent = build.ent(scopes=scope)
    most = {"authorize": 2, "token": 3, "userinfo": 1}
    with listening(app) as seen:
        tokens_for(browser, ent, scope=scope)  # the caches of the process are full now
        for name, send in requests(browser, ent, scope):
            seen.clear()
            send()
            assert 1 <= len(seen.work()) <= most[name], (name, seen.work())
            assert len([text for text, _ in seen if text == "COMMIT"]) <= (name != "userinfo"), name


@pytest.mark.usefixtures("_counting")
def test_a_sign_on_commits_twice_and_userinfo_writes_nothing(
    app: Flask, browser: FlaskClient, ent: RelyingParty, session: Account, database_url: str
) -> None:
    # RFC 6749, 4.1.2.
    rounds = 20

    def counted() -> tuple[int, int]:
        close_and_count(app, database_url)
        with psycopg.connect(database_url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT xact_commit + xact_rollback, tup_inserted + tup_updated + tup_deleted"
                " FROM pg_stat_database WHERE datname = current_database()"
            ).fetchone()
        assert row is not None
        return row[0], row[1]

    def cost(send: Callable[[], object]) -> tuple[int, int]:
        """Return the transactions and written rows of one request; the difference removes those of the connection."""
        marks = [counted()]
        for times in (1, rounds + 1):
            for _ in range(times):
                send()
            marks.append(counted())
        few, many = ([b - a for a, b in zip(marks[n], marks[n + 1], strict=True)] for n in (0, 1))
        return round((many[0] - few[0]) / rounds), round((many[1] - few[1]) / rounds)

    tokens = tokens_for(browser, ent)
    attempts = [Attempt() for _ in range(rounds + 2)]
    codes: list[tuple[str, Attempt]] = []

    def authorize() -> None:
        attempt = attempts[len(codes)]
        codes.append((code_for(browser, ent, attempt), attempt))

    def token() -> None:
        code, attempt = codes.pop()
        assert ent.exchange(browser, code, attempt).status_code == 200

    def userinfo() -> None:
        assert ent.userinfo(browser, tokens["access_token"]).status_code == 200

    assert cost(authorize) == (1, 2)  # the code and its line in the journal
    assert cost(token) == (1, 2)  # the code used, the token
    assert cost(userinfo) == (1, 0)


@pytest.mark.usefixtures("_counting")
def test_hot_statements_scan_no_table(
    app: Flask, browser: FlaskClient, build: Build, session: Account, database_url: str
) -> None:
    # OpenID Connect Core 1.0, 12.1. Own rule: no statement of that request and of those before it (3.1.2,
    # 3.1.3, 5.3) scans a table: without statistics, with those of a table that is almost empty, and of a large one.
    ent = build.ent(scopes=OFFLINE, charter="provider")
    fresh_connections(app)
    for _name, send in requests(browser, ent, OFFLINE):
        send()
    refresh = tokens_for(browser, ent, scope=OFFLINE)["refresh_token"]
    assert ent.refresh(browser, refresh).status_code == 200
    # the connection of the store, with its planner settings and its prepared statements
    with services_of(app).connections.lend() as lent:
        connection: Any = lent.driver_connection
        hot = connection.execute("SELECT name, cardinality(parameter_types) FROM pg_prepared_statements").fetchall()
        assert len(hot) == 4, hot
        for prepare in (lambda: None, lambda: connection.execute("ANALYZE"), lambda: crowd(connection)):
            prepare()
            for name, parameters in hot:
                plan = prepared_plan(connection, name, parameters)
                assert "Merge Join" not in plan, plan
                assert "Hash Join" not in plan, plan
                for table in BIG:
                    assert not re.search(rf"Seq Scan on {table}\b", plan), plan


def prepared_plan(connection: psycopg.Connection[Any], name: str, parameters: int) -> str:
    nothing = ", ".join(["NULL"] * parameters)
    lines = connection.execute(f"EXPLAIN EXECUTE {name} ({nothing})").fetchall()
    return "\n".join(line[0] for line in lines)


def crowd(connection: psycopg.Connection[Any]) -> None:
    """Multiply the one account, session, code and token by five thousand."""
    for table, fresh in {
        "account": {"id": "gen_random_uuid()", "username": "'u' || n"},
        "session": {"id": "gen_random_uuid()", "digest": "decode(md5('s' || n), 'hex')"},
        "authorization_code": {"digest": "decode(md5('c' || n), 'hex')", "family": "gen_random_uuid()"},
        "token": {"digest": "decode(md5('t' || n), 'hex')", "family": "gen_random_uuid()"},
    }.items():
        unique = db.metadata.tables[table].columns.keys()
        columns = ", ".join(f'"{name}"' for name in unique)
        values = ", ".join(fresh.get(name, f'"{name}"') for name in unique)
        single_row = f"(SELECT * FROM {table} LIMIT 1) one"  # noqa: S608 - our own names
        connection.execute(
            f"INSERT INTO {table} ({columns}) SELECT {values} FROM {single_row}, generate_series(1, 5000) n"  # noqa: S608
        )
    connection.execute("ANALYZE")


_MILLISECONDS = 200


@contextmanager
def short_lock_waits() -> Iterator[None]:
    """Let new connections wait 0.2 seconds for a lock, instead of 2."""
    settings = pool.POSTGRESQL_SETTINGS.replace("lock_timeout=2s", f"lock_timeout={_MILLISECONDS}ms")
    assert settings != pool.POSTGRESQL_SETTINGS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "POSTGRESQL_SETTINGS", settings)
        yield


@contextmanager
def locked(database_url: str) -> Iterator[None]:
    """Hold a lock that blocks all writers of codes and tokens."""
    with psycopg.connect(database_url) as other:
        other.execute("LOCK TABLE authorization_code, token IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


@pytest.fixture
def impatient(database_url: str) -> Iterator[None]:
    applications.disconnect(database_url)
    with short_lock_waits():
        yield
    applications.disconnect(database_url)


@pytest.mark.row("W-07")
@pytest.mark.own_app
@pytest.mark.usefixtures("impatient")
def test_a_locked_database_is_a_503_and_the_code_stays_valid(
    browser: FlaskClient, ent: RelyingParty, session: Account, database_url: str, attempt: Attempt
) -> None:
    # RFC 9110, 15.6.4.
    code = code_for(browser, ent, attempt)
    db.session.remove()
    with locked(database_url):
        response = ent.exchange(browser, code, attempt)
        assert (response.status_code, response.get_json()) == (503, {"error": "temporarily_unavailable"})
        assert response.headers["Retry-After"] == "5"
        page = browser.get(ent.url(Attempt()))
        assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    ent.tokens(browser, code, attempt)
