"""A running service and a real browser for each story."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.stories.browser import chromium, new_page
from tests.stories.site import Site


@pytest.fixture(scope="session")
def browser_process() -> Iterator[Browser]:
    """Chromium, once for a test process."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def phone(browser_process: Browser) -> Iterator[Page]:
    """A page of a phone, which checks every page that it opens."""
    with new_page(browser_process) as page:
        yield page


@pytest.fixture
def other_device(browser_process: Browser) -> Iterator[Page]:
    """Another browser, without the first one's cookies."""
    with new_page(browser_process, width=1280) as page:
        yield page


@pytest.fixture
def site(database_url: str, tmp_path: Path, worker_id: str) -> Iterator[Site]:
    """The whole service, running."""
    site = Site.on(database_url, tmp_path, worker_id)
    try:
        site.start()
        yield site
    finally:
        site.stop()
