"""Steps and marks of many protocol tests."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.dpop_party import KeyedParty
from tests.pages import heading, text_beside_menu
from tests.relying_party import Attempt, RelyingParty

HOST = "connexion.exemple.test"
OFFLINE = "openid profile email ent charter offline_access"

_DESCRIPTION = re.compile("[ !#-\\[\\]-~]+")
"""RFC 6749 A.8."""

# For rows that are decided before any SQL statement: one database is enough and saves half a minute.


def code_for(browser: FlaskClient, ent: RelyingParty, attempt: Attempt, **changes: str | None) -> str:
    return ent.answer(browser.get(ent.url(attempt, **changes)))["code"]


def tokens_for(browser: FlaskClient, ent: RelyingParty, **changes: str | None) -> dict[str, Any]:
    """Return the tokens of one sign-in of a signed-in browser; verify the ID token."""
    attempt = Attempt()
    return ent.tokens(browser, code_for(browser, ent, attempt, **changes), attempt)


def bound(browser: FlaskClient, party: KeyedParty, scope: str = OFFLINE) -> dict[str, Any]:
    attempt = Attempt()
    code = code_for(browser, party, attempt, scope=scope)
    response = party.redeem(browser, code, attempt, party.fresh_proof())
    assert response.status_code == 200, response.get_data(as_text=True)
    return dict(response.get_json())


def refused(response: TestResponse, error: str, status: int = 400) -> None:
    """Check that a back-channel response is this error (RFC 6749 5.2)."""
    assert response.status_code == status, response.get_data(as_text=True)
    body = response.get_json()
    assert body["error"] == error, body
    assert _DESCRIPTION.fullmatch(body.get("error_description", "none is allowed, an empty one is not")), body
    assert response.headers["Cache-Control"] == "no-store"


def stays_here(response: TestResponse) -> str:
    """Check that the response is an error page without a redirect; return its text beside the menu of languages."""
    text = unescape(text_beside_menu(response))
    assert response.status_code == 400, text
    assert "Location" not in response.headers
    over = "invalid request_uri" in text
    assert heading(response) == ("Reprenons depuis l’ENT" if over else "La demande de connexion n’est pas valable")
    return text


def step_of(response: TestResponse) -> str:
    assert response.status_code == 303, response.get_data(as_text=True)
    location = urlsplit(response.headers["Location"])
    assert not location.netloc, response.headers["Location"]
    return location.path


class _Forms(HTMLParser):
    """Parser of the forms of a page and their fields."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[tuple[dict[str, str | None], list[tuple[str, str]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "form":
            self.forms.append((attributes, []))
        elif tag == "input" and self.forms:
            self.forms[-1][1].append((attributes.get("name") or "", attributes.get("value") or ""))


def posted_answer(ent: RelyingParty, response: TestResponse) -> dict[str, str]:
    """Return the parameters that the browser posts to the redirect URI (Form Post Response Mode 1.0)."""
    text = response.get_data(as_text=True)
    assert response.status_code == 200, text
    assert response.headers["Cache-Control"] == "no-store"
    assert "Location" not in response.headers
    read = _Forms()
    read.feed(text)
    [(form, pairs)] = read.forms
    assert (form["action"], form["method"]) == (ent.redirect_uri, "post")
    answer = dict(pairs)
    assert len(answer) == len(pairs)
    assert answer["iss"] == ent.issuer
    return answer
