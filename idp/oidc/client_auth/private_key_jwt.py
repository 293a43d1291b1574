"""Authenticates clients by `private_key_jwt`: a JWT that the client signed (RFC 7523 2.2 and 3, Core 9).

Each rule has a function `check_*`. RFC 10070 adds that the audience is the issuer alone; for clients of the profile
`fapi2`, FAPI 2.0 (5.3.2.1) adds that it is a string, and forbids RS256. A header may have the `typ` of RFC 10070,
`client-authentication+jwt`, or any other.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from authlib.oauth2.rfc6749 import OAuth2Request

from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.client_auth import client as clients
from idp.oidc.keys import jose
from idp.oidc.keys.jose import InvalidTokenError
from idp.services import services
from idp.web.http import current_request

log = structlog.get_logger()

METHOD = "private_key_jwt"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SKEW = timedelta(seconds=60)  # tolerated difference between the clocks of a client and of this node
MAX_LIFETIME = timedelta(minutes=10)
_MAX_JTI_LENGTH = 300
_KEYS_IN_HEADERS = frozenset({"jwk", "jku", "x5c", "x5u"})


def authenticate(_query_client: Any, request: OAuth2Request) -> clients.ProtocolClient | None:
    """Return the client that signed the assertion of this request; log a refusal and return None."""
    assertion = request.form.get("client_assertion")
    if not assertion or request.form.get("client_assertion_type") != TYPE:
        return None
    client = None
    try:
        head, claims = jose.parts(assertion)
        client = clients.find(check_subject(claims, request.form.get("client_id")))
        if client is None:
            raise InvalidTokenError("its client is unknown")  # noqa: TRY301 - logged below like the others
        return _authenticate(client, assertion, head, claims)
    except InvalidTokenError as bad:
        log.info("client assertion refused", client_id=client and client.registration.client_id, reason=str(bad))
        return None


def _authenticate(
    client: clients.ProtocolClient, assertion: str, head: Mapping[str, Any], claims: Mapping[str, Any]
) -> clients.ProtocolClient:
    """Check the assertion and mark it as used; before a refusal, read the registration from the database again."""
    try:
        until = _check(client.registration, assertion, head, claims)
    except InvalidTokenError:
        fresh = clients.find(client.registration.client_id, fresh=True)
        if fresh is None or fresh.registration.version == client.registration.version:
            raise
        client, until = fresh, _check(fresh.registration, assertion, head, claims)
    check_first_use(claims, client.registration.client_id, until)
    return client


def _check(client: Registration, assertion: str, head: Mapping[str, Any], claims: Mapping[str, Any]) -> datetime:
    """Check everything but the replay; return until when the `jti` has to be remembered."""
    jose.require(client.auth_method == METHOD, "the client is registered for another authentication method")
    alg = check_header(client, head)
    until = check_times(claims)
    check_audience(client, claims)
    check_id(claims)
    jose.check_signature(assertion, alg, services().client_keys.find(client, head, alg))
    return until


def check_subject(claims: Mapping[str, Any], client_id_parameter: str | None) -> str:
    """Check that `iss`, `sub` and a parameter `client_id` name the same client (RFC 7523 3, 1 and 2B; 4.2)."""
    client_id = claims.get("sub")
    if not isinstance(client_id, str) or not client_id or claims.get("iss") != client_id:
        raise InvalidTokenError("iss and sub must be the client's id")
    jose.require(client_id_parameter in {None, client_id}, "client_id is not the client of the assertion")
    return client_id


def check_header(client: Registration, head: Mapping[str, Any]) -> str:
    """Return the algorithm, if the client may use it and the header contains no key (RFC 8725 3.10)."""
    jose.require(not head.keys() & _KEYS_IN_HEADERS, "its header must not contain a key")
    return jose.algorithm(head, jose.client_names(fapi2=client.fapi2, held_to=client.auth_alg))


def check_times(claims: Mapping[str, Any]) -> datetime:
    """Check `exp` (RFC 7523 3, 4), `iat` and `nbf`; return until when the `jti` has to be remembered."""
    moment = now()
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    are_numbers = all(jose.is_number(value) for value in times.values())
    jose.require("exp" in times and are_numbers, "exp is missing, or a time is not a number")
    jose.require(times["exp"] > (moment - SKEW).timestamp(), "it has expired")
    jose.require(times["exp"] <= (moment + MAX_LIFETIME + SKEW).timestamp(), "its lifetime is too long")
    begins = max(times.get("iat", 0), times.get("nbf", 0))
    jose.require(begins <= (moment + SKEW).timestamp(), "it is dated in the future")
    return datetime.fromtimestamp(times["exp"], UTC) + SKEW


def check_audience(client: Registration, claims: Mapping[str, Any]) -> None:
    """Check that `aud` is the issuer alone, as a string or an array of one (RFC 10070); for FAPI 2.0, as a string.

    A client that is registered for it may name this endpoint or the token endpoint, among others too (RFC 7523 3, 3).
    """
    issuer, audience = services().settings.issuer, claims.get("aud")
    if audience == issuer or (audience == [issuer] and not client.fapi2):
        return
    jose.require(client.assertion_audience == "legacy", "aud must be the issuer alone")
    named = {issuer, f"{issuer}/token", f"{issuer}{current_request().path}"}
    values = audience if isinstance(audience, list) else [audience]
    is_named = not named.isdisjoint(value for value in values if isinstance(value, str))
    jose.require(is_named, "aud is not this provider")


def check_id(claims: Mapping[str, Any]) -> None:
    """Check that there is a `jti` (RFC 7523 3, 7; Core 9)."""
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _MAX_JTI_LENGTH:
        raise InvalidTokenError(f"jti must be text of 1 to {_MAX_JTI_LENGTH} characters")


def check_first_use(claims: Mapping[str, Any], client_id: str, until: datetime) -> None:
    """Mark the assertion as used on all nodes; refuse a replay."""
    jose.require(jose.use_once(f"assertion {client_id} {claims['jti']}", until), "it was used before")
