"""Steps of an ENT that registers itself with an invitation."""

from datetime import timedelta
from itertools import count
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.config import Settings
from idp.registration import invitations
from tests.builders import COLLEGE
from tests.relying_party import RelyingParty

SCOPES = ["openid", "profile", "email", "ent", "charter", "offline_access"]
MINIMAL: dict[str, Any] = {"redirect_uris": ["https://nouveau.test/cb"], "client_name": "Nouveau"}
_numbers = count(1)


def of_another() -> dict[str, Any]:
    """Return minimal metadata with a unique name, because two ENTs must not have the same name."""
    return {**MINIMAL, "client_name": f"Essai n{next(_numbers):05}"}


def invited(scopes: list[str] | None = None, uais: tuple[str, ...] = (COLLEGE,), **more: Any) -> str:
    return invitations.invite("ENT", uais, invitations.Bounds(scopes=scopes or SCOPES), timedelta(days=7), **more)[1]


def bound(**bounds: Any) -> str:
    """Return the token of a new invitation with these bounds; `uses` and others are columns of the invitation."""
    more = {name: bounds.pop(name) for name in ("uses", "pkce", "release_username") if name in bounds}
    return invitations.invite(
        "ENT", (COLLEGE,), invitations.Bounds(scopes=SCOPES, **bounds), timedelta(days=7), **more
    )[1]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def register(browser: FlaskClient, token: str, **metadata: Any) -> TestResponse:
    return browser.post("/register", json={**MINIMAL, **metadata}, headers=bearer(token))


def registered(browser: FlaskClient, token: str, **metadata: Any) -> dict[str, Any]:
    answer = register(browser, token, **metadata)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(answer.get_json())


def replaced(browser: FlaskClient, registration: dict[str, Any], **metadata: Any) -> TestResponse:
    """Replace a registration (RFC 7592 2.2), and store the new token in `registration`."""
    body = {**MINIMAL, "client_id": registration["client_id"], **metadata}
    own = bearer(registration["registration_access_token"])
    answer = browser.put(f"/register/{registration['client_id']}", json=body, headers=own)
    if answer.status_code == 200:
        registration["registration_access_token"] = answer.get_json()["registration_access_token"]
    return answer


def party(settings: Settings, registration: dict[str, Any]) -> RelyingParty:
    return RelyingParty(
        settings.issuer,
        registration["client_id"],
        registration.get("client_secret"),
        registration["redirect_uris"][0],
        registration["scope"].split(),
    )
