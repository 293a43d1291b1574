"""What an ENT checks before it believes an answer, of what it agreed on with its provider when it was registered.

OpenID Connect Core 1.0: 2 and 3.1.3.7 (ID token), 3.1.3.8 (access token), 5.3.2 (UserInfo), 12.2 (renewed ID token);
Back-Channel Logout 1.0: 2.6; RFC 8725. One `must` for each sentence of the specifications; DEBUG logs those that hold.
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
"""Seconds by which two clocks may differ; since a token was issued that comes straight from the provider."""
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LAST_DATE, _MODULUS = 2**53, "x" * 342  # the shortest modulus, 2,048 bits
_VECTOR = re.compile(r"(?:[12](?:\|[^|]+){2}|[34](?:\|[^|]*){2})\|[^|\s]+\|[0-9]{7}[A-Z]")
_KEYS: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RS256": RSAKey, "PS256": RSAKey, "ES256": ECKey, "EdDSA": OKPKey}
"""What reads the keys of each signature that can be registered: there is no `none`, and no shared secret."""
_MEMBERS = frozenset({"kty", "crv", "n", "e", "x", "y"})
_REGISTRY = JWSRegistry(algorithms=tuple(_KEYS), strict_check_header=False)
# RFC 9864 deprecates the name EdDSA, which leaves the curve open; here it is the one that everybody has
_REGISTRY.algorithms = {**JWSRegistry.algorithms, "EdDSA": JWSRegistry.algorithms["Ed25519"]}
_BROKEN = (JoseError, ValueError, TypeError, RecursionError)
_log = logging.getLogger(__name__)
Claims = dict[str, Any]


class CheckError(Exception):
    """A sign-in stops here. `check` names the rule or the step, `status` suits an answer; nothing secret is in it."""

    status = 400

    def __init__(self, check: str, sentence: str, description: object = None) -> None:
        super().__init__(sentence)
        self.check, self.description = check, str(description or "")


class ProviderRefusedError(CheckError):
    """The provider says no by a code (RFC 6749, 4.1.2.1, 5.2; RFC 6750, 3.1; Core, 3.1.2.6) and its `description`."""


class ProviderDownError(CheckError):
    """The provider does not answer, or not in the language agreed on: nobody's fault here, to be tried again."""

    status = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What was agreed on when the ENT was registered (`idp client add`), letter by letter."""

    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str = field(default="", repr=False)  # sent by HTTP Basic
    post_logout_redirect_uri: str = ""  # where the browser comes back to after the sign-out
    scope: str = "openid profile email ent charter"
    id_token_alg: str = "RS256"  # noqa: S105 - what signs ID tokens and logout tokens: or PS256, ES256, EdDSA
    userinfo_alg: str = ""  # what signs UserInfo; empty when it is plain JSON
    ca_bundle: str = ""  # PEM file of the authorities that vouch for the provider; empty for the system's


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sign-in that left: what its answer must prove, and the page to show then. To be kept for an hour, here."""

    state: str
    nonce: str
    code_verifier: str = field(repr=False)
    target: str = ""
    max_age: str = ""
    acr_values: str = ""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person for whom every check held: the claims of the ID token and of UserInfo; tokens, which are secret."""

    claims: Claims
    userinfo: Claims
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)


class Charter(NamedTuple):
    """The current charter of this ENT: Markdown, of `published_at` (ISO 8601)."""

    version: str
    markdown: str
    published_at: str
    accepted: bool


class Ended(NamedTuple):
    """What a logout token says: the session `sid` is over, or all those of the person `sub` when it names none."""

    jti: str  # the token's name, which counts once
    forget_at: int  # a NumericDate, from which on the token is too old anyway
    sub: str | None
    sid: str | None


class Vector(NamedTuple):
    """One value of FrEduVecteur (SDET), `2|NOM|Prénom|eleve_id|UAI`: a child in a school, with a parent's names."""

    profile: str  # 1: parent, first degree (écoles); 2: parent, second degree (collèges, lycées); 3 and 4: their pupils
    family_name: str  # of who signs in, as the school's file has it, letter by letter; empty for most pupils
    given_name: str
    student_id: str  # of the pupil, also when the parent signs in: SIECLE's ELEVE_ID
    uai: str  # the pupil's school


def now() -> int:
    """Return the current instant as a NumericDate: seconds since 1970 in UTC (RFC 7519, 2)."""
    return int(time.time())


def is_web_address(value: object) -> bool:
    """Whether the value is an address to talk to: https, or http on this machine (OpenID Connect Core 1.0, 3.1.2.1)."""
    try:
        parts = urlsplit(value if isinstance(value, str) and not any(map(str.isspace, value)) else "")
        _ = parts.port  # raises when it is not a number
    except ValueError:
        return False
    if not parts.hostname or parts.username or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"})


def vectors(userinfo: Claims) -> list[Vector]:
    """Return the vectors of a person, one for each child and school; a pupil has one."""
    given = userinfo.get("FrEduVecteur", [])
    values = [str(value) for value in (given if isinstance(given, list) else [given])]
    must(all(map(_VECTOR.fullmatch, values)), "FrEduVecteur", "it is not profile|name|name|pupil|school")
    found = [Vector(*value.split("|")) for value in values]
    must(not found[1:] or all(vector.profile in "12" for vector in found), "FrEduVecteur", "a pupil has one vector")
    return found


def must(holds: object, check: str, sentence: str) -> None:
    """Raise `CheckError` unless the rule holds."""
    if not holds:
        raise CheckError(check, sentence)
    _log.debug("holds: %s", check)


class Checks:
    """The checks of one ENT. `fetch_keys` returns the provider's JWK set; called with True, it asks it again."""

    def __init__(self, ent: Registration, fetch_keys: Callable[[bool], Claims]) -> None:
        self._ent, self._fetch_keys = ent, fetch_keys

    def id_token(self, token: object, attempt: Attempt, access_token: str) -> Claims:
        """Check the ID token that ends an attempt (3.1.3.7)."""
        claims = self._issued(token, "id_token", "jwt")
        must(claims.get("nonce") == attempt.nonce, "nonce", "the ID token answers another request")
        _name(claims, "sub")
        self._check_hash(claims, access_token)
        if attempt.max_age:
            oldest = now() - int(attempt.max_age) - CLOCK_SKEW
            must(_number(claims, "auth_time") >= oldest, "auth_time", "the sign-in is older than was asked")
        if attempt.acr_values:
            must(claims.get("acr") in attempt.acr_values.split(), "acr", "the sign-in is not of a kind that was asked")
        return claims

    def renewal(self, token: object, before: Claims, access_token: str) -> Claims:
        """Check the ID token that comes with renewed tokens: it speaks of the same sign-in (12.2)."""
        claims = self._issued(token, "id_token", "jwt")
        must(claims.get("sub") == before["sub"], "sub", "the renewed token is of another person")
        for name in {"auth_time", "nonce"} & claims.keys():
            must(claims[name] == before.get(name), name, "the renewed token is of another sign-in")
        self._check_hash(claims, access_token)
        return before | claims

    def userinfo(self, told: object, subject: str) -> Claims:
        """Check that UserInfo is what was registered, JSON or a JWT, and speaks of the person `subject` (5.3.2)."""
        ent = self._ent
        if ent.userinfo_alg:
            told, _ = self._signed(told, ent.userinfo_alg, "userinfo_signed")
            must(told.pop("iss", None) == ent.issuer, "userinfo_iss", "UserInfo comes from another provider")
            must(told.pop("aud", None) in (ent.client_id, [ent.client_id]), "userinfo_aud", "UserInfo is for others")
        if not isinstance(told, dict):
            raise CheckError("userinfo", "UserInfo is not of the kind that was registered")
        must(told.get("sub") == subject, "userinfo_sub", "UserInfo speaks of another person than the ID token")
        return told

    def logout_token(self, token: object) -> Ended:
        """Check a logout token (Back-Channel Logout 1.0, 2.6); its `jti` is the caller's to count once."""
        claims = self._issued(token, "logout_token", "logout+jwt")
        events = claims.get("events")
        told = isinstance(events, dict) and isinstance(events.get(LOGOUT_EVENT), dict)
        must(told, "events", "the token does not tell of the end of a session")
        must("nonce" not in claims, "nonce", "the token has a nonce, as an ID token has")
        sub, sid = (_name(claims, name) if claims.get(name) is not None else None for name in ("sub", "sid"))
        must(sub or sid, "sub", "the token names neither a person nor a session")
        return Ended(_name(claims, "jti"), now() + OLDEST_TOKEN + CLOCK_SKEW + 1, sub, sid)

    def _issued(self, token: object, kind: str, typ: str) -> Claims:
        """Return what a token says that was made just now for this ENT. Its type may be absent, but not another one."""
        ent, moment = self._ent, now()
        claims, header = self._signed(token, ent.id_token_alg, kind)
        given = str(header.get("typ", typ)).lower().removeprefix("application/")
        must(given == typ, "typ", f"the token says that it is no {kind}")
        must(claims.get("iss") == ent.issuer, "iss", "the token comes from another provider")
        must(claims.get("aud") in (ent.client_id, [ent.client_id]), "aud", "the token was made for another site")
        must(claims.get("azp", ent.client_id) == ent.client_id, "azp", "the token was given to another site")
        must(_number(claims, "exp") > moment - CLOCK_SKEW, "exp", "the token has expired")
        must(moment - OLDEST_TOKEN <= _number(claims, "iat") <= moment + CLOCK_SKEW, "iat", "the token is not fresh")
        must(_number({"nbf": 0, **claims}, "nbf") <= moment + CLOCK_SKEW, "nbf", "the token is not valid yet")
        return claims

    def _signed(self, token: object, alg: str, kind: str) -> tuple[Claims, Claims]:
        """Return claims and header of a token whose signature holds under a key of the provider."""
        try:
            jws = extract_compact(token.encode() if isinstance(token, str) else b"", registry=_REGISTRY)
        except _BROKEN as error:
            raise CheckError(kind, "the token is not a signed JWT") from error
        header = jws.headers() if isinstance(jws.headers(), dict) else {}
        must(header.get("alg") != "none", "alg", "the token is not signed")
        must(header.get("alg") == alg and alg in _KEYS, "alg", f"the token is not signed by {alg}, as was registered")
        must(not {"crit", "b64"} & header.keys(), "crit", "the token has an extension that is not understood")
        key = self._key(header.get("kid"), alg)
        try:
            holds, claims = validate_compact(jws, key, registry=_REGISTRY), json.loads(jws.payload)
        except _BROKEN as error:
            raise CheckError("signature", "the signature of the token cannot be checked") from error
        must(holds and isinstance(claims, dict), "signature", "the signature of the token does not hold")
        return claims, header

    def _key(self, kid: object, alg: str) -> RSAKey | ECKey | OKPKey:
        """Return the provider's key of that name, or the only one that fits a token without a name (Core, 10.1).

        Keys change: an unknown name asks for them again, and so does a token without one, which cannot tell.
        """
        for afresh in (False, True) if kid is not None else (True,):
            listed = self._fetch_keys(afresh).get("keys")
            keys = [key for key in (listed if isinstance(listed, list) else []) if isinstance(key, dict)]
            named = [key for key in keys if (kid and key.get("kid") == kid) or (kid is None and _fits(key, alg))]
            found = [key for key in named if key.get("use", "sig") == "sig"]
            if found:
                break
        must(found, "kid", "the token is signed by a key that the provider does not publish")
        must(kid is not None or len(found) == 1, "kid", "the token names no key, and several of the provider's fit")
        key, strong = found[0], len(str(found[0].get("n", _MODULUS))) >= len(_MODULUS)
        must(_fits(key, alg) and strong, "key", "the key is of another kind, or weak")
        try:
            return _KEYS[alg].import_key({member: key[member] for member in _MEMBERS & key.keys()})
        except _BROKEN as error:
            raise CheckError("key", "the key of the token is not of the kind that its algorithm asks for") from error

    def _check_hash(self, claims: Claims, access_token: str) -> None:
        """The access token came with this ID token (3.1.3.8), which may leave that out: one answer had both."""
        made = hashlib.new({"EdDSA": "sha512"}.get(self._ent.id_token_alg, "sha256"), access_token.encode()).digest()
        expected = base64.urlsafe_b64encode(made[: len(made) // 2]).rstrip(b"=").decode()
        must(claims.get("at_hash", expected) == expected, "at_hash", "the access token is not the one of the ID token")


def _fits(key: Claims, alg: str) -> bool:
    return (key.get("kty"), key.get("alg", alg)) == (_KEYS[alg].key_type, alg)


def _number(claims: Claims, name: str) -> float:
    """Return a NumericDate, which a boolean, a text or an infinity is not."""
    value = claims.get(name, "")
    must(type(value) in {int, float} and abs(value) < _LAST_DATE, name, f"the token has no usable {name}")
    return cast("float", value)


def _name(claims: Claims, name: str) -> str:
    """Return a claim that names somebody or something: 1 to 255 ASCII characters (2)."""
    value = claims.get(name, "")
    must(isinstance(value, str) and re.fullmatch(r"[\x00-\x7f]{1,255}", value), name, f"the token has no usable {name}")
    return str(value)
