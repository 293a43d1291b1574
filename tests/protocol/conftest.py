"""What the protocol's tests start from: a parent who is signed in, in a browser that keeps the session."""

import pytest
from flask.testing import FlaskClient

from idp.accounts.models import Account
from tests.builders import PASSWORD, Build
from tests.pages import sign_in


@pytest.fixture
def parent(build: Build) -> Account:
    """An active parent."""
    return build.active()


@pytest.fixture
def session(browser: FlaskClient, parent: Account) -> Account:
    """The parent, signed in in `browser`."""
    page = sign_in(browser, "/connexion", parent.username, PASSWORD)
    assert page.status_code == 200, page.status
    assert browser.get_cookie("__Host-ss", domain="connexion.exemple.test")
    return parent
