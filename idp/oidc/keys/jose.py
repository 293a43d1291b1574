"""Verifies signed JWTs strictly (RFC 7515, RFC 7519, RFC 8725): client assertions, DPoP proofs, ID token hints.

Each `jti` of a client assertion (RFC 7523 3) or DPoP proof (RFC 9449 11.1) is used once.

The checks cover the length, the form, JSON without duplicate members, an allowed algorithm, and a public key of the
algorithm's type and of an acceptable size. Header parameters that refer to a key elsewhere are never followed.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from idp import opaque
from idp.db import db, unit_of_work, upsert
from idp.oidc.keys.material import ALGORITHMS, FAPI2_ALGORITHMS, JoseKey
from idp.oidc.models import SpentProof

MAX_LENGTH = 6000  # characters of a token; a proof or an assertion needs a tenth of it

_COMPACT = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
_MAX_EXPONENT = 2**32
_RSA_BITS = range(2048, 4097)
_FIELD = 2**255 - 19
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
# The y coordinates of the eight points of small order of Ed25519 (RFC 8032 5.1). Anybody can sign for such a key.
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a private or symmetric JWK (RFC 7518 6.2.2, 6.3.2, 6.4.1)."""

_EC, _RSA, _OKP = ("crv", "x", "y"), ("n", "e"), ("crv", "x")
# For each algorithm: the type, curve and members of its keys (RFC 7638 3.2), and their class.
_KINDS: dict[str, tuple[str, str | None, tuple[str, ...], type[JoseKey]]] = {
    "ES256": ("EC", "P-256", _EC, ECKey),
    "EdDSA": ("OKP", "Ed25519", _OKP, OKPKey),
    "PS256": ("RSA", None, _RSA, RSAKey),
    "RS256": ("RSA", None, _RSA, RSAKey),
}

_SYNONYMS = {"Ed25519": "EdDSA"}  # the name of RFC 9864 (2.2) for an algorithm of ours: EdDSA has no other curve here
CLIENT_ALGORITHMS = (*ALGORITHMS, *_SYNONYMS)
"""The names of algorithms that clients may use; the service itself uses those of `ALGORITHMS`."""


def canonical(name: str) -> str:
    """Return the name in `ALGORITHMS` of an algorithm; other names are returned unchanged."""
    return _SYNONYMS.get(name, name)


def _registry(alg: str) -> JWSRegistry:
    """Return joserfc's rules for an algorithm; a header may contain a key and unknown members (RFC 7515 4)."""
    names = [name for name in CLIENT_ALGORITHMS if canonical(name) == alg]
    registry = JWSRegistry(algorithms=names, strict_check_header=False)
    registry.max_header_length = MAX_LENGTH
    return registry


def client_names(*, fapi2: bool, held_to: str = "") -> tuple[str, ...]:
    """Return the algorithm names that a client may use: those of its profile, or those of `held_to`.

    `held_to` is the registered algorithm. The client may use each of its names, since an update of a library may
    change the name.
    """
    algorithms = FAPI2_ALGORITHMS if fapi2 else ALGORITHMS
    names = [name for name in CLIENT_ALGORITHMS if canonical(name) in algorithms]
    return tuple(name for name in names if not held_to or canonical(name) == canonical(held_to))


_REGISTRIES = {alg: _registry(alg) for alg in _KINDS}


class InvalidTokenError(Exception):
    """A token or key is invalid; the text says why."""


def require(holds: bool, fault: str) -> None:  # noqa: FBT001 - the condition of a rule
    """Refuse a token that breaks a rule.

    Raises:
        InvalidTokenError: It does.
    """
    if not holds:
        raise InvalidTokenError(fault)


def parts(value: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token, before its signature is checked.

    Raises:
        InvalidTokenError: The token is too long, or not a JWT.
    """
    match = _COMPACT.fullmatch(value) if len(value) <= MAX_LENGTH else None
    if match is None:
        raise InvalidTokenError(f"it is not a signed JWT of at most {MAX_LENGTH} characters")
    return _object(match[1]), _object(match[2])


def algorithm(head: Mapping[str, Any], allowed: tuple[str, ...] = ALGORITHMS) -> str:
    """Return the canonical name of the header's algorithm, which must be one of `allowed`.

    Raises:
        InvalidTokenError: It is not, or the header has a critical extension (RFC 7515 4.1.11).
    """
    require(not head.keys() & {"crit", "b64", "zip"}, "its header has an extension that is not supported")
    name = head.get("alg")
    if not isinstance(name, str) or name not in allowed or canonical(name) not in _KINDS:
        raise InvalidTokenError(f"its algorithm must be one of {' '.join(allowed)}")
    return canonical(name)


def public_key(jwk: object, alg: str) -> JoseKey:
    """Return the key of a JWK.

    Raises:
        InvalidTokenError: The JWK is not a public key for the algorithm, or it is too weak or too large.
    """
    kind, curve, members, load = _KINDS[alg]
    if not isinstance(jwk, dict) or jwk.get("kty") != kind or jwk.get("crv") != curve:
        raise InvalidTokenError(f"the key is not one for {alg}")
    require(not jwk.keys() & PRIVATE_MEMBERS, "the key must be a public key")
    values = {name: jwk[name] for name in members if isinstance(jwk.get(name), str)}
    require(len(values) == len(members) and "".join(values.values()).isascii(), "the key lacks members")
    if kind == "RSA" and not _is_acceptable_rsa(values["n"], values["e"]):
        raise InvalidTokenError(f"an RSA key must have {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits, and a small exponent")
    is_small = kind == "OKP" and _has_small_order(values["x"])
    require(not is_small, "the key has a small order: anybody can sign for it")
    try:
        return load.import_key({"kty": kind, **values})
    except (JoseError, ValueError) as error:
        raise InvalidTokenError("the key is malformed") from error


def check_signature(value: str, alg: str, key: JoseKey | KeySet) -> None:
    """Check the signature of a token; a key set must have a key with the token's `kid` and `alg`.

    Raises:
        InvalidTokenError: The signature is invalid, or the key is missing.
    """
    try:
        deserialize_compact(value, key, registry=_REGISTRIES[alg])
    except (JoseError, ValueError) as error:
        raise InvalidTokenError("its signature is invalid") from error


def is_number(value: Any) -> bool:
    """Return whether a claim is a JSON number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Parse a JSON object without duplicate members.

    Raises:
        ValueError: The text is not such an object, contains NaN or Infinity, or is nested too deep.
    """
    try:
        utf8 = text if isinstance(text, str) else text.decode()  # json.loads would accept UTF-16 too
        value = json.loads(utf8, object_pairs_hook=_unique_members, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - callers catch one error
    return value


def _object(segment: str) -> dict[str, Any]:
    try:
        return json_object(base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise InvalidTokenError("it is not a well-formed JWT") from error


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(_text: str) -> None:
    raise ValueError("JSON has no NaN and no Infinity")


def _is_acceptable_rsa(modulus: str, exponent: str) -> bool:
    """Return whether an RSA key is strong enough, and small enough to verify its signatures fast."""
    try:
        n, e = (int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) for text in (modulus, exponent))
    except ValueError:
        return False
    return n.bit_length() in _RSA_BITS and e < _MAX_EXPONENT


def _has_small_order(point: str) -> bool:
    """Return whether an Ed25519 key is a point of order 8 or less (RFC 8725 3.4), which OpenSSL does not refuse."""
    try:
        encoded = base64.urlsafe_b64decode(point + "=" * (-len(point) % 4))
    except ValueError:
        return False  # joserfc refuses the malformed key
    return int.from_bytes(encoded, "little") % 2**255 % _FIELD in _SMALL_ORDER


@unit_of_work()
def use_once(name: str, until: datetime) -> bool:
    """Mark `name` as used on all nodes until `until`; return whether it was unused."""
    statement = upsert(SpentProof).values(digest=opaque.digest(name), expires_at=until).on_conflict_do_nothing()
    return db.session.scalar(statement.returning(SpentProof.digest)) is not None
