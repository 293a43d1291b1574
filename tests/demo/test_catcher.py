"""The mail catcher as a process, with real SMTP and HTTP, and its pages in Chromium."""

import shutil
import smtplib
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Browser, Dialog, Page
from werkzeug.serving import make_server

from demo.mailbox import Mailbox
from tests import axe, forked
from tests.demo.running_catcher import LINK, Catcher, confirmation, free_port, start
from tests.stories.browser import CHROMIUM, PATIENCE, follow


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    running = start(tmp_path / "mails")
    yield running
    if running.process.poll() is None:
        running.stop()


def test_a_mail_is_listed_newest_last_under_the_contract_names(catcher: Catcher) -> None:
    catcher.send(confirmation(), to=("noemie.leroy@exemple.fr", "karim@exemple.fr"))
    catcher.send(confirmation("Votre identifiant"))
    first, last = catcher.mails()
    assert set(first) == {"id", "at", "from", "to", "subject", "text", "html"}
    assert first["from"] == "Scolarité Services <ne-pas-repondre@exemple.fr>"
    assert first["to"] == ["noemie.leroy@exemple.fr", "karim@exemple.fr"]
    assert (first["subject"], last["subject"]) == ("Activez votre compte", "Votre identifiant")
    assert LINK in first["text"].splitlines()
    assert LINK in first["html"]
    assert datetime.fromisoformat(first["at"]).tzinfo is not None
    assert first["id"] != last["id"]


def test_pages_show_the_list_newest_first_and_a_mail_whose_link_can_be_followed(catcher: Catcher) -> None:
    assert "Aucun message" in catcher.get("/")[2]
    catcher.send(confirmation("Le premier"))
    catcher.send(confirmation("Le second"))
    page = catcher.get("/")[2]
    assert page.index("Le second") < page.index("Le premier")
    identifier = catcher.mails()[0]["id"]
    status, headers, body = catcher.get(f"/messages/{identifier}")
    assert status == 200
    assert f'<a href="{LINK}" target="_blank"' in body
    assert "<h1><bdi>Le premier</bdi></h1>" in body
    assert "unsafe-inline" not in headers["Content-Security-Policy"]
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in body
    assert catcher.get("/static/base.css")[0] == 200


def test_the_html_frame_has_its_own_policy_and_runs_no_script(catcher: Catcher) -> None:
    catcher.send(confirmation())
    status, headers, body = catcher.get(f"/messages/{catcher.mails()[0]['id']}/html")
    policy = [part.strip() for part in headers["Content-Security-Policy"].split(";")]
    assert status == 200
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy
    assert not [part for part in policy if part.startswith("script-src") or "allow-scripts" in part]
    assert [part for part in policy if part.startswith("sandbox")]
    assert body.startswith('<!doctype html><html><head><base target="_blank">')
    assert headers["Referrer-Policy"] == "no-referrer"


ODD = {
    "empty": b"",
    "no header": b"\r\nSeulement un corps",
    "not text": bytes(range(1, 10)) + b"\x00\xff\xfe",
    "unknown charset": b"Subject: a\r\nContent-Type: text/plain; charset=klingon\r\n\r\ncaf\xe9",
    "wrong charset": b"Content-Type: text/plain; charset=utf-8\r\n\r\ncaf\xe9",
    "raw header": b'Subject: caf\xc3\xa9 \xff\r\nFrom: <"@>\r\n\r\nx',
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n!!!!\xff",
    "surrogate": b"Subject: =?utf-8?b?7aCA?=\r\n\r\nx",
    "unclosed parts": b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n<b>",
    "markup": b'Subject: <script>alert(1)</script>\r\n\r\n<script>alert(1)</script> http://a/"><b>',
    "nested": b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/alternative\r\n\r\nx",
}


def test_odd_mails_are_kept_and_shown(catcher: Catcher) -> None:
    for raw in ODD.values():
        catcher.send(raw)
    assert len(catcher.mails()) == len(ODD)
    assert catcher.get("/")[0] == 200
    for name, mail in zip(ODD, catcher.mails(), strict=True):
        for path in ("", "/html", "/source"):
            status, headers, body = catcher.get(f"/messages/{mail['id']}{path}")
            assert status == 200, (name, path)
            assert "<script>" not in body or headers["Content-Type"].startswith("text/plain"), (name, path)
    assert (catcher.store / "000004.eml").read_bytes().strip() == ODD["unknown charset"]


def test_mails_survive_a_restart_and_spoilt_files_do_not_stop_it(catcher: Catcher) -> None:
    catcher.send(confirmation("Avant"))
    assert catcher.stop() == 0
    (catcher.store / "000099.json").write_text("{")
    again = start(catcher.store)
    try:
        again.send(confirmation("Après"))
        assert [mail["subject"] for mail in again.mails()] == ["Avant", "Après"]
        assert len({mail["id"] for mail in again.mails()}) == 2
    finally:
        assert again.stop() == 0


def test_unknown_paths_and_hosts_get_an_error_page(catcher: Catcher) -> None:
    for path in ("/messages/7", "/messages/../x", "/messages/%00", "/messages/7/html", "/nulle-part"):
        status, _, body = catcher.get(path)
        assert status == 404, path
        assert "Rien à cette adresse" in body
    assert catcher.get("/mails.json", host="evil.example")[0] == 400


def test_a_busy_port_is_reported_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = ["--web-port", str(free_port()), "--smtp-port", str(taken.getsockname()[1])]
        ended = forked.run("demo.catcher", "--store", str(tmp_path), *ports)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "cannot start" in ended.stderr


def test_a_message_that_cannot_be_written_is_not_accepted(catcher: Catcher) -> None:
    shutil.rmtree(catcher.store)
    with pytest.raises(smtplib.SMTPDataError, match="451"):
        catcher.send(confirmation())
    catcher.store.mkdir()
    catcher.send(confirmation())
    assert len(catcher.mails()) == 1


def test_the_oldest_messages_are_deleted_at_the_limit(tmp_path: Path) -> None:
    mailbox = Mailbox(tmp_path, kept=3)
    for number in range(5):
        mailbox.add(b"Subject: %d\r\n\r\n" % number, sender="a@exemple.fr", to=["b@exemple.fr"])
    assert [message.subject for message in mailbox.messages()] == ["2", "3", "4"]
    assert [message.subject for message in Mailbox(tmp_path).messages()] == ["2", "3", "4"]
    assert len(list(tmp_path.iterdir())) == 6


@pytest.fixture
def page(browser_process: Browser) -> Iterator[Page]:
    context = browser_process.new_context(viewport={"width": 360, "height": 800})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def link() -> Iterator[str]:
    """Serve a page like that of a confirmation link: it refuses frames and has a form."""
    app = Flask(__name__)

    @app.route("/lien", methods=["GET", "POST"])
    def show() -> Response:
        done = f"Fait, venu de {request.referrer}" if request.method == "POST" else ""
        response = Response(f"<h1>{done}</h1><form method=post><button>Confirmer</button></form>", mimetype="text/html")
        response.headers["Content-Security-Policy"] = "default-src 'none'; form-action 'self'; frame-ancestors 'none'"
        return response

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/lien"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_mail_can_be_followed_from_its_text_and_from_its_html(page: Page, catcher: Catcher, link: str) -> None:
    catcher.send(confirmation(link=link))
    page.goto(f"http://127.0.0.1:{catcher.web_port}/")
    assert axe.violations(page, {}) == []
    follow(page.get_by_role("link", name="Activez votre compte"))
    assert axe.violations(page, {}) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for door in (page.locator("pre a"), page.frame_locator("iframe").get_by_role("link", name="Confirmer")):
        with page.context.expect_page() as opened:
            door.click()
        follow(opened.value.get_by_role("button", name="Confirmer"))
        assert opened.value.locator("h1").inner_text() == f"Fait, venu de {link}"


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_script_in_a_mail_does_not_run(page: Page, catcher: Catcher, link: str) -> None:
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", note)
    catcher.send(confirmation(link=link))
    page.goto(f"http://127.0.0.1:{catcher.web_port}/messages/1")
    page.frame_locator("iframe").get_by_role("link", name="Confirmer").wait_for()
    page.goto(f"http://127.0.0.1:{catcher.web_port}/messages/1/html")
    assert dialogs == []
