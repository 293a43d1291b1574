"""Several nodes on one database, for tests that spread the requests of one browser over them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from idp.app import create_app
from idp.db import db
from idp.services import services_of
from tests.conftest import Browser
from tests.databases import settings_for


@contextmanager
def node(database_url: str, **settings: object) -> Iterator[Flask]:
    app = create_app(settings_for(database_url, **settings))
    app.test_client_class = Browser
    yield app
    with app.app_context():
        db.engine.dispose()
        services_of(app).close()


def moved(browser: FlaskClient, app: Flask) -> FlaskClient:
    """Return a browser with the same cookies that sends its requests to another node."""
    other = app.test_client()
    other._cookies = dict(browser._cookies or {})
    return other


def published(browser: FlaskClient) -> dict[str, dict[str, Any]]:
    """Return the JWKS of a node by `kid`, as it is a second later."""
    services_of(browser.application).server.ring.forget()
    return {key["kid"]: key for key in browser.get("/jwks.json").get_json()["keys"]}
