"""DPoP proofs (RFC 9449): whoever sends a request shows that it holds the key that its tokens are bound to.

One `check_*` for one row of section 4.3, beside those that hold for all signed tokens (`idp.oidc.keys.jose`). A proof
counts once, and for a minute on either side of this node's clock: FAPI 2.0 (5.3.2.1) wants ten seconds of the future
accepted and more than sixty refused, and a minute of the past is what the way here may take.

Nonces (section 8) are not used, which FAPI 2.0 leaves to the provider: each would cost clients a second request. They
help against proofs that somebody had made for later while he could use the key (11.2). Here such a proof opens nothing
alone: a resource wants the very access token besides, which lives minutes; the token endpoint wants what authenticates
the client, and a code that dies within a minute or a refresh token.
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
from flask import request

from idp.clients.registry import Registration
from idp.clock import now
from idp.oidc.client_auth import single_use
from idp.oidc.keys import jose
from idp.oidc.keys.jose import BadToken
from idp.oidc.keys.material import FAPI2_ALGORITHMS

HEADER = "DPoP"
WINDOW = timedelta(seconds=60)
"""How far `iat` may be from this node's clock, on either side."""

_NEEDED = "A DPoP proof is needed."
_LONGEST_ID = 300
_LONGEST_ADDRESS = 2000
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]", re.ASCII)
_PORTS = {"https": 443, "http": 80}


class ProofRefused(OAuth2Error):  # noqa: N818 - what happened
    """A proof that proves nothing (RFC 9449 5, 7.1)."""

    error = "invalid_dpop_proof"


class WrongKey(Exception):  # noqa: N818 - what is wrong
    """The proof is of another key than the token's."""


@dataclass(frozen=True)
class Proof:
    """A good proof: the thumbprint of its key (RFC 7638), how it was signed, its name, and until when that counts."""

    jkt: str
    alg: str
    jti: str
    too_old: datetime


def shown(issuer: str) -> Proof | None:
    """Return the proof that the present request brings to the provider's own endpoints; None without one.

    It is to be used up (`use_up`) before anything is given for it, and not before it is certain that something may be:
    who proves nothing else leaves no row.

    Raises:
        ProofRefused: it proves nothing.
    """
    value = request.headers.get(HEADER)
    if value is None:
        return None
    try:
        proof, _ = _good(issuer, value)
    except BadToken as bad:
        raise _refused(bad) from bad
    return proof


def use_up(proof: Proof | None) -> None:
    """Use a proof up, if there is one.

    Raises:
        ProofRefused: it was used before.
    """
    try:
        if proof is not None:
            check_first_use(proof)
    except BadToken as bad:
        raise _refused(bad) from bad


def confirm(issuer: str, client: Registration, token: str, jkt: str) -> None:
    """Check that the present request proves the key `jkt`, to which its access token is bound, and use the proof up.

    Raises:
        ProofRefused: it proves nothing.
        WrongKey: it proves another key.
    """
    value = request.headers.get(HEADER)
    if value is None:
        raise ProofRefused(_NEEDED)
    try:
        proof, claims = _good(issuer, value)
        check_policy(client, proof)
        check_token(claims, token)
        check_binding(proof, jkt)
        check_first_use(proof)
    except BadToken as bad:
        raise _refused(bad) from bad


def _refused(bad: BadToken) -> ProofRefused:
    return ProofRefused(f"The DPoP proof is refused: {bad}.")


def _good(issuer: str, value: str) -> tuple[Proof, Mapping[str, Any]]:
    """Check what is the same everywhere: rows 1 to 11.

    Two header fields (row 1) reach us as one with a comma in it, which is no JWT (row 2).
    """
    head, claims = jose.parts(value)
    check_typ(head)
    check_required(claims)
    check_method(claims, request.method)
    check_address(claims, f"{issuer}{request.path}")
    moment = now()
    check_time(claims, moment)
    alg = jose.algorithm(head, jose.CLIENT_ALGORITHMS)  # row 5
    key = jose.public_key(head.get("jwk"), alg)  # row 7
    jose.check_signature(value, alg, key)  # row 6
    too_old = moment + 3 * WINDOW  # made a minute ahead, good for a minute, on a node whose clock is a minute behind
    return Proof(key.thumbprint(), alg, claims["jti"], too_old), claims


def check_policy(client: Registration, proof: Proof | None) -> None:
    """Check that this client may bring such a proof, or none (section 5.2; FAPI 2.0, 5.4.1).

    Raises:
        InvalidRequestError: one is needed.
        ProofRefused: it is signed by an algorithm that the client's profile excludes.
    """
    if proof is None:
        if client.dpop_required or client.fapi2:
            raise InvalidRequestError(_NEEDED)
    elif client.fapi2 and proof.alg not in FAPI2_ALGORITHMS:
        raise ProofRefused(f"This client's proofs are signed by one of {' '.join(jose.client_names(fapi2=True))}.")


def check_required(claims: Mapping[str, Any]) -> None:
    """Row 3: all required claims are there, each of its kind."""
    texts = (("jti", _LONGEST_ID), ("htm", _LONGEST_ID), ("htu", _LONGEST_ADDRESS))
    if not all(isinstance(claims.get(name), str) and 0 < len(claims[name]) <= longest for name, longest in texts):
        raise BadToken("jti, htm and htu must be there, and be text")
    if not jose.is_number(claims.get("iat")):
        raise BadToken("iat must be there, and be a number")


def check_typ(head: Mapping[str, Any]) -> None:
    """Row 4: `typ` says that it is a proof."""
    if head.get("typ") != "dpop+jwt":
        raise BadToken("its type must be dpop+jwt")


def check_method(claims: Mapping[str, Any], method: str) -> None:
    """Row 8: `htm` is this request's method."""
    if claims["htm"] != method:
        raise BadToken("htm is not the method of this request")


def check_address(claims: Mapping[str, Any], address: str) -> None:
    """Row 9: `htu` is this request's address below the configured issuer, whatever `Host` says."""
    if _normal(claims["htu"]) != _normal(address):
        raise BadToken("htu is not the address of this request")


def check_time(claims: Mapping[str, Any], moment: datetime) -> None:
    """Row 11: `iat` is near our clock; `nbf` and `exp`, which no proof needs, hold if they are there (RFC 7519 4.1)."""
    earliest, latest = (moment - WINDOW).timestamp(), (moment + WINDOW).timestamp()
    if not earliest <= claims["iat"] <= latest:
        raise BadToken("iat is too far from the time here")
    if not all(jose.is_number(claims[name]) for name in ("nbf", "exp") if name in claims):
        raise BadToken("nbf and exp must be numbers")
    if claims.get("nbf", earliest) > latest or claims.get("exp", latest) <= moment.timestamp():
        raise BadToken("it is not valid now")


def check_token(claims: Mapping[str, Any], token: str) -> None:
    """Row 12, first half: `ath` is the hash of the access token."""
    expected = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    if claims.get("ath") != expected:
        raise BadToken("ath is not the hash of the access token")


def check_binding(proof: Proof, jkt: str) -> None:
    """Row 12, second half: the token is bound to this key."""
    if proof.jkt != jkt:
        raise WrongKey


def check_first_use(proof: Proof) -> None:
    """Section 11.1: nobody has shown it before, on any node. Each key has `jti` values of its own."""
    if not single_use.spend(f"dpop {proof.jkt} {proof.jti}", proof.too_old):
        raise BadToken("it was used before")


def _normal(address: str) -> tuple[str, str, int, str] | None:
    """Return an address as it is compared (RFC 3986 6.2.2, 6.2.3), without query and fragment; None for no address."""
    if not (address.isascii() and address.isprintable()) or " " in address:
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    path = _ESCAPED.sub(_unescaped, parts.path) or "/"
    return parts.scheme, parts.hostname, _PORTS[parts.scheme] if port is None else port, path


def _unescaped(match: re.Match[str]) -> str:
    letter = chr(int(match[1], 16))
    return letter if _UNRESERVED.fullmatch(letter) else match[0].upper()
