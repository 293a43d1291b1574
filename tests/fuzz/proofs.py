"""Makes requests that were drawn from `/openapi.json` ones of somebody who may: proofs alone, or all that is needed."""

from collections.abc import Callable
from typing import Any

from idp.oidc.openapi_schemas import SCHEMAS
from tests.fuzz.world import World
from tests.protocol.registering import bearer, invited, of_another, registered
from tests.relying_party import Attempt

Mend = Callable[[World, Any], None]
_OTHER_PROOFS = ("client_secret", "client_assertion", "client_assertion_type")
_MEANT = ("claims", "prompt", "id_token_hint", "acr_values", "request_uri", "max_age")
"""Parameters of an authorization request that a text drawn at random makes wrong."""
_PLAIN = {
    *("contacts", "default_max_age", "require_auth_time", "dpop_bound_access_tokens", "grant_types", "software_id"),
    *("require_pushed_authorization_requests", "backchannel_logout_session_required", "software_version"),
}
"""Members of metadata that mean nothing beyond their kind."""


def _as_client(world: World, case: Any) -> None:
    case.headers.update(world.secret.basic())
    case.headers.pop("DPoP", None)
    if isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name not in _OTHER_PROOFS}
        case.body["client_id"] = world.secret.client_id


def _with_token(world: World, case: Any) -> None:
    case.headers.update(bearer(world.tokens()["access_token"]))
    if isinstance(case.body, dict):
        case.body = {name: value for name, value in case.body.items() if name != "access_token"}


def _invited(_world: World, case: Any) -> None:
    case.headers.update(bearer(invited()))


def _as_registered(world: World, case: Any) -> None:
    told = registered(world.stranger, invited(), **of_another())
    case.path_parameters = {"client_id": told["client_id"]}
    case.headers.update(bearer(told["registration_access_token"]))


def _grant(world: World, case: Any) -> None:
    if case.body["grant_type"] == "refresh_token":
        case.body |= {"refresh_token": world.fresh_tokens()["refresh_token"], "scope": "openid"}
        return
    code, attempt = world.code(world.secret)
    case.body |= {"code": code, "redirect_uri": world.secret.redirect_uri, "code_verifier": attempt.verifier}


def _right(world: World, drawn: dict[str, Any]) -> dict[str, Any]:
    """Return an authorization request that is right, and otherwise as it was drawn."""
    attempt = Attempt()
    rest = {name: value for name, value in drawn.items() if name not in _MEANT}
    right = {"redirect_uri": world.secret.redirect_uri, "response_type": "code", "scope": "openid email"}
    pkce = {"code_challenge": attempt.challenge, "code_challenge_method": "S256"}
    return {**rest, **right, **pkce, "response_mode": "query", "state": attempt.state, "nonce": attempt.nonce}


def _request(world: World, case: Any) -> None:
    case.body = _right(world, case.body)


def _asked(world: World, case: Any) -> None:
    case.query = {**_right(world, case.query), "client_id": world.secret.client_id}


def _token(world: World, case: Any) -> None:
    case.body["token"] = world.fresh_tokens()["access_token"]


def _version(_world: World, case: Any) -> None:
    case.body["version"] = "1"


def _metadata(_world: World, case: Any) -> None:
    known = {name for name in case.body if name in SCHEMAS["ClientMetadata"]["properties"]}
    case.body = {name: value for name, value in case.body.items() if name not in known or name in _PLAIN} | of_another()


def _update(world: World, case: Any) -> None:
    _metadata(world, case)
    case.body.pop("client_secret", None)
    if "client_id" in case.body:  # as the description says; without it nothing is replaced
        case.body["client_id"] = case.path_parameters["client_id"]


def _nothing(_world: World, _case: Any) -> None:
    pass


MENDED: dict[str, tuple[Mend, Mend]] = {
    "authorize": (_nothing, _asked),
    "token": (_as_client, _grant),
    "push": (_as_client, _request),
    "revoke": (_as_client, _token),
    "introspect": (_as_client, _token),
    "userinfo": (_with_token, _nothing),
    "userinfoByPost": (_with_token, _nothing),
    "charter": (_with_token, _nothing),
    "acceptCharter": (_with_token, _version),
    "register": (_invited, _metadata),
    "readClient": (_as_registered, _nothing),
    "updateClient": (_as_registered, _update),
    "deleteClient": (_as_registered, _nothing),
}
"""By operation: what proves who asks, and what makes the rest right."""
