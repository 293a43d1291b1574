"""Chromium, and a page that is checked after each load."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from weakref import WeakSet

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    expect,
    sync_playwright,
)

from tests import axe
from tests.applications import SHARED

_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
"""The headless shell is the same engine without the windows: it takes a fifth less of the processor."""
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
"""The timeout in milliseconds for an element or a navigation."""
_SCRIPTLESS: WeakSet[BrowserContext] = WeakSet()
"""Contexts without JavaScript, in which axe would never end."""
_RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}
_STRUCTURE = """() => {
  const copy = document.documentElement.cloneNode(true);
  const texts = document.createTreeWalker(copy, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) if (texts.currentNode.data.trim()) texts.currentNode.data = "text";
  for (const element of copy.querySelectorAll("*"))
    for (const name of ["action", "content", "href", "nonce", "src", "value"])
      if (element.getAttribute(name)) element.setAttribute(name, name);
  return copy.outerHTML;
}"""
"""The page without its texts, links and values: what axe judges by."""
expect.set_options(timeout=PATIENCE)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that need Chromium, as their fixtures say."""
    if "browser_process" in getattr(item, "fixturenames", ()):
        item.add_marker("browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def new_page(browser: Browser, *, width: int = 360, javascript: bool = True, language: str = "fr-FR") -> Iterator[Page]:
    """Open a page in a separate context; a console error or a 5xx response fails the test."""
    context = browser.new_context(
        viewport={"width": width, "height": 740}, locale=language, java_script_enabled=javascript
    )
    if not javascript:
        _SCRIPTLESS.add(context)
    page = context.new_page()
    faults: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error" and "status of 4" not in message.text:
            faults.append(message.text)

    def on_response(response: Response) -> None:
        if response.status >= 500:
            faults.append(f"{response.status} {response.url}")

    page.on("console", on_console)
    page.on("response", on_response)
    page.set_default_timeout(PATIENCE)
    yield page
    context.close()
    assert not faults, faults


def follow(target: Locator) -> None:
    """Tap a link or button and wait for the next page."""
    with target.page.expect_navigation():
        target.click()


def look(page: Page) -> None:
    """Check the current page: accessibility, no horizontal overflow, the heading in the title."""
    if page.context not in _SCRIPTLESS:
        _check_accessible(page)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{page.url} scrolls sideways by {overflow} px"
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang")


def _check_accessible(page: Page) -> None:
    """Run axe, which takes half a second, unless a test of this run has seen a page of this structure and width."""
    width = (page.viewport_size or {"width": 0})["width"]
    structure = sha256(f"{width} {page.evaluate(_STRUCTURE)}".encode()).hexdigest()
    judged = Path(os.environ[SHARED]) / f"accessible-{structure}"
    if judged.exists():
        return
    assert axe.violations(page, _RULES) == []
    judged.touch()
