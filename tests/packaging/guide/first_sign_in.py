"""Sign in with the first letter, activate the account, and open the link of the mail, as the guide says.

Usage: first_sign_in.py LETTERS MAILS, for a file of letters, and the file or the URL of the mailbox.
       first_sign_in.py LETTERS to sign in again.
"""

import csv
import html
import json
import quopri
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin

SITE = "https://connexion.exemple.fr"
CHOSEN = "tasse vélo nuage citron"
PATIENCE = 60
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
Page = tuple[str, str]
"""The URL and the text of a page."""


def opened(url: str, fields: dict[str, str] | None = None) -> Page:
    data = None if fields is None else urlencode(fields).encode()
    request = urllib.request.Request(urljoin(SITE, url), data, {"Origin": SITE})  # noqa: S310 - always https
    with browser.open(request, timeout=PATIENCE) as page:
        return page.url, page.read().decode()


def submitted(page: Page, **fields: str) -> Page:
    url, text = page
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', text)
    if token is None:
        sys.exit(f"{url} has no form: {heading(page)}")
    return opened(url, {"csrf_token": token[1], **{name.replace("_", "-"): value for name, value in fields.items()}})


def heading(page: Page) -> str:
    found_heading = re.search(r"<h1[^>]*>(.*?)</h1>", page[1], re.DOTALL)
    return html.unescape(re.sub("<[^>]+>|\\s+", " ", found_heading[1])).strip() if found_heading else page[1][:200]


def mails(box: str) -> str:
    """Return the text of all mails: those in a file, or at the mail catcher of compose.yaml."""
    if not box.startswith("http:"):
        return quopri.decodestring(Path(box).read_bytes()).decode(errors="replace")

    def asked(path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"{box}/api/v1/{path}", timeout=PATIENCE) as answer:  # noqa: S310 - on loopback
            return dict(json.load(answer))

    return "".join(asked(f"message/{mail['ID']}")["Text"] for mail in asked("messages")["messages"])


def mailed_link(box: str) -> str:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if link := re.search(rf"{SITE}/adresse/lien/[\w.~-]+", mails(box)):
            return link[0]
        time.sleep(0.2)
    sys.exit("no mail came")


def steps(letters: str, box: str | None = None) -> Iterator[Page]:
    """Yield the pages that follow the sign-in: those of an activation if there is a mailbox."""
    with Path(letters).open(encoding="utf-8-sig", newline="") as file:
        [letter] = csv.DictReader(file, delimiter=";")
    secret = letter["provisional_password"] if box else CHOSEN
    yield (page := submitted(opened("/connexion"), identifiant=letter["username"], mot_de_passe=secret))
    if box:
        yield submitted(page, nouveau=CHOSEN, confirmation=CHOSEN, mail="anne.leroy@exemple.fr")
        yield submitted(opened(mailed_link(box)))


for step in steps(*sys.argv[1:]):
    print("page:", heading(step))  # noqa: T201 - the output for the test
