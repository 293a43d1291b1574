"""Steps of a browser between the desk and the académie's provider."""

import re
from html import unescape

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.db import db
from idp.desk.staff.models import StaffAccount
from tests.desk.academy import provider as academy
from tests.desk.academy.provider import (
    Provider,
)
from tests.desk.colleagues import post
from tests.pages import heading

NOT_OPENED = "L’académie n’a pas ouvert le bureau"


def begin(browser: FlaskClient, page: str = "/connexion", **fields: str) -> str:
    """Press the button of a page; return the URL to which the desk leads."""
    shown = post(browser, "/connexion/academie", page, **fields)
    assert heading(shown) == "Vers l’académie", shown.get_data(as_text=True)
    text = shown.get_data(as_text=True)
    url = re.search(r'class="btn" href="([^"]+)"', text)
    assert url
    assert f'content="0;url={url[1]}"' in text
    return unescape(url[1])


def sign_in(browser: FlaskClient, provider: Provider, page: str = "/connexion", **fields: str) -> TestResponse:
    return browser.get(academy.path(provider.authorize(begin(browser, page, **fields))))


def refused(page: TestResponse, words: str) -> None:
    """Check that a page says why the académie did not open the desk."""
    assert page.status_code == 403
    assert heading(page) == NOT_OPENED
    assert words in page.get_data(as_text=True)


def linked_to(provider: Provider) -> list[str]:
    """Return the names of the people who are linked with the provider's person."""
    statement = select(StaffAccount.name).where(
        StaffAccount.issuer == provider.issuer, StaffAccount.subject == provider.subject
    )
    return list(db.session.scalars(statement))
