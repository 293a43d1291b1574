"""PgBouncer in transaction mode before PostgreSQL: all works by it, or the service says why it does not start."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import make_url, text

from idp import pool
from idp.app import create_app
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.paths import CHECKOUT
from idp.rostering import lock
from idp.services import services_of
from tests import forked
from tests.builders import PASSWORD, Build
from tests.commands.processes import PATIENCE, connect, environment, free_port
from tests.conftest import Browser
from tests.databases import postgresql_copy, settings_for
from tests.protocol.flow import tokens_for
from tests.serving.proxy import program

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("new_connections")]

_CONFIGURATION = """\
[databases]
* = host={host} port={port}{password} pool_size=2
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
max_client_conn = 200
{more}
"""
_GUIDE = (CHECKOUT / "docs" / "fiabilite.md").read_text(encoding="utf-8")
_LIMITS = dict(re.findall(r"^    ALTER ROLE idp SET (\w+) = '(\w+)';$", _GUIDE, re.MULTILINE))
"""What the guide gives to the role."""


def test_the_guide_gives_the_role_the_limits_that_connections_have_without_a_pooler() -> None:
    assert " ".join(f"-c {name}={value}" for name, value in _LIMITS.items()) == pool.POSTGRESQL_SETTINGS


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user may enter, unlike pytest's: PgBouncer refuses to run as root."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


@contextmanager
def pgbouncer(folder: Path, database_url: str, more: str = "") -> Iterator[str]:
    """Run PgBouncer before the server of a database, with two connections to it; yield the URL by it."""
    url, listen = make_url(database_url), free_port()
    configuration, log = folder / "pgbouncer.ini", folder / "log"
    host, port = str(url.query.get("host", url.host)), url.port or 5432
    password = f" password={url.password}" if url.password else ""
    users = folder / "users"
    users.write_text(f'"{url.username}" ""\n')
    users.chmod(0o644)
    configuration.write_text(
        _CONFIGURATION.format(host=host, port=port, password=password, listen=listen, folder=folder, more=more)
    )
    configuration.chmod(0o644)
    # one user reaches the socket of a server that the tests have started
    user = {"user": Path(host).stat().st_uid if host.startswith("/") else "nobody"} if os.geteuid() == 0 else {}
    with log.open("wb") as out:
        process = subprocess.Popen([program("pgbouncer"), str(configuration)], stdout=out, stderr=out, **user)  # type: ignore[call-overload]
    try:
        connect(listen, process, log).close()
        yield url.set(host="127.0.0.1", port=listen, query={}, password=None).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.fixture
def limited(shared: Path) -> Iterator[str]:
    """A database whose connections have the time limits without start options."""
    with postgresql_copy(shared) as url, psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        for setting, value in _LIMITS.items():
            connection.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'".encode())
        yield url
        connection.execute(f"ALTER DATABASE {name} RESET ALL".encode())


@contextmanager
def application(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    app.test_client_class = Browser
    yield app
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
        services_of(app).close()


def test_sign_ins_share_few_connections_of_the_server(limited: str, folder: Path) -> None:
    """Two nodes with eight threads use two connections of the server, with neither a collision nor a lost statement."""
    with ExitStack() as stack:
        with psycopg.connect(limited) as direct:
            began = direct.execute("SELECT clock_timestamp()").fetchone()[0]  # type: ignore[index]
        url = stack.enter_context(pgbouncer(folder, limited))
        settings = settings_for(url, database_pooler=True)
        nodes = [stack.enter_context(application(settings)) for _ in range(2)]
        with nodes[0].app_context():
            ent = Build(settings).ent()
            usernames = [Build(settings).active().username for _ in range(8)]

        def sign_in(place: int) -> list[dict[str, Any]]:
            app = nodes[place % 2]
            with app.app_context():
                browser = app.test_client()
                page = browser.get("/connexion").get_data(as_text=True)
                token = page.partition('csrf_token" value="')[2].partition('"')[0]
                form = {"csrf_token": token, "identifiant": usernames[place], "mot-de-passe": PASSWORD}
                assert browser.post("/connexion", data=form).status_code == 303
                return [tokens_for(browser, ent) for _ in range(8)]

        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(sign_in, range(8)))
        assert len({tokens["access_token"] for each in answers for tokens in each}) == 64
        with nodes[0].app_context(), unit_of_work():
            assert db.session.scalar(text("SHOW statement_timeout")) == "5s"
        with psycopg.connect(limited) as direct:
            counted = (
                "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_start > %s"
            )
            # the connection of this test is subtracted; PgBouncer has two for each user and database
            assert direct.execute(counted, [began]).fetchone() in {(1,), (2,)}


def test_one_import_runs_at_a_time(limited: str, folder: Path) -> None:
    with (
        pgbouncer(folder, limited) as url,
        application(settings_for(url, database_pooler=True)) as app,
        app.app_context(),
    ):
        for _ in range(3):  # the lock of a session would stay with a connection of the server, or be taken twice
            with lock.alone():
                for _ in range(2):
                    with pytest.raises(lock.ImportRunningError), lock.alone():
                        pass


@pytest.mark.parametrize(
    ("more", "pooler", "words"),
    [
        ("", False, "PgBouncer refuses start options. Set IDP_DATABASE_POOLER=1, and: ALTER ROLE"),
        (
            "ignore_startup_parameters = options",
            False,
            "a pooler drops the time limits of connections. Set IDP_DATABASE_POOLER=1, and: ALTER ROLE",
        ),
        ("", True, "a pooler drops the time limits of connections. Set: ALTER ROLE"),
    ],
    ids=["refuses options", "drops options", "without limits"],
)
def test_a_server_does_not_start_without_time_limits(
    shared: Path,
    folder: Path,
    more: str,
    pooler: bool,  # noqa: FBT001 - a parameter
    words: str,
) -> None:
    with postgresql_copy(shared) as plain, pgbouncer(folder, plain, more) as url:
        settings = settings_for(url, database_pooler=pooler)
        done = forked.run(
            forked.IDP, "serve", "--bind", f"127.0.0.1:{free_port()}", env=environment(settings), timeout=30
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert done.stderr.rstrip().endswith(
            "restart PgBouncer (or RECONNECT at its console): its open connections keep the former limits."
        )
        doctor = forked.run(forked.IDP, "doctor", "--json", env=environment(settings), timeout=60)
        advice = [finding["advice"] for finding in json.loads(doctor.stdout) if finding["check"] == "database"]
        assert [f"{words}." for words in advice] == [done.stderr.rstrip().splitlines()[-1]], "the doctor says the same"
