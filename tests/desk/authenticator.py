"""Steps with a passkey at the desk."""

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.authenticator import Authenticator, options
from tests.pages import form_token


def enrol(browser: FlaskClient, link: str, key: Authenticator, name: str = "ordinateur") -> TestResponse:
    """Enrol with a passkey by the path of an invitation; return the page after it."""
    answer = key.create(options(browser, f"{link}/defi", link))
    token = form_token(browser.get(link))
    return browser.post(link, data={"csrf_token": token, "passkey": answer, "passkey_name": name})


def sign_in(browser: FlaskClient, key: Authenticator) -> TestResponse:
    return answer_with(browser, key.get(options(browser, "/connexion/defi", "/connexion")))


def answer_with(browser: FlaskClient, answer: str, path: str = "/connexion") -> TestResponse:
    return browser.post(path, data={"csrf_token": form_token(browser.get(path)), "passkey": answer})
