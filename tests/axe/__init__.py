"""axe-core, which judges the accessibility of pages in Chromium."""

import os
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tests.applications import SHARED
from tests.interop.node import installed

_RUN = "options => axe.run(options).then(({violations}) => violations)"


@cache
def script() -> str:
    """Return the source of axe-core; skip the test if npm cannot fetch it."""
    folder = installed(Path(os.environ[SHARED]), Path(__file__).parent)
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, options: dict[str, Any]) -> list[str]:
    """Return the rules that the page breaks, each with the elements that break it."""
    if page.evaluate("!window.axe"):  # the script has 570 kB: a document gets it once
        page.evaluate(script())
    return [
        f"{violation['id']}: {violation['help']}: {[node['html'] for node in violation['nodes']]}"
        for violation in page.evaluate(_RUN, {"resultTypes": ["violations"], **options})
    ]
