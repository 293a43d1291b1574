"""O-02 and the form of the log: one JSON object a line, in ASCII, with the request's id, and never a path."""

import json
import logging
import re
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from idp import logging as log_lines
from idp.clock import now
from idp.db import db
from idp.web import browser as browser_cookie
from tests.applications import lent
from tests.builders import Build
from tests.databases import ISSUER, settings_for
from tests.pages import form_token, sign_in
from tests.web.tour import break_page

_ID = re.compile(r"[2-9A-HJ-NP-TV-Z]{4}-[2-9A-HJ-NP-TV-Z]{4}")
FORGED = (
    "n.leroy\n2026-11-24 10:00:00 INFO login ok",
    'n.leroy"}\r\n{"event": "request", "status": 200}',
    "n.leroy\x1b[2K\x1b[1A\x1b]0;title\x07",
    "n.leroy\u2028INFO login ok\u2029",
    "n.leroy\u202egnp.exe\x00\x85",
)


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> "Lines":
    return Lines(capsys)


class Lines:
    """What was printed on stderr since the last look: each line must be one JSON object of printable ASCII."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self) -> list[dict[str, Any]]:
        shown = self._capsys.readouterr().err
        assert all(" " <= sign <= "~" or sign == "\n" for sign in shown), shown
        return [json.loads(line) for line in shown.splitlines()]


def test_each_request_is_one_line(browser: FlaskClient, lines: Lines) -> None:
    lines()
    before = now()
    browser.get("/connexion?demande=x", headers={"User-Agent": "agent", "X-Forwarded-For": "203.0.113.9"})
    after = now()
    [line] = [line for line in lines() if line["event"] == "request"]  # the header is told of once besides
    assert set(line) == {"event", "request_id", "method", "endpoint", "status", "ms", "level", "timestamp"}
    assert (line["event"], line["method"], line["endpoint"]) == ("request", "GET", "login.sign_in")
    assert (line["status"], line["level"]) == (400, "info")
    assert _ID.fullmatch(line["request_id"])
    assert 0 < line["ms"] <= (after - before) / timedelta(milliseconds=1) + 0.1
    assert line["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(line["timestamp"]) <= after


def test_a_log_line_never_contains_the_path(browser: FlaskClient, lines: Lines) -> None:
    lines()
    for path in ("/adresse/lien/JETON-SECRET", "/JETON-SECRET", "/connexion?demande=JETON-SECRET"):
        browser.get(path)
    shown = lines()
    assert [line["endpoint"] for line in shown] == ["email_link.link", None, "login.sign_in"]
    assert "JETON" not in str(shown)


def test_probes_and_static_files_are_not_logged(browser: FlaskClient, lines: Lines) -> None:
    lines()
    for path in ("/healthz", "/readyz", "/static/base.css"):
        with browser.get(path) as answer:
            assert answer.status_code == 200
            assert answer.get_data()
    assert lines() == []


def test_log_lines_of_a_request_alone_have_its_id(app: Flask, browser: FlaskClient, lines: Lines) -> None:
    app.testing = False
    break_page(app, RuntimeError("boom"))
    lines()
    page = browser.get("/mentions-legales")
    structlog.get_logger().info("afterwards")
    fault, access_line, afterwards = lines()
    assert (fault["event"], access_line["event"], access_line["status"]) == ("fault", "request", 500)
    assert fault["request_id"] == access_line["request_id"]
    assert fault["request_id"] in page.text
    assert "request_id" not in afterwards


def test_the_journal_has_the_same_id(app: Flask, browser: FlaskClient, build: Build, lines: Lines) -> None:
    lines()
    sign_in(browser, "/connexion", build.active().username, "faux mot de passe")
    [posted] = [line for line in lines() if line["method"] == "POST"]
    request_ids = db.session.execute(text("SELECT request_id FROM audit WHERE kind = 'sign_in'")).scalars().all()
    assert request_ids == [posted["request_id"]]


def test_error_outside_a_view_is_logged_without_its_path(
    app: Flask, browser: FlaskClient, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = browser_cookie.save

    def fail(*_: object) -> None:
        monkeypatch.setattr(browser_cookie, "save", saved)
        raise RuntimeError("JETON-SECRET")

    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(browser_cookie, "save", fail)
    lines()
    assert browser.get("/adresse/lien/JETON-SECRET").status_code == 500
    shown = lines()
    assert [line["event"] for line in shown] == ["fault", "refused", "request"]
    assert shown[0]["where"][0] == "RuntimeError"
    assert "JETON" not in str(shown)


@pytest.mark.row("O-02")
@pytest.mark.parametrize("identifier", FORGED)
def test_a_failed_sign_in_forges_no_line(browser: FlaskClient, lines: Lines, identifier: str) -> None:
    page = browser.get("/connexion")
    lines()
    data = {"csrf_token": form_token(page), "identifiant": identifier, "mot-de-passe": "faux mot de passe"}
    assert browser.post("/connexion", data=data, headers={"User-Agent": "x\x1b[2K"}).status_code < 500
    [line] = lines()
    assert (line["event"], line["endpoint"]) == ("request", "login.sign_in")
    assert "leroy" not in str(line)
    details = db.session.execute(text("SELECT details FROM audit WHERE kind = 'sign_in'")).scalars().all()
    assert details
    assert "leroy" not in str(details), "people type passwords there"


@pytest.mark.row("O-02")
@pytest.mark.parametrize("value", FORGED)
def test_every_logger_writes_one_line(lines: Lines, value: str) -> None:
    log_lines.configure()
    lines()
    structlog.get_logger().warning("tested", value=value)
    logging.getLogger("some.library").warning("said %s", value)
    ours, library = lines()
    assert (ours["event"], ours["value"], ours["level"]) == ("tested", value, "warning")
    assert (library["event"], library["logger"], library["level"]) == (f"said {value}", "some.library", "warning")


@pytest.mark.row("O-02")
def test_a_method_forges_no_line(app: Flask, lines: Lines) -> None:
    lines()
    app.test_client().open("/connexion", method='X"}\n' + "Y" * 500)
    [line] = lines()
    assert (line["method"], line["status"]) == ('X"}\n' + "Y" * 16, 405)


def test_the_text_of_an_exception_is_not_logged(lines: Lines) -> None:
    log_lines.configure()
    lines()
    try:
        int("mot de passe")
    except ValueError:
        structlog.get_logger().exception("tested")
        logging.getLogger("some.library").exception("tested too")
    for line in lines():
        assert line["where"][0] == "ValueError"
        assert "test_log_lines.py" in line["where"][1]
        assert "mot de passe" not in str(line)


def test_an_interruption_inside_a_library_is_no_error(lines: Lines) -> None:
    log_lines.configure()
    lines()
    logging.getLogger("some.library").error("an exception during a rollback", exc_info=KeyboardInterrupt())
    assert lines() == []


def test_a_log_call_with_wrong_arguments_raises_no_error(lines: Lines) -> None:
    lines()
    log_lines._Handler().handle(logging.LogRecord("some.library", logging.WARNING, "", 0, "%d", ("x",), None))
    assert [line["event"] for line in lines()] == ["%d"]


def test_an_unwritable_log_raises_no_error(browser: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def write(self, _line: str) -> int:
            raise OSError(28, "No space left on device")

    for stream in (Full(), None):
        monkeypatch.setattr("sys.stderr", stream)
        assert (browser.get("/connexion").status_code, browser.get("/rien").status_code) == (200, 404)


def test_lines_of_many_threads_are_not_mixed(lines: Lines) -> None:
    log_lines.configure()
    lines()
    log = structlog.get_logger()
    threads = [
        threading.Thread(target=lambda name=name: [log.info("x" * 300, name=name) for _ in range(50)])
        for name in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines()) == 400


@pytest.mark.parametrize(("level", "logged"), [("DEBUG", True), ("INFO", True), ("WARNING", False), ("ERROR", False)])
def test_the_level_is_the_setting(database_url: str, lines: Lines, level: str, logged: bool) -> None:  # noqa: FBT001 - a parameter
    with lent(settings_for(database_url, log_level=level), own=True) as app:
        lines()
        app.test_client().get("/connexion", base_url=ISSUER)
        assert bool(lines()) == logged
