"""`private_key_jwt`: a client proves who it is by a JWT that it signed (RFC 7523 2.2 and 3, Core 9).

One `check_*` for one rule. A client of the profile `fapi2` is held to what FAPI 2.0 (5.3.2.1) says beyond that: the
audience is the issuer and nothing else, RS256 is not signed with.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from authlib.oauth2.rfc6749 import OAuth2Request
from flask import request as http

from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.client_auth import client as clients
from idp.oidc.client_auth import single_use
from idp.oidc.keys import jose
from idp.oidc.keys.jose import BadToken
from idp.services import services

log = structlog.get_logger()

METHOD = "private_key_jwt"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SKEW = timedelta(seconds=60)
"""How far a client's clock may be ahead of this node's, or behind it."""
LONGEST_LIFE = timedelta(minutes=10)
_LONGEST_ID = 300
_KEYS_IN_HEADERS = frozenset({"jwk", "jku", "x5c", "x5u"})


def authenticate(_query_client: Any, request: OAuth2Request) -> clients.ProtocolClient | None:
    """Return the client that signed the assertion of this request; None for anything else, which is logged."""
    assertion = request.form.get("client_assertion")
    if not assertion or request.form.get("client_assertion_type") != TYPE:
        return None
    client = None
    try:
        head, claims = jose.parts(assertion)
        client = clients.find(check_subject(claims, request.form.get("client_id")))
        if client is None:
            raise BadToken("it is of nobody")  # noqa: TRY301 - one place says what is wrong
        return _proven(client, assertion, head, claims)
    except BadToken as bad:
        log.info("client assertion refused", client_id=client and client.get_client_id(), reason=str(bad))
        return None


def _proven(
    client: clients.ProtocolClient, assertion: str, head: Mapping[str, Any], claims: Mapping[str, Any]
) -> clients.ProtocolClient:
    """Return the client, the assertion used up; a refusal is decided on the registration as the database has it."""
    try:
        until = _check(client.registration, assertion, head, claims)
    except BadToken:
        fresh = clients.find(client.get_client_id(), fresh=True)
        if fresh is None or fresh.registration.version == client.registration.version:
            raise
        client, until = fresh, _check(fresh.registration, assertion, head, claims)
    check_first_use(claims, client.get_client_id(), until)
    return client


def _check(client: Registration, assertion: str, head: Mapping[str, Any], claims: Mapping[str, Any]) -> datetime:
    """Check all that does not use the assertion up; return until when it must be remembered."""
    if client.auth_method != METHOD:
        raise BadToken("its client proves itself otherwise")
    alg = check_header(client, head)
    until = check_times(claims)
    check_audience(client, claims)
    check_id(claims)
    jose.check_signature(assertion, alg, services().client_keys.find(client, head, alg))
    return until


def check_subject(claims: Mapping[str, Any], named: str | None) -> str:
    """`iss` and `sub` are both the client's id (RFC 7523 3, 1 and 2B), and so is `client_id` where it is sent (4.2)."""
    client_id = claims.get("sub")
    if not isinstance(client_id, str) or not client_id or claims.get("iss") != client_id:
        raise BadToken("iss and sub must be the client's id")
    if named is not None and named != client_id:
        raise BadToken("client_id is another's")
    return client_id


def check_header(client: Registration, head: Mapping[str, Any]) -> str:
    """An asymmetric algorithm that the client may use; no member that would bring a key along (RFC 8725 3.10)."""
    if head.keys() & _KEYS_IN_HEADERS:
        raise BadToken("its header must not bring a key along")
    return jose.algorithm(head, jose.client_names(fapi2=client.fapi2, held_to=client.auth_alg))


def check_times(claims: Mapping[str, Any]) -> datetime:
    """`exp` is to come and not far off (RFC 7523 3, 4); `iat` and `nbf` are not ahead by more than a clock may be."""
    moment = now()
    times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
    if "exp" not in times or not all(jose.is_number(value) for value in times.values()):
        raise BadToken("exp must be there, and times must be numbers")
    if times["exp"] <= (moment - SKEW).timestamp():
        raise BadToken("it has expired")
    if times["exp"] > (moment + LONGEST_LIFE + SKEW).timestamp():
        raise BadToken("it lives too long")
    if max(times.get("iat", 0), times.get("nbf", 0)) > (moment + SKEW).timestamp():
        raise BadToken("it is of the future")
    return datetime.fromtimestamp(times["exp"], UTC) + SKEW


def check_audience(client: Registration, claims: Mapping[str, Any]) -> None:
    """`aud` is this provider: its issuer, or the endpoint that is called or the token endpoint (RFC 7523 3, 3)."""
    issuer = services().settings.issuer
    audience = claims.get("aud")
    if client.fapi2:
        if audience != issuer:
            raise BadToken("aud must be the issuer, as a string")
        return
    named = audience if isinstance(audience, list) else [audience]
    if not {issuer, f"{issuer}/token", f"{issuer}{http.path}"}.intersection(a for a in named if isinstance(a, str)):
        raise BadToken("aud is not this provider")


def check_id(claims: Mapping[str, Any]) -> None:
    """`jti` is there: an assertion counts once (RFC 7523 3, 7; Core 9)."""
    identifier = claims.get("jti")
    if not isinstance(identifier, str) or not 0 < len(identifier) <= _LONGEST_ID:
        raise BadToken("jti must be there, and be text")


def check_first_use(claims: Mapping[str, Any], client_id: str, until: datetime) -> None:
    """Nobody has shown it before, on any node."""
    if not single_use.spend(f"assertion {client_id} {claims['jti']}", until):
        raise BadToken("it was used before")
