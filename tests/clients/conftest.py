"""The sample ENT in this process, and its provider over HTTP."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from clients.ent.app import create_app
from clients.ent.settings import read_settings
from tests.clients.fake_provider import CLIENT_ID, CLIENT_SECRET, Claims, FakeProvider, running_provider

PUBLIC_URL = "http://127.0.0.1:8001"


def environment(issuer: str, folder: Path) -> dict[str, str]:
    return {
        "ENT_ISSUER": issuer,
        "ENT_CLIENT_ID": CLIENT_ID,
        "ENT_CLIENT_SECRET": CLIENT_SECRET,
        "ENT_NAME": "Passerelle",
        "ENT_PUBLIC_URL": PUBLIC_URL,
        "ENT_DATABASE": str(folder / "ent.db"),
        "ENT_SECRET_KEY": "k" * 32,
        "ENT_SCHOOLS": "0599001N=Collège des Tilleuls",
    }


@dataclass
class Browser:
    """A parent's browser, which visits the ENT and the provider."""

    client: FlaskClient

    def get(self, url: str) -> TestResponse:
        return self.client.get(url.removeprefix(PUBLIC_URL))

    def leave(self, url: str = "/login") -> str:
        """Start a sign-in; return the URL of the provider's response without opening it."""
        departure = self.get(url)
        assert departure.status_code == 303, departure.text
        answer = requests.get(departure.location, allow_redirects=False, timeout=60)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def sign_in(self, url: str = "/login") -> TestResponse:
        return self.get(self.leave(url))

    def submit(self, page: str, action: str = "", **fields: str) -> TestResponse:
        html = self.get(page).text
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', html))
        return self.client.post(action or page, data=hidden | fields)

    def enter(self) -> TestResponse:
        self.sign_in()
        self.submit("/charte", accord="oui")
        return self.submit("/notifications", mail="noemie@exemple.fr")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def app(provider: FakeProvider, tmp_path: Path) -> Flask:
    return create_app(read_settings(environment(provider.issuer, tmp_path)))


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app.test_client())


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def change(**changes: object) -> Callable[[Claims], Claims]:
    return lambda claims: {k: v for k, v in (claims | changes).items() if v is not None}
