"""An ENT of the entcore family, configured with its recipe, and its parents."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.cli.client.commands import add
from tests.builders import PASSWORD
from tests.entcore_party import Departure, EntcoreParty
from tests.pages import sign_in
from tests.protocol.flow import HOST

CLIENTS = Path(__file__).parents[2] / "clients"
ENT = "https://ent.exemple.fr"
Register = Callable[..., EntcoreParty]


@pytest.fixture(name="register")
def recipe_register(app: Flask) -> Register:
    """Return a function that registers the ENT with the command of `clients/README.md` and fills in the recipe."""

    def run(*more: str, **settings: Any) -> EntcoreParty:
        chapter = (CLIENTS / "README.md").read_text().partition("\n## entcore\n")[2]
        [command] = re.findall(r"```sh\n(idp client add .*?)```", chapter, re.DOTALL)
        arguments = shlex.split(command.replace("\\\n", " "))[3:]
        result = CliRunner().invoke(add, [*arguments, *more, "--json"])
        assert result.exit_code == 0, result.output
        shown = json.loads(result.output)
        recipe = (CLIENTS / "recipes" / "entcore.json").read_text().replace("connexion.exemple.fr", HOST)
        [domain] = json.loads(recipe)["openid-federate"]["domains"].values()
        filled = domain | {"clientId": shown["client_id"], "secret": shown["client_secret"]} | settings
        return EntcoreParty(filled, app.test_client())

    return run


@pytest.fixture(name="entcore")
def recipe_party(register: Register) -> EntcoreParty:
    return register()


def location_for(browser: FlaskClient, departure: Departure) -> str:
    """Return the redirect of a signed-in browser, which encodes a space as %20."""
    answer = browser.get(urlsplit(departure.url).path, query_string=departure.query.replace(" ", "%20"))
    assert answer.status_code in {302, 303}, answer.get_data(as_text=True)
    return answer.headers["Location"]


def arrive(browser: FlaskClient, party: EntcoreParty) -> dict[str, Any]:
    departure = party.leave()
    return party.receive(location_for(browser, departure), departure)


def signed_in(browser: FlaskClient, account: Account) -> Account:
    assert sign_in(browser, "/connexion", account.username, PASSWORD).status_code == 200
    return account
