"""Two releases run side by side during an upgrade: the statements of the former one run on the schema of this one."""

from pathlib import Path

import psycopg
import pytest

from idp import schema
from idp.app import create_app
from idp.db import db
from idp.operations.revisions import newest
from idp.services import services_of
from tests import former_release, next_release
from tests.databases import settings_for

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
_FIRST = "0001"
"""The newest revision until the first release: until then, the statements of this tree stand for its own."""


def test_statements_of_the_former_release_run_on_this_schema(database_url: str) -> None:
    statements = former_release.read()
    if not statements:
        assert newest() == _FIRST, "run `python -m tests.former_release` on the commit of the last release"
        statements = former_release.of_this_release(database_url)
    assert len(statements) > 150
    with psycopg.connect(database_url) as connection:
        assert former_release.find_broken(connection, statements) == []
        assert former_release.find_unwritten(connection, statements) == []


def test_this_release_runs_on_the_tables_of_the_next_one(database_url: str, tmp_path: Path) -> None:
    settings = settings_for(database_url)
    upgraded = next_release.run(next_release.sources(tmp_path), settings, "db", "upgrade")
    assert upgraded == f"{newest()} → {next_release.REVISION}\n"
    app = create_app(settings)
    answer = app.test_client().get("/readyz")
    services_of(app).close()
    with app.app_context():
        db.engine.dispose()
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert schema.upgrade(settings) == (next_release.REVISION, next_release.REVISION), "the step of a rollback"
    with psycopg.connect(database_url) as connection:
        assert former_release.find_broken(connection, former_release.of_this_release(database_url)) == []


def test_a_column_that_the_former_release_uses_or_does_not_write_is_noticed(database_url: str) -> None:
    statements = former_release.of_this_release(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE outbox RENAME COLUMN last_error TO fault")
        connection.execute("ALTER TABLE school ADD COLUMN region text NOT NULL")
        broken = former_release.find_broken(connection, statements)
        unwritten = former_release.find_unwritten(connection, statements)
        connection.rollback()
    assert [text.split()[0] for text in broken[:3]] == ["INSERT", "SELECT", "UPDATE"]
    assert all('"last_error"' in text for text in broken)
    assert unwritten == ["outbox.fault", "school.region"]
