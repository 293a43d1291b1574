"""Checks DPoP proofs (RFC 9449): the sender of a request holds the key that its tokens are bound to.

The rows of section 4.3 are numbered below, beside the checks of all signed tokens (`idp.oidc.keys.jose`). A proof is
accepted once, if its `iat` is at most a minute from this node's clock: FAPI 2.0 (5.3.2.1) requires ten seconds of
the future to be accepted and more than sixty to be refused; a minute of the past covers the delay of the network.

Nonces (section 8) are not used; FAPI 2.0 leaves that to the provider, and each nonce would cost a second request. They
protect against proofs made in advance by somebody who could use the key for a while (11.2). Such a proof is not enough
here: a resource also needs the access token, which is valid for minutes; the token endpoint also needs the client's
authentication, and a code, which is valid for a minute at most, or a refresh token.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.keys import jose
from idp.oidc.keys.jose import InvalidTokenError
from idp.oidc.keys.material import FAPI2_ALGORITHMS
from idp.origins import DEFAULT_PORTS
from idp.web.http import Request

HEADER = "DPoP"
WINDOW = timedelta(seconds=60)  # largest difference between `iat` and this node's clock

_NEEDED = "A DPoP proof is needed."
_MAX_TEXT_LENGTH = 300
_MAX_HTU_LENGTH = 2000
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)


class ProofError(OAuth2Error):
    """The proof is missing or invalid (RFC 9449 5, 7.1)."""

    error = "invalid_dpop_proof"


class WrongKeyError(Exception):
    """The proof is signed by another key than that of the token."""


@dataclass(frozen=True)
class Proof:
    """A valid proof: the thumbprint of its key (RFC 7638), its algorithm and identifier.

    After `remember_until`, a replay is refused for its age.
    """

    jkt: str
    alg: str
    jti: str
    remember_until: datetime


def read_proof(request: Request, issuer: str) -> Proof | None:
    """Return the checked proof of this request to one of the provider's own endpoints; None without a proof.

    The caller calls `use_proof` before it issues a token for the proof, but only for a code or token that exists:
    otherwise anybody could fill the table of used proofs.

    Raises:
        ProofError: The proof is invalid.
    """
    if not request.has_header(HEADER):
        return None
    try:
        proof, _ = _check(request, issuer)
    except InvalidTokenError as bad:
        raise _proof_error(bad) from bad
    return proof


def use_proof(proof: Proof | None) -> None:
    """Mark the proof as used, if there is one.

    Raises:
        ProofError: The proof was used before.
    """
    try:
        if proof is not None:
            check_first_use(proof)
    except InvalidTokenError as bad:
        raise _proof_error(bad) from bad


def confirm(request: Request, issuer: str, client: Registration, token: str, jkt: str) -> None:
    """Check that this request proves the key `jkt` of its access token, and mark the proof as used.

    Raises:
        ProofError: The proof is missing or invalid.
        WrongKeyError: The proof is signed by another key.
    """
    if not request.has_header(HEADER):
        raise ProofError(_NEEDED)
    try:
        proof, claims = _check(request, issuer)
        check_policy(client, proof)
        digest = hashlib.sha256(token.encode()).digest()
        is_of_token = claims.get("ath") == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        jose.require(is_of_token, "ath is not the hash of the access token")  # row 12
        if proof.jkt != jkt:
            raise WrongKeyError
        check_first_use(proof)
    except InvalidTokenError as bad:
        raise _proof_error(bad) from bad


def _proof_error(bad: InvalidTokenError) -> ProofError:
    return ProofError(f"The DPoP proof is refused: {bad}.")


def _check(request: Request, issuer: str) -> tuple[Proof, Mapping[str, Any]]:
    """Check rows 1 to 11, which are the same at each endpoint.

    Two header fields (row 1) arrive as one value with a comma, which is not a JWT (row 2).
    """
    value = request.header(HEADER)
    head, claims = jose.parts(value)
    check_required(claims)
    jose.require(head.get("typ") == "dpop+jwt", "its type must be dpop+jwt")  # row 4
    jose.require(claims["htm"] == request.method, "htm is not the method of this request")  # row 8
    # row 9: below the configured issuer, whatever `Host` says
    jose.require(_normal(claims["htu"]) == _normal(f"{issuer}{request.path}"), "htu is not the URL of this request")
    moment = now()
    check_time(claims, moment)
    alg = jose.algorithm(head, jose.CLIENT_ALGORITHMS)  # row 5
    key = jose.public_key(head.get("jwk"), alg)  # row 7
    jose.check_signature(value, alg, key)  # row 6
    # `iat` may be a minute ahead, is accepted for a minute, and another node's clock may be a minute slow
    remember_until = moment + 3 * WINDOW
    return Proof(key.thumbprint(), alg, claims["jti"], remember_until), claims


def check_policy(client: Registration, proof: Proof | None) -> None:
    """Check that the client may send this proof, or none (section 5.2; FAPI 2.0, 5.4.1).

    Raises:
        InvalidRequestError: The client has to send a proof.
        ProofError: The client's profile does not allow the algorithm.
    """
    if proof is None:
        if client.dpop_required or client.fapi2:
            raise InvalidRequestError(_NEEDED)
    elif client.fapi2 and proof.alg not in FAPI2_ALGORITHMS:
        raise ProofError(f"This client's proofs are signed by one of {' '.join(jose.client_names(fapi2=True))}.")


def check_required(claims: Mapping[str, Any]) -> None:
    """Check that all required claims are present with the right type (row 3)."""
    texts = (("jti", _MAX_TEXT_LENGTH), ("htm", _MAX_TEXT_LENGTH), ("htu", _MAX_HTU_LENGTH))
    jose.require(
        all(isinstance(claims.get(name), str) and 0 < len(claims[name]) <= longest for name, longest in texts),
        "jti, htm or htu is missing, or not text",
    )
    jose.require(jose.is_number(claims.get("iat")), "iat is missing, or not a number")


def check_time(claims: Mapping[str, Any], moment: datetime) -> None:
    """Check `iat` (row 11), and the optional claims `nbf` and `exp` (RFC 7519 4.1)."""
    earliest, latest = (moment - WINDOW).timestamp(), (moment + WINDOW).timestamp()
    jose.require(earliest <= claims["iat"] <= latest, "iat differs too much from the time of this server")
    are_numbers = all(jose.is_number(claims[name]) for name in ("nbf", "exp") if name in claims)
    jose.require(are_numbers, "nbf and exp must be numbers")
    is_valid = claims.get("nbf", earliest) <= latest and claims.get("exp", latest) > moment.timestamp()
    jose.require(is_valid, "it is not valid now")


def check_first_use(proof: Proof) -> None:
    """Mark the proof as used on all nodes; refuse a replay (section 11.1). Each key has its own `jti` values."""
    jose.require(jose.use_once(f"dpop {proof.jkt} {proof.jti}", proof.remember_until), "it was used before")


def _normal(url: str) -> tuple[str, str, int, str] | None:
    """Return a URL in normal form (RFC 3986 6.2.2, 6.2.3), without query and fragment; None if it is malformed."""
    if not (url.isascii() and url.isprintable()) or " " in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    path = _ESCAPED.sub(_unescaped, parts.path) or "/"
    return parts.scheme, parts.hostname, DEFAULT_PORTS[parts.scheme] if port is None else port, path


def _unescaped(match: re.Match[str]) -> str:
    character = chr(int(match[1], 16))
    return character if _UNRESERVED.fullmatch(character) else match[0].upper()
