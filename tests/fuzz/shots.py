"""A request that can be changed before it is sent."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.pages import form_token

FORM = "application/x-www-form-urlencoded"


@dataclass
class Shot:
    """One request: its target, its content, and the browser that sends it.

    `right` is the expected response to the unchanged request: the status, and the beginning of a redirect's URL.
    """

    method: str
    path: str
    query: list[tuple[str, str]] = field(default_factory=list)
    form: list[tuple[str, str]] | None = None
    json: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    browser: FlaskClient | None = field(default=None, repr=False)
    right: tuple[int, str] | None = (200, "")
    cookies: bool = True
    raw: bytes | None = None
    raw_query: bytes | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return self.query if self.form is None else self.form

    def encoded(self) -> tuple[bytes, bytes, str]:
        body, kind = b"", ""
        if self.json is not None:
            body, kind = json.dumps(self.json).encode(), "application/json"
        elif self.form is not None:
            body, kind = _encoded(self.form), FORM
        query = _encoded(self.query) if self.raw_query is None else self.raw_query
        return query, body if self.raw is None else self.raw, self.headers.get("Content-Type", kind)


def opening(url: str, browser: FlaskClient, right: tuple[int, str] = (200, "")) -> Shot:
    parts = urlsplit(url)
    return Shot("GET", parts.path, parse_qsl(parts.query), browser=browser, right=right)


def filled(
    page: TestResponse, browser: FlaskClient, fields: dict[str, str], right: tuple[int, str] = (200, "")
) -> Shot:
    shot = opening(page.request.full_path, browser, right)
    shot.method, shot.form = "POST", [("csrf_token", form_token(page)), *fields.items()]
    return shot


def _encoded(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(
        "=".join(quote_from_bytes(t.encode("utf-8", "surrogatepass")) for t in pair) for pair in pairs
    ).encode()
