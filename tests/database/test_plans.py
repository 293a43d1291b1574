"""No frequent statement scans a growing table: sign-in, recovery, tokens, import, purge.

The tests record the statements on a database of ten thousand families and ask for their plans with the same values.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, update

from idp.accounts.models import Child, Guardianship
from idp.audit import sealing, verifying
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.operations import measured
from idp.operations.purge import commands
from idp.rostering.models import ImportBatch
from idp.services import services_of
from tests.builders import PASSWORD, Build
from tests.commands.conftest import Run, bare, idp  # noqa: F401 - fixtures
from tests.database.crowd import GROWING, crowd
from tests.databases import postgresql_copy
from tests.dpop_party import Key, KeyedParty
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE, tokens_for
from tests.protocol.listening import Seen, listening
from tests.recovery.steps import CHOSEN, ask_username, choose, mailed_link
from tests.relying_party import Attempt
from tests.rostering.aaf_school import Year, small_year

_TABLES = frozenset(model.__tablename__ for model in GROWING)


@pytest.fixture(scope="module")
def database_url(shared: Path) -> Iterator[str]:
    """One database with many rows for all tests of this module, which do not change these rows."""
    with postgresql_copy(shared) as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            crowd(connection)
        engine.dispose()
        yield url


def check_plans(seen: Seen, database_url: str, *indexes: str) -> None:
    """Check the plans of the recorded statements; each table of `wanted` must be among theirs."""
    statements = {text: values for text, values in seen if _is_work(text)}
    for table in indexes:
        assert any(re.search(rf"\b{table}\b", text) for text in statements), (table, list(statements))
    walks = [
        f"{walked}\n{text}" for text, values in statements.items() for walked in _walks(text, values, database_url)
    ]
    assert not walks, "\n\n".join(walks)


def _is_work(text: str) -> bool:
    return bool(re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", text)) and not re.search(
        r"\b(pg_catalog|pg_try_advisory_lock)\b", text
    )


def _walks(text: str, values: Any, database_url: str) -> list[str]:
    with psycopg.connect(database_url) as raw:
        cursor = (psycopg.RawCursor if isinstance(values, tuple) else psycopg.Cursor)(raw)
        row = cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", values).fetchone()
        raw.rollback()
    assert row is not None
    return list(_seq_scans(row[0][0]["Plan"]))


def _seq_scans(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in _TABLES:
        yield json.dumps({name: value for name, value in node.items() if name != "Plans"})
    for below in node.get("Plans", ()):
        yield from _seq_scans(below)


def test_signing_in_walks_no_table(app: Flask, browser: FlaskClient, build: Build, database_url: str) -> None:
    ent, parent = build.ent(scopes=OFFLINE), build.active()
    with listening(app) as seen:
        sign_in(browser, "/connexion", parent.username, "pas le bon mot de passe")
        sign_in(browser, ent.url(Attempt(), scope=OFFLINE), parent.username, PASSWORD)
    check_plans(seen, database_url, "account", "session", "throttle", "audit")


def test_tokens_walk_no_table(app: Flask, browser: FlaskClient, build: Build, database_url: str) -> None:
    ent, parent = build.ent(scopes=OFFLINE), build.active()
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    with listening(app) as seen:
        tokens = tokens_for(browser, ent, scope=OFFLINE)
        assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
        assert ent.refresh(browser, tokens["refresh_token"]).status_code == 200
        used_again = ent.refresh(browser, tokens["refresh_token"])
        browser.get("/logout", query_string={"id_token_hint": tokens["id_token"]})
    assert used_again.status_code in {200, 400}
    check_plans(seen, database_url, "authorization_code", "token", "session", "account", "guardianship", "child")


def test_requests_of_clients_with_keys_walk_no_table(
    app: Flask, browser: FlaskClient, build: Build, database_url: str
) -> None:
    parent, key = build.active(), Key.new()
    ent = build.ent(auth_method="private_key_jwt", jwks={"keys": [key.jwk]}, par_required=True)
    party, attempt = KeyedParty.of(ent, client=key), Attempt()
    sign_in(browser, "/connexion", parent.username, PASSWORD)
    with listening(app) as seen:
        code = party.answer(browser.get(party.opened(party.pushed(browser, attempt))))["code"]
        tokens = party.redeem(browser, code, attempt, party.fresh_proof()).get_json()
        party.read_userinfo(browser, tokens["access_token"])
        for path in ("/introspect", "/revoke"):
            assert party.post(browser, path, {"token": tokens["access_token"]}, None).status_code == 200
        assert party.post(browser, "/revoke", {"token": "x", "client_id": "another"}, None).status_code == 401
        commands._aged(services_of(app).settings, now())
        db.session.remove()
    check_plans(seen, database_url, "pushed_request", "spent_proof", "token", "throttle")


def test_recovery_walks_no_table(app: Flask, browser: FlaskClient, build: Build, database_url: str) -> None:
    parent = build.active(email="seule@exemple.fr")
    with listening(app) as seen:
        ask_username(browser, "seule@exemple.fr")
        choose(browser, mailed_link(app, browser, parent))
        sign_in(browser, "/connexion", parent.username, CHOSEN)
    check_plans(seen, database_url, "account", "one_time_link", "outbox", "throttle", "session", "audit")


def test_the_numbers_of_letters_are_read_without_a_walk_over_all_accounts(
    app: Flask, build: Build, database_url: str
) -> None:
    """The worker reads them again and again, for Prometheus, in two seconds at most."""
    build.never_activated()
    with listening(app) as seen:
        numbers = list(measured.read_letters(db.session.connection(), build.settings))
    assert numbers[0][2] >= 1
    check_plans(seen, database_url, "account")


def _changed(year: Year) -> Year:
    year.change("9100000", street="9 rue Neuve").change("9200000", group="5EME2")
    year.change("9200001", parents=year.pupils["9200001"].parents[:1])
    del year.pupils["9200002"]
    return year


def test_imports_walk_no_table(
    app: Flask,
    idp: Run,  # noqa: F811 - the fixture
    tmp_path: Path,
    database_url: str,
) -> None:
    years = {"first": small_year(), "unchanged": small_year(), "changed": _changed(small_year()), "back": small_year()}
    with listening(app) as seen:
        for name, year in years.items():
            answer = idp("roster", "import", "--force", str(year.write(tmp_path / name)))
            assert answer.code == 0, answer.err
    check_plans(seen, database_url, "account", "child", "guardianship", "roster_alias", "audit")


def test_a_purge_of_what_imports_left_walks_no_table(
    app: Flask, settings: Settings, build: Build, database_url: str
) -> None:
    old = now() - timedelta(days=100)
    child = build.child()
    parent = build.active(children=[child])
    other = build.active()
    db.session.execute(update(Child).where(Child.id == child.id).values(left_at=old))
    db.session.execute(update(Guardianship).where(Guardianship.account_id == other.id).values(ended_at=old))
    db.session.add(ImportBatch(format="AAF", mode="complet", started_at=now() - timedelta(days=3000)))
    db.session.commit()
    with listening(app) as seen:
        done = commands._rosters(settings, now())
        db.session.remove()
    assert done == {"links_removed": 1, "pupils_removed": 1, "imports_removed": 1}
    assert parent.id
    check_plans(seen, database_url, "child", "guardianship", "import_batch", "import_issue")


def test_a_purge_walks_no_table(
    app: Flask,
    idp: Run,  # noqa: F811 - the fixture
    database_url: str,
) -> None:
    with listening(app) as seen:
        answer = idp("purge")
        assert answer.code == 0, answer.err
    people = ("account", "child", "guardianship", "session", "device_session", "school_notice")
    check_plans(
        seen, database_url, *people, "audit", "import_issue", "outbox", "throttle", "one_time_link", "spent_proof"
    )


def test_sealing_and_checking_the_journal_walk_no_table(
    app: Flask, settings: Settings, build: Build, browser: FlaskClient, database_url: str
) -> None:
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    with listening(app) as seen:
        sealing.seal_batch(settings.secrets)
        db.session.commit()
        for page in (AuditEntry.seal_id == 1, AuditEntry.seal_id.is_(None)):
            assert next(verifying._pages(page))
        for below in (None, 2):
            assert list(verifying._named_seals(0, below)) == [1]
        assert list(verifying._named_seals(None, 2)) == [1]
        db.session.remove()
    check_plans(seen, database_url, "audit", "audit_seal")
