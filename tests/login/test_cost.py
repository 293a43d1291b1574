"""The SQL statements of a sign-in with a password. `make bench` measures times."""

from flask import Flask

from idp.accounts.models import Account
from tests.builders import PASSWORD
from tests.pages import sign_in
from tests.statements.heard import heard

MOST = 9
"""Count the form, the sign-in and the account's page."""


def test_sign_in_gains_no_statement(app: Flask, parent: Account) -> None:
    sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)  # the first sign-in fills caches
    with heard() as run:
        sign_in(app.test_client(), "/connexion", parent.username, PASSWORD)
    ran = [text for text in run if text.split()[0] not in {"BEGIN", "COMMIT"}]
    assert 0 < len(ran) <= MOST, ran
    [devices] = [text for text in ran if "UNION" in text]
    assert devices.count("LIMIT") == 2, "the sessions and the device sessions of the page have each a limit"
