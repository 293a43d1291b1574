"""A running service and a real browser for each story."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.canaries import Canaries
from tests.stories.browser import new_page
from tests.stories.site import Site


@pytest.fixture
def phone(site: Site, browser_process: Browser) -> Iterator[Page]:
    """Open a page of a phone, which checks every page that it loads.

    It closes before the service stops: a graceful stop waits two seconds for connections that a browser keeps open.
    """
    with new_page(browser_process) as page:
        yield page


@pytest.fixture
def other_device(site: Site, browser_process: Browser) -> Iterator[Page]:
    with new_page(browser_process, width=1280) as page:
        yield page


@pytest.fixture
def site(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path, worker_id: str, canaries: Canaries
) -> Iterator[Site]:
    """Run the whole service; check its output for the story's secrets (O-01)."""
    site = Site.on(database_url, tmp_path, worker_id)
    try:
        site.start()
        yield site
        for secret, what in (*site.secrets(), *_passwords(request)):
            canaries.add(secret, what)
    finally:
        site.stop()
        for name, text in site.logs():
            canaries.keep(f"what {name} printed", text)
    for name in ("provider", "worker"):
        for line in dict(site.logs())[name].splitlines():
            assert json.loads(line)["timestamp"].endswith("Z"), f"a line of {name}"


def _passwords(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    for name, value in vars(request.module).items():
        if "PASSWORD" in name and isinstance(value, str):
            yield value, "a password of the story"
