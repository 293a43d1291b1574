"""The checks that an ENT makes on the provider's tokens and responses.

OpenID Connect Core 1.0: 2 and 3.1.3.7 (ID token), 3.1.3.8 (access token), 5.3.2 (UserInfo), 12.2 (renewed ID token);
Back-Channel Logout 1.0: 2.6; RFC 8725. One `require` for each rule of the specifications; passed checks are logged
at DEBUG.
"""

import base64
import hashlib
import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact, validate_compact

CLOCK_SKEW, OLDEST_TOKEN = 30, 600
"""Seconds: the allowed difference between two clocks; the maximum age of a token."""
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LAST_DATE, _MODULUS = 2**53, "x" * 342  # the shortest modulus, 2,048 bits
_VECTOR = re.compile(r"(?:[12](?:\|[^|]+){2}|[34](?:\|[^|]*){2})\|[^|\s]+\|[0-9]{7}[A-Z]")
_KEYS: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RS256": RSAKey, "PS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}
"""The key type of each supported algorithm. `none` and the HMAC algorithms are not supported."""
_MEMBERS = frozenset({"kty", "crv", "n", "e", "x", "y"})
_REGISTRY = JWSRegistry(algorithms=tuple(_KEYS), strict_check_header=False)
# RFC 9864 deprecates the name EdDSA, which does not fix the curve; this kit supports Ed25519 only
_REGISTRY.algorithms = {**JWSRegistry.algorithms, "EdDSA": JWSRegistry.algorithms["Ed25519"]}
_BROKEN = (JoseError, ValueError, TypeError, RecursionError)
_log = logging.getLogger(__name__)
Claims = dict[str, Any]


class CheckError(Exception):
    """A check failed. `check` is the name of the rule or the step, `status` an HTTP status. It contains no secret."""

    status = 400

    def __init__(self, check: str, message: str, description: object = None) -> None:
        super().__init__(message)
        self.check, self.description = check, str(description or "")


class ProviderRefusedError(CheckError):
    """The provider returned an error (RFC 6749, 4.1.2.1, 5.2; RFC 6750, 3.1; Core, 3.1.2.6): code and `description`."""


class ProviderDownError(CheckError):
    """The provider does not respond, or its response does not follow the protocol. A retry may succeed."""

    status = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The registration of the ENT (`idp client add`). All values are compared letter by letter."""

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str = field(default="", repr=False)  # sent by HTTP Basic
    post_logout_redirect_uri: str = ""  # where the provider redirects after the sign-out
    scope: str = "openid profile email ent charter"
    id_token_alg: str = "RS256"  # noqa: S105 - algorithm of ID tokens and logout tokens: or PS256, ES256, EdDSA
    userinfo_alg: str = ""  # algorithm of UserInfo responses; empty for plain JSON
    ca_bundle: str = ""  # PEM file of the certificate authorities for the provider; empty for the system's


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in in progress: the values that the response must match, and the page to show then. Keep it an hour."""

    state: str
    nonce: str
    code_verifier: str = field(repr=False)
    target: str = ""
    max_age: str = ""
    acr_values: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A signed-in person: the claims of the ID token and of UserInfo, and the tokens, which are secret."""

    claims: Claims
    userinfo: Claims
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)


class Charter(NamedTuple):
    """The current charter of this ENT, in Markdown; `published_at` is ISO 8601."""

    version: str
    markdown: str
    published_at: str
    accepted: bool


class LogoutToken(NamedTuple):
    """The content of a logout token: end the session `sid`, or all sessions of the person `sub` if `sid` is None."""

    jti: str  # the token's identifier, accepted once
    forget_at: int  # a NumericDate, after which the token has expired and `jti` can be forgotten
    sub: str | None
    sid: str | None


class Vector(NamedTuple):
    """One value of FrEduVecteur (SDET), `2|NOM|Prénom|eleve_id|UAI`: a person's name, a pupil, the pupil's school."""

    profile: str  # 1: parent, first degree (écoles); 2: parent, second degree (collèges, lycées); 3 and 4: their pupils
    family_name: str  # of the person who signs in, exactly as in the school's file; empty for most pupils
    given_name: str
    student_id: str  # SIECLE's ELEVE_ID of the pupil, also when a parent signs in
    uai: str  # the pupil's school


def now() -> int:
    """Return the current time as a NumericDate: seconds since 1970 in UTC (RFC 7519, 2)."""
    return int(time.time())


def is_web_url(value: object) -> bool:
    """Return whether the value is a usable URL: https, or http on loopback (OpenID Connect Core 1.0, 3.1.2.1)."""
    try:
        parts = urlsplit(value if isinstance(value, str) and not any(map(str.isspace, value)) else "")
        _ = parts.port  # raises when it is not a number
    except ValueError:
        return False
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"})


def parse_vectors(userinfo: Claims) -> list[Vector]:
    """Return the vectors of a person: one for each child and school, and at most one for a pupil."""
    claim = userinfo.get("FrEduVecteur", [])
    values = [str(value) for value in (claim if isinstance(claim, list) else [claim])]
    require(all(map(_VECTOR.fullmatch, values)), "FrEduVecteur", "a value is not profile|name|name|pupil|school")
    vectors = [Vector(*value.split("|")) for value in values]
    is_allowed = not vectors[1:] or all(vector.profile in "12" for vector in vectors)
    require(is_allowed, "FrEduVecteur", "a pupil has more than one vector")
    return vectors


def require(condition: object, check: str, message: str) -> None:
    """Log the check if the condition is true.

    Raises:
        CheckError: the condition is false.
    """
    if not condition:
        raise CheckError(check, message)
    _log.debug("passed: %s", check)


class Checks:
    """The checks of one ENT. `fetch_keys` returns the provider's JWK set; `fetch_keys(True)` requests it again."""

    def __init__(self, ent: Registration, fetch_keys: Callable[[bool], Claims]) -> None:
        self._ent, self._fetch_keys = ent, fetch_keys

    def id_token(self, token: object, attempt: Attempt, access_token: str) -> Claims:
        """Check the ID token of a sign-in and return its claims (3.1.3.7)."""
        claims = self._verified(token, "id_token", "jwt")
        require(claims.get("nonce") == attempt.nonce, "nonce", "the ID token belongs to another request")
        _identifier(claims, "sub")
        self._check_hash(claims, access_token)
        if attempt.max_age:
            oldest = now() - int(attempt.max_age) - CLOCK_SKEW
            require(_number(claims, "auth_time") >= oldest, "auth_time", "the sign-in is older than max_age")
        if attempt.acr_values:
            require(claims.get("acr") in attempt.acr_values.split(), "acr", "acr is not one of the requested values")
        return claims

    def renewed_id_token(self, token: object, before: Claims, access_token: str) -> Claims:
        """Check the ID token of a refresh response, which must be of the same sign-in; return all claims (12.2)."""
        claims = self._verified(token, "id_token", "jwt")
        require(claims.get("sub") == before["sub"], "sub", "the renewed token is of another person")
        for name in {"auth_time", "nonce"} & claims.keys():
            require(claims[name] == before.get(name), name, "the renewed token is of another sign-in")
        self._check_hash(claims, access_token)
        return before | claims

    def userinfo(self, response: object, subject: str) -> Claims:
        """Check a UserInfo response, JSON or JWT as registered, for the person `subject`; return its claims (5.3.2)."""
        ent, claims = self._ent, response
        if ent.userinfo_alg:
            claims, _ = self._signed(response, ent.userinfo_alg, "userinfo_signed")
            require(claims.pop("iss", None) == ent.issuer, "userinfo_iss", "UserInfo comes from another provider")
            audience = claims.pop("aud", None)
            require(audience in (ent.client_id, [ent.client_id]), "userinfo_aud", "UserInfo is for another client")
        if not isinstance(claims, dict):
            raise CheckError("userinfo", "UserInfo does not have the registered format")
        require(claims.get("sub") == subject, "userinfo_sub", "UserInfo and the ID token have different subjects")
        return claims

    def logout_token(self, token: object) -> LogoutToken:
        """Check a logout token (Back-Channel Logout 1.0, 2.6). The caller must refuse a `jti` that it has seen."""
        claims = self._verified(token, "logout_token", "logout+jwt")
        events = claims.get("events")
        has_event = isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)
        require(has_event, "events", "the token has no logout event")
        require("nonce" not in claims, "nonce", "the token has a nonce, as an ID token has")
        sub, sid = (_identifier(claims, name) if claims.get(name) is not None else None for name in ("sub", "sid"))
        require(sub or sid, "sub", "the token names neither a person nor a session")
        return LogoutToken(_identifier(claims, "jti"), now() + OLDEST_TOKEN + CLOCK_SKEW + 1, sub, sid)

    def _verified(self, token: object, kind: str, typ: str) -> Claims:
        """Return the claims of a recent token for this ENT. The header may have no `typ`, but not another one."""
        ent, moment = self._ent, now()
        claims, header = self._signed(token, ent.id_token_alg, kind)
        token_type = str(header.get("typ", typ)).lower().removeprefix("application/")
        require(token_type == typ, "typ", f"the typ of the token is not that of {kind}")
        require(claims.get("iss") == ent.issuer, "iss", "the token comes from another provider")
        require(claims.get("aud") in (ent.client_id, [ent.client_id]), "aud", "the token is for another client")
        require(claims.get("azp", ent.client_id) == ent.client_id, "azp", "the token was issued to another client")
        require(_number(claims, "exp") > moment - CLOCK_SKEW, "exp", "the token has expired")
        is_recent = moment - OLDEST_TOKEN <= _number(claims, "iat") <= moment + CLOCK_SKEW
        require(is_recent, "iat", "the token was not issued recently")
        require(_number({"nbf": 0, **claims}, "nbf") <= moment + CLOCK_SKEW, "nbf", "the token is not valid yet")
        return claims

    def _signed(self, token: object, alg: str, kind: str) -> tuple[Claims, Claims]:
        """Return the claims and the header of a token that the provider signed."""
        try:
            jws = extract_compact(token.encode() if isinstance(token, str) else b"", registry=_REGISTRY)
        except _BROKEN as error:
            raise CheckError(kind, "the token is not a signed JWT") from error
        header = jws.headers() if isinstance(jws.headers(), dict) else {}
        require(header.get("alg") != "none", "alg", "the token is not signed")
        is_registered = header.get("alg") == alg and alg in _KEYS
        require(is_registered, "alg", f"the token is not signed with {alg}, the registered algorithm")
        require(not {"crit", "b64"} & header.keys(), "crit", "the token has an unsupported extension")
        key = self._key(header.get("kid"), alg)
        try:
            is_valid, claims = validate_compact(jws, key, registry=_REGISTRY), json.loads(jws.payload)
        except _BROKEN as error:
            raise CheckError("signature", "the signature of the token cannot be checked") from error
        require(is_valid and isinstance(claims, dict), "signature", "the signature of the token is wrong")
        return claims, header

    def _key(self, kid: object, alg: str) -> RSAKey | ECKey | OKPKey:
        """Return the provider's key `kid`, or, for a token without `kid`, the only key that fits (Core, 10.1).

        The provider rotates its keys: request them again for an unknown `kid`, and for a token without one.
        """
        for refetch in (False, True) if kid is not None else (True,):
            jwks = self._fetch_keys(refetch).get("keys")
            keys = [key for key in (jwks if isinstance(jwks, list) else []) if isinstance(key, dict)]
            matching = [key for key in keys if (kid and key.get("kid") == kid) or (kid is None and _fits(key, alg))]
            usable = [key for key in matching if key.get("use", "sig") == "sig"]
            if usable:
                break
        require(usable, "kid", "the token is signed by a key that the provider does not publish")
        require(kid is not None or len(usable) == 1, "kid", "the token has no kid, and several published keys fit")
        key, is_strong = usable[0], len(str(usable[0].get("n", _MODULUS))) >= len(_MODULUS)
        require(_fits(key, alg) and is_strong, "key", "the key has another type, or is too short")
        try:
            return _KEYS[alg].import_key({member: key[member] for member in _MEMBERS & key.keys()})
        except _BROKEN as error:
            raise CheckError("key", f"the published key cannot be used with {alg}") from error

    def _check_hash(self, claims: Claims, access_token: str) -> None:
        """Check `at_hash` (3.1.3.8). It may be absent: both tokens come from one response of the token endpoint."""
        digest = hashlib.new({"EdDSA": "sha512"}.get(self._ent.id_token_alg, "sha256"), access_token.encode()).digest()
        expected = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
        require(claims.get("at_hash", expected) == expected, "at_hash", "at_hash does not match the access token")


def _fits(key: Claims, alg: str) -> bool:
    return (key.get("kty"), key.get("alg", alg)) == (_KEYS[alg].key_type, alg)


def _number(claims: Claims, name: str) -> float:
    """Return a claim that is a NumericDate. A boolean, a text or an infinity is refused."""
    value = claims.get(name, "")
    require(type(value) in {int, float} and abs(value) < _LAST_DATE, name, f"the token has no usable {name}")
    return cast("float", value)


def _identifier(claims: Claims, name: str) -> str:
    """Return a claim that is an identifier: 1 to 255 ASCII characters (2)."""
    value = claims.get(name, "")
    is_valid = isinstance(value, str) and re.fullmatch(r"[\x00-\x7f]{1,255}", value)
    require(is_valid, name, f"the token has no usable {name}")
    return str(value)
