"""`idp serve` and `idp worker` start and stop; `/readyz` as a load balancer sees it."""

import resource
import signal
import socket
import time
from pathlib import Path
from urllib.parse import unquote

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from idp.app import create_app
from idp.config import Settings
from idp.db import db
from idp.oidc.keys import rotation
from idp.serving import commands
from tests.applications import lent
from tests.commands.conftest import Run, check_refusal
from tests.commands.processes import PATIENCE, connect, free_port, read_all, running
from tests.databases import ISSUER, settings_for
from tests.waiting import wait_for

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_answers_and_stops_on_a_signal(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    port, log = free_port(), tmp_path / "log"
    with running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "2") as process:
        with connect(port, process, log) as connection:
            connection.sendall(HEALTH)
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert f'"url": "http://127.0.0.1:{port}", "workers": 2, "threads": 32' in log.read_text()
    assert "Traceback" not in log.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def test_serve_completes_the_current_request_before_it_stops(settings: Settings, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    body = b"grant_type=authorization_code&code=x"
    head = (
        "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with running(settings, log, "serve", "--bind", f"127.0.0.1:{port}", "--workers", "1") as process:
        with connect(port, process, log) as warm:  # the worker has loaded the application
            warm.sendall(HEALTH)
            read_all(warm)
        with connect(port, process, log) as connection:
            connection.sendall(head.encode())
            assert connection.recv(100).startswith(b"HTTP/1.1 100 "), "it has the request in hand"
            connection.sendall(body[:10])
            process.terminate()
            time.sleep(1)
            assert process.poll() is None, "it waits for the request in hand"
            connection.sendall(body[10:])
            answer = read_all(connection)
        assert b"HTTP/1.1 401 " in answer, answer[:200]
        assert b"invalid_client" in answer
        assert process.wait(PATIENCE) == 0


def test_serve_listens_on_a_socket_file(settings: Settings, tmp_path: Path) -> None:
    path, log = Path(tmp_path, "s"), tmp_path / "log"
    with running(settings, log, "serve", "--bind", f"unix:{path}", "--workers", "1") as process:
        wait_for(path.is_socket, process, log.read_text)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            wait_for(lambda: connection.connect_ex(str(path)) == 0)  # the file is there before the worker listens
            connection.sendall(HEALTH)
            assert read_all(connection).startswith(b"HTTP/1.1 200 ")
        process.terminate()
        assert process.wait(PATIENCE) == 0


def test_an_occupied_port_and_a_foreign_ip_are_one_line_errors(idp: Run) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        check_refusal(idp("serve", "--bind", bind), f"cannot listen on {bind} (Address already in use)")
    check_refusal(idp("serve", "--bind", "192.0.2.1:8000"), "cannot listen on 192.0.2.1:8000 (")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_worker_starts_and_stops_on_a_signal(settings: Settings, tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with running(settings, log, "worker") as process:
        wait_for(lambda: "outbox.worker_started" in log.read_text(), process, log.read_text)
        process.send_signal(number)
        assert process.wait(PATIENCE) == 0
    assert "outbox.worker_stopped" in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize(
    ("soft", "hard", "most"), [(1024, 1024, 768), (1024, 4096, 3840), (20_000, 20_000, 8192), (64, 64, 1)]
)
def test_connections_stay_below_the_descriptors(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, most: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, _limits: None)
    assert commands._most_connections() == most


def status(browser: FlaskClient) -> tuple[int, str]:
    answer = browser.get("/readyz", base_url=ISSUER)
    return answer.status_code, answer.get_json()["status"]


def change(statement: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.row("W-07", "K-09")
def test_readyz_is_ok_with_database_and_key(browser: FlaskClient) -> None:
    assert status(browser) == (200, "ok")
    assert browser.get("/readyz").headers["Cache-Control"] == "no-store"


@pytest.mark.row("W-07")
def test_readyz_has_one_spelling(browser: FlaskClient) -> None:
    """A proxy that compares paths literally keeps it from strangers."""
    for path in ("//readyz", "///readyz", "/readyz/", "/%72eadyz", "/read%79z"):
        asked = {"PATH_INFO": unquote(path), "RAW_URI": path}
        assert browser.get("/", environ_overrides=asked).status_code == 404, path
    assert browser.get("/readyz?x=/%72eadyz").status_code == 200


@pytest.mark.row("W-07")
def test_healthz_needs_no_database(browser: FlaskClient) -> None:
    change("DROP TABLE alembic_version")
    change("ALTER TABLE signing_key RENAME TO gone")
    answer = browser.get("/healthz")
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok"})
    assert "Set-Cookie" not in answer.headers


def test_readyz_fails_until_migrations_are_applied(browser: FlaskClient) -> None:
    change("ALTER TABLE alembic_version RENAME TO kept")
    assert status(browser) == (503, "migrations"), "none"
    change("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    for revision in ("0000", "another"):
        change(f"INSERT INTO alembic_version VALUES ('{revision}')")  # noqa: S608 - of this test
        assert status(browser) == (503, "migrations"), revision
        change("DELETE FROM alembic_version")
    change("DROP TABLE alembic_version")
    change("ALTER TABLE kept RENAME TO alembic_version")
    assert status(browser) == (200, "ok")


def test_a_node_stays_ready_on_the_tables_of_a_newer_release(browser: FlaskClient) -> None:
    change("UPDATE alembic_version SET version_num = '9999'")
    assert status(browser) == (200, "ok")


def test_readyz_needs_a_signing_key(browser: FlaskClient, settings: Settings) -> None:
    change("DELETE FROM signing_key")
    assert status(browser) == (503, "signing key")
    rotation.rotate(settings)
    assert status(browser) == (200, "ok")


def test_readyz_ignores_a_future_key(browser: FlaskClient, settings: Settings) -> None:
    rotation.rotate(settings)
    change("DELETE FROM signing_key WHERE active_from <= created_at")
    assert status(browser) == (503, "signing key")


def test_readyz_fails_when_the_secret_key_cannot_decrypt_the_signing_key(database_url: str) -> None:
    other = settings_for(database_url, secret_key="another secret key, of more than 32 bytes: 9876543210")
    with lent(other, own=True) as app:
        assert status(app.test_client()) == (503, "signing key")


@pytest.mark.row("W-07", "K-09")
def test_readyz_fails_without_a_database_and_reveals_no_detail() -> None:
    app = create_app(settings_for("postgresql://idp:dbp4ssword@127.0.0.1:1/idp"))
    answer = app.test_client().get("/readyz", base_url=ISSUER)
    assert (answer.status_code, answer.get_json()) == (503, {"status": "database"})


@pytest.mark.row("W-07")
def test_readyz_recovers_when_the_server_returns(database_url: str) -> None:
    """The server ends the connections that the pool holds, as when it restarts."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with lent(settings_for(database_url), own=True) as app:
        assert status(app.test_client()) == (200, "ok")
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute(f"SELECT pg_terminate_backend(pid) {others}")
            wait_for(lambda: other.execute(f"SELECT count(*) {others}").fetchone() == (0,))
        assert status(app.test_client()) == (200, "ok")


def test_readyz_ignores_a_long_write(app: Flask, browser: FlaskClient) -> None:
    assert status(browser) == (200, "ok")
    with db.engine.begin() as connection:
        connection.execute(text("LOCK TABLE signing_key IN EXCLUSIVE MODE"))
        assert status(browser) == (200, "ok")
