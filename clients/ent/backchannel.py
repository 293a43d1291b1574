"""The provider says that a session ended there: the ENT ends its own (OpenID Connect Back-Channel Logout 1.0).

No browser takes part, so no cookie and no form token proves anything: the signed logout token does.
"""

import logging
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, jsonify, request
from werkzeug.wrappers import Response

from clients.ent.checks import (
    CLOCK_SKEW,
    MAX_SUB,
    OLDEST_TOKEN,
    CheckError,
    Claims,
    FetchKeys,
    check_audience,
    check_issuer,
    check_subject,
    check_times,
    signed_claims,
)
from clients.ent.clock import now
from clients.ent.provider import ProviderDownError, ProviderRefusedError, current_provider
from clients.ent.sessions import current_store
from clients.ent.settings import Settings, current_settings

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_TYPES = frozenset({"logout+jwt", "application/logout+jwt"})
_RETRY_AFTER = "30"

backchannel = Blueprint("backchannel", __name__)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a logout token says: this session (`sid`), or all those of the person (`sub`) when it names none.

    Attributes:
        jti: the token's name, which counts once.
        forget_at: NumericDate from which the token is too old whatever it says, and its name need not be known.
        sub: the provider's name for the person.
        sid: the provider's name for the session.
    """

    jti: str
    forget_at: int
    sub: str | None
    sid: str | None


@backchannel.post("/backchannel-logout")
def backchannel_logout() -> Response | tuple[Response, int] | tuple[Response, int, dict[str, str]]:
    """End what the token names; 400 and the reason when it is not believed (2.8), 503 when nobody can tell."""
    settings = current_settings()
    try:
        _end(verified_logout_token(_given(), current_provider().keys, settings))
    except CheckError as error:
        _log.warning("Logout token refused, check %s: %s", error.check, error)
        return jsonify(error="invalid_request", error_description=str(error)), 400
    except (ProviderDownError, ProviderRefusedError):
        answer = jsonify(error="temporarily_unavailable", error_description="the provider's keys cannot be read")
        return answer, 503, {"Retry-After": _RETRY_AFTER}
    return Response(status=200)


def _end(ended: Ended) -> None:
    """End what the token names, the first time that it comes (2.6, 8)."""
    if not current_store().end_sessions_of(ended.jti, ended.forget_at, ended.sub, ended.sid):
        raise CheckError("jti", "the token was used before")


def _given() -> str:
    """Return the token of the form (2.5): one, and in the body."""
    tokens = request.form.getlist("logout_token")
    if len(tokens) != 1:
        raise CheckError("logout_token", "the form must hold one logout_token")
    return tokens[0]


def verified_logout_token(token: str, fetch_keys: FetchKeys, settings: Settings) -> Ended:
    """Return what a logout token says once its signature and its claims are checked (2.6).

    Raises:
        CheckError: at the first rule that does not hold.
    """
    claims, header = signed_claims(token, fetch_keys, "logout_token")
    check_type(header.get("typ"))
    check_issuer(claims, settings.issuer)
    check_audience(claims, settings.client_id)
    check_times(claims)
    check_event(claims)
    check_no_nonce(claims)
    sub, sid = claims.get("sub"), _name(claims, "sid", required=False)
    if sub is not None or sid is None:
        check_subject(claims)
    forget_at = now() + OLDEST_TOKEN + CLOCK_SKEW + 1
    return Ended(jti=str(_name(claims, "jti")), forget_at=forget_at, sub=sub, sid=sid)


def check_type(given: object) -> None:
    """The token says what it is (2.4; RFC 8725, 3.11), so that no other token of the provider passes for one."""
    if not isinstance(given, str) or given.lower() not in _TYPES:
        raise CheckError("typ", "the token is not a logout token")


def check_event(claims: Claims) -> None:
    """`events` has the member of this specification, an object (2.6, 6)."""
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise CheckError("events", "the token does not tell of the end of a session")


def check_no_nonce(claims: Claims) -> None:
    """There is no `nonce` (2.6, 7): an ID token has one."""
    if "nonce" in claims:
        raise CheckError("nonce", "the token has a nonce, as an ID token has")


def _name(claims: Claims, name: str, *, required: bool = True) -> str | None:
    """Return a claim that names something: a text that is neither empty nor endless."""
    value: Any = claims.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUB or not value.isascii():
        raise CheckError(name, f"the token has no usable {name}")
    return value
