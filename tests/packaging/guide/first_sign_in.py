"""Sign in with the first letter, activate the account, and open the link of the mail, as the guide says."""

import csv
import html
import quopri
import re
import sys
import time
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlencode, urljoin

SITE = "https://connexion.exemple.fr"
LETTERS, MAILS = Path("/srv/idp/courriers.csv"), Path("/var/log/mails")
CHOSEN = "tasse vélo nuage citron"
PATIENCE = 60
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))


def opened(url: str, fields: dict[str, str] | None = None) -> tuple[str, str]:
    """Return the URL and the text of a page, after its redirects."""
    data = None if fields is None else urlencode(fields).encode()
    request = urllib.request.Request(urljoin(SITE, url), data, {"Origin": SITE})  # noqa: S310 - always https
    with browser.open(request, timeout=PATIENCE) as page:
        return page.url, page.read().decode()


def submitted(page: tuple[str, str], **fields: str) -> tuple[str, str]:
    """Send the form of a page."""
    url, text = page
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', text)
    if token is None:
        sys.exit(f"{url} has no form: {heading(page)}")
    return opened(url, {"csrf_token": token[1], **{name.replace("_", "-"): value for name, value in fields.items()}})


def heading(page: tuple[str, str]) -> str:
    """Return the heading of a page, for the output that the test reads."""
    found_heading = re.search(r"<h1[^>]*>(.*?)</h1>", page[1], re.DOTALL)
    return html.unescape(re.sub("<[^>]+>|\\s+", " ", found_heading[1])).strip() if found_heading else page[1][:200]


def mailed_link() -> str:
    """Return the link of the mail that confirms the address."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        text = quopri.decodestring(MAILS.read_bytes()).decode(errors="replace")
        if link := re.search(rf"{SITE}/adresse/lien/[\w.~-]+", text):
            return link[0]
        time.sleep(0.2)
    sys.exit("no mail came")


with LETTERS.open(encoding="utf-8-sig", newline="") as file:
    [letter] = csv.DictReader(file, delimiter=";")
username, secret = letter["username"], letter["provisional_password"]
page = submitted(opened("/connexion"), identifiant=username, mot_de_passe=secret)
print("page:", heading(page))  # noqa: T201 - the output for the test
page = submitted(page, nouveau=CHOSEN, confirmation=CHOSEN, mail="anne.leroy@exemple.fr")
print("page:", heading(page))  # noqa: T201
page = submitted(opened(mailed_link()))
print("page:", heading(page))  # noqa: T201
