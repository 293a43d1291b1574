"""What an ENT checks before it believes an answer: one function for each sentence of the specifications.

OpenID Connect Core 1.0: 3.1.3.7 (ID token), 3.1.3.8 (access token), 5.3.2 (UserInfo); RFC 9207 (issuer of the answer).
No check is optional and none is made by the provider's code.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry, extract_compact

from clients.ent.clock import now

ALGORITHMS = ("RS256", "ES256")
"""The only signatures that are believed: neither `none` nor one made with a shared secret."""
CLOCK_SKEW = 30
"""Seconds by which two clocks may differ."""
OLDEST_TOKEN = 600
"""Seconds since an ID token was issued: it comes straight from the token endpoint, so it is fresh or replayed."""
MAX_SUB = 255

Claims = dict[str, Any]
FetchKeys = Callable[[bool], Mapping[str, Any]]
"""Returns the provider's JWK set; called with True, it asks the provider again."""


class CheckError(Exception):
    """An answer is not believed. `check` names the rule, for the log and for whoever helps the family."""

    def __init__(self, check: str, sentence: str) -> None:
        super().__init__(sentence)
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the ID token of one sign-in must agree with."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str


def check_answer_issuer(given: str | None, issuer: str) -> None:
    """The answer comes from the provider that was asked (RFC 9207, 2.4); compared letter by letter."""
    if given != issuer:
        raise CheckError("response_iss", "the answer does not name the provider that was asked")


def verified_id_token(token: object, fetch_keys: FetchKeys, expected: Expected) -> Claims:
    """Return the claims of an ID token once its signature and all its claims are checked.

    Args:
        token: the `id_token` of the token response, whatever it is.
        fetch_keys: gives the provider's keys, from memory or afresh.
        expected: what this sign-in asked for.

    Raises:
        CheckError: at the first rule that does not hold.
    """
    claims, header = signed_claims(token, fetch_keys, "id_token")
    check_issuer(claims, expected.issuer)
    check_audience(claims, expected.client_id)
    check_times(claims)
    check_nonce(claims, expected.nonce)
    check_subject(claims)
    check_access_token_hash(claims, expected.access_token, str(header["alg"]))
    return claims


def signed_claims(token: object, fetch_keys: FetchKeys, kind: str) -> tuple[Claims, Mapping[str, Any]]:
    """Return claims and header of a token whose signature holds under a key of the provider; `kind` is for the log."""
    if not isinstance(token, str):
        raise CheckError(kind, "the provider gave no token")
    try:
        header = extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError) as error:
        raise CheckError(kind, "the token is not a signed JWT") from error
    algorithm = check_algorithm(header)
    key = _signing_key(header.get("kid"), algorithm, fetch_keys)
    registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
    try:
        claims = jwt.decode(token, key, registry=registry).claims
    except (JoseError, ValueError, TypeError) as error:
        raise CheckError("signature", "the signature of the token does not hold") from error
    return claims, header


def check_algorithm(header: Mapping[str, Any]) -> str:
    """The signature is one of those agreed on (3.1.3.7, 7); the token does not choose."""
    algorithm = header.get("alg")
    if algorithm not in ALGORITHMS:
        raise CheckError("alg", "the token is not signed by RS256 or ES256")
    return str(algorithm)


def _signing_key(kid: object, algorithm: str, fetch_keys: FetchKeys) -> RSAKey | ECKey:
    """Return the provider's key of that name, asking afresh once: keys change, and memory does not know it."""
    if not isinstance(kid, str) or not kid:
        raise CheckError("kid", "the token does not name the key that signed it")
    found = _find_key(kid, fetch_keys(False)) or _find_key(kid, fetch_keys(True))
    if found is None:
        raise CheckError("kid", "the token is signed by a key that the provider does not publish")
    key_class = RSAKey if algorithm.startswith("RS") else ECKey
    try:
        return key_class.import_key(found)
    except (JoseError, ValueError, TypeError) as error:
        raise CheckError("kid", "the key of the token is not of the kind that its algorithm asks for") from error


def _find_key(kid: str, key_set: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the public signing key of that name in a JWK set (RFC 7517, 5)."""
    keys = key_set.get("keys")
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, dict) and key.get("kid") == kid and key.get("use", "sig") == "sig":
            return key
    return None


def check_issuer(claims: Claims, issuer: str) -> None:
    """`iss` is exactly the provider that discovery was asked about (3.1.3.7, 2)."""
    if claims.get("iss") != issuer:
        raise CheckError("iss", "the token comes from another provider")


def check_audience(claims: Claims, client_id: str) -> None:
    """`aud` is this client and no other, and so is `azp` when present (3.1.3.7, 3 to 5)."""
    audience = claims.get("aud")
    if audience not in (client_id, [client_id]):
        raise CheckError("aud", "the token was made for another site")
    if "azp" in claims and claims["azp"] != client_id:
        raise CheckError("azp", "the token was given to another site")


def check_times(claims: Claims) -> None:
    """The token is alive and fresh (3.1.3.7, 9 and 10)."""
    moment = now()
    if _number(claims, "exp") <= moment - CLOCK_SKEW:
        raise CheckError("exp", "the token has expired")
    if not moment - OLDEST_TOKEN <= _number(claims, "iat") <= moment + CLOCK_SKEW:
        raise CheckError("iat", "the token was not issued just now")
    if "nbf" in claims and _number(claims, "nbf") > moment + CLOCK_SKEW:
        raise CheckError("nbf", "the token is not valid yet")


def _number(claims: Claims, name: str) -> float:
    """Return a NumericDate, which a boolean or a text is not."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CheckError(name, f"the token has no usable {name}")
    return value


def check_nonce(claims: Claims, nonce: str) -> None:
    """The token answers this very request (3.1.3.7, 11)."""
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode(), nonce.encode()):
        raise CheckError("nonce", "the ID token answers another request")


def check_subject(claims: Claims) -> None:
    """`sub` names a person: not empty, 255 ASCII characters at most (2)."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUB or not subject.isascii():
        raise CheckError("sub", "the token names nobody")


def check_access_token_hash(claims: Claims, access_token: str, algorithm: str) -> None:
    """The access token came with this ID token (3.1.3.8): half of its SHA-256, which both algorithms use."""
    if "at_hash" not in claims:
        return  # optional in the code flow, where both came in one answer over TLS
    half = hashlib.new(f"sha{algorithm[2:]}", access_token.encode()).digest()[:16]
    if claims["at_hash"] != base64.urlsafe_b64encode(half).rstrip(b"=").decode():
        raise CheckError("at_hash", "the access token is not the one of the ID token")


def check_same_person(userinfo: object, subject: str) -> Claims:
    """UserInfo speaks of the person of the ID token (5.3.2), otherwise none of it may be used."""
    if not isinstance(userinfo, dict) or userinfo.get("sub") != subject:
        raise CheckError("userinfo_sub", "UserInfo speaks of another person than the ID token")
    return userinfo
