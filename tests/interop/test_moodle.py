"""Moodle's settings (clients/recipes/moodle.md), and a client that sends the same requests as Moodle's source code.

Moodle itself is not run. Its requests are defined in `lib/oauthlib.php`, `lib/classes/oauth2/` and `auth/oauth2/`.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode, urlsplit

import pytest
import requests

from tests.interop.installation import ENT, PROVIDER, RECIPES, Installation, Registered
from tests.interop.visitor import PATIENCE, Visitor

SECTION = "Moodle"
CALLBACK = f"https://{ENT}/admin/oauth2callback.php"
USERNAME = re.compile(r"[a-z0-9._@-]{1,100}")
"""Return the username that Moodle stores (`core_user::clean_field`)."""
pytestmark = pytest.mark.interop


def table() -> dict[str, str]:
    """Return the values of the page by field, and the mappings by external name."""
    text = (RECIPES / "moodle.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `?([^|`]+)`? \| `?([^|`]+)`? \|$", text, re.MULTILINE)
    return {name.strip(): value.strip() for name, value in rows}


@dataclass
class Moodle:
    installation: Installation
    client: Registered
    typed: dict[str, str]
    basic: bool = True

    def discovered(self) -> dict[str, str]:
        """Return the endpoints of the metadata at the base URL: members ending with `_endpoint`."""
        base = self.typed["Service base URL"].replace(PROVIDER, self.installation.netloc)
        metadata = self._get(f"{base}/.well-known/openid-configuration")
        return {name: value for name, value in metadata.items() if name.endswith("_endpoint")}

    def login_url(self) -> str:
        """Return the authorization URL, without nonce and challenge; `state` has the next page and the session key."""
        going_on = urlencode({"wantsurl": f"https://{ENT}/my/", "sesskey": "Zq8xYkVb3T", "id": "1"})
        more = parse_qs(self.typed["Additional parameters included in a login request"])
        parameters = {
            "client_id": self.client.client_id,
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "state": f"/auth/oauth2/login.php?{going_on}",
            "scope": self.typed["Scopes included in a login request"],
            **{name: values[0] for name, values in more.items()},
        }
        return f"{self.discovered()['authorization_endpoint']}?{urlencode(parameters)}"

    def upgrade_token(self, code: str) -> dict[str, Any]:
        """Exchange the code, with the secret in a header or in the body."""
        parameters = {"code": code, "grant_type": "authorization_code", "redirect_uri": CALLBACK}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if self.basic:
            pair = f"{quote_plus(self.client.client_id)}:{quote_plus(self.client.secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            parameters |= {"client_id": self.client.client_id, "client_secret": self.client.secret}
        answer = requests.post(
            self.discovered()["token_endpoint"],
            data=urlencode(parameters),
            headers=headers,
            verify=str(self.installation.trusted),
            timeout=PATIENCE,
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def user(self, access_token: str) -> dict[str, str]:
        claims = self._get(self.discovered()["userinfo_endpoint"], Authorization=f"Bearer {access_token}")
        fields = {self.typed[name]: value for name, value in claims.items() if name in self.typed}
        return {**fields, "username": fields["username"].strip().lower()}

    def _get(self, url: str, **headers: str) -> dict[str, Any]:
        trusted = str(self.installation.trusted)
        answer = requests.get(url, headers={"Accept": "application/json", **headers}, verify=trusted, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.mark.parametrize("basic", [True, False], ids=["in a header", "in the body"])
def test_a_parent_enters(installation: Installation, visitor: Visitor, *, basic: bool) -> None:
    typed = table()
    assert typed["Authenticate token requests via HTTP headers"] == "ticked"
    method = () if basic else ("--auth-method", "client_secret_post")
    moodle = Moodle(installation, installation.register(SECTION, ENT, *method), typed, basic)
    installation.publish_charter(moodle.client)
    visitor.stops_at = CALLBACK
    visitor.open(moodle.login_url())
    visitor.sign_in(installation.parent())
    visitor.accept_the_charter()
    answer = parse_qs(urlsplit(visitor.steps[-1]).query)
    assert answer["state"] == [parse_qs(urlsplit(moodle.login_url()).query)["state"][0]], "letter by letter"
    user = moodle.user(moodle.upgrade_token(answer["code"][0])["access_token"])
    assert (user["firstname"], user["lastname"]) == ("Noémie", "LEROY-VANDEPUTTE")
    assert user["email"] == "noemie.leroy@exemple.fr"
    assert USERNAME.fullmatch(user["username"])
    assert user["username"] != user["email"]
