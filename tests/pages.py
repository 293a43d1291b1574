"""Steps of a browser without JavaScript: follow redirects within the service, fill in forms."""

import re
from html import unescape

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

_TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
_HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)


def cookie_value(browser: FlaskClient, name: str = "__Host-ss") -> str:
    """Return the value of a cookie of the service; an empty text if the browser has none."""
    cookie = browser.get_cookie(name, domain="connexion.exemple.test")
    return cookie.value if cookie else ""


def form_token(page: TestResponse) -> str:
    match = _TOKEN.search(page.get_data(as_text=True))
    assert match, page.get_data(as_text=True)[:500]
    return match.group(1)


def hidden(page: TestResponse) -> dict[str, str]:
    fields = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.get_data(as_text=True))
    return {unescape(name): unescape(value) for name, value in fields}


def text_beside_menu(page: TestResponse) -> str:
    """Return the text of a page without the menu of languages, whose links repeat the parameters of the request."""
    return re.sub(r'<details class="langs">.*?</details>', "", page.get_data(as_text=True), flags=re.DOTALL)


def heading(page: TestResponse) -> str:
    match = _HEADING.search(page.get_data(as_text=True))
    assert match, page.get_data(as_text=True)[:500]
    return " ".join(unescape(re.sub("<[^>]+>", "", match.group(1))).split())


def follow(browser: FlaskClient, response: TestResponse) -> TestResponse:
    for _ in range(10):
        location = response.headers.get("Location", "")
        if response.status_code not in {302, 303} or not location.startswith("/"):
            return response
        response = browser.get(location)
    raise AssertionError("too many redirects")


def submit(browser: FlaskClient, page: TestResponse, **fields: str | list[str]) -> TestResponse:
    data = {"csrf_token": form_token(page), **{name.replace("_", "-"): value for name, value in fields.items()}}
    data["csrf_token"] = form_token(page)
    data.pop("csrf-token", None)
    return follow(browser, browser.post(page.request.full_path.rstrip("?"), data=data))


def sign_in(browser: FlaskClient, url: str, username: str, password: str) -> TestResponse:
    page = follow(browser, browser.get(url))
    if url == "/connexion" and heading(page) != "Connexion":  # a session leads to its account, with this link
        page = browser.get("/connexion?compte=autre")
    assert heading(page) == "Connexion", heading(page)
    return submit(browser, page, identifiant=username, mot_de_passe=password)
