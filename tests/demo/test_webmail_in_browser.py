"""The mail page of the demonstration in Chromium: accessible, and links in mails open a working page."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Browser, Dialog, Page
from werkzeug.serving import make_server

from tests import axe
from tests.demo.running_catcher import Catcher, confirmation, start
from tests.stories.browser import CHROMIUM, PATIENCE, follow

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


@pytest.fixture
def page(browser_process: Browser) -> Iterator[Page]:
    context = browser_process.new_context(viewport={"width": 360, "height": 800})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[Catcher]:
    running = start(tmp_path / "mails")
    yield running
    running.stop()


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


def test_a_mail_can_be_followed_from_its_text_and_from_its_html(page: Page, catcher: Catcher, link: str) -> None:
    catcher.send(confirmation(link=link))
    page.goto(f"http://127.0.0.1:{catcher.web_port}/")
    assert axe.violations(page, {}) == []
    follow(page.get_by_role("link", name="Activez votre compte"))
    assert axe.violations(page, {}) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    for door in (page.locator(".plain a"), page.frame_locator("iframe").get_by_role("link", name="Confirmer")):
        with page.context.expect_page() as opened:
            door.click()
        follow(opened.value.get_by_role("button", name="Confirmer"))
        assert opened.value.locator("h1").inner_text() == f"Fait, venu de {link}"


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
