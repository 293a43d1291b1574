"""Signed JWTs as they come in, read strictly (RFC 7515, RFC 7519, RFC 8725): assertions, DPoP proofs, hints.

Nothing of a token is believed before all of it has been looked at: its size, its form, JSON that names no member twice,
an algorithm of our own list, a public key of that algorithm's kind and of a sane size. What a header says of where its
key is to be had is never followed.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry, deserialize_compact

from idp.oidc.keys.material import ALGORITHMS, FAPI2_ALGORITHMS, JoseKey

LONGEST = 6000
"""Characters of a token: what a proof or an assertion needs is a tenth of it."""

_COMPACT = re.compile(r"([\w-]+)\.([\w-]+)\.([\w-]+)", re.ASCII)
_LARGEST_EXPONENT = 2**32
_RSA_BITS = range(2048, 4097)
_FIELD = 2**255 - 19
_ORDER_8 = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER = frozenset({0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8})
"""The y of the eight points of Ed25519 (RFC 8032 5.1) that signatures without a private key hold for."""
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Of a JWK: RFC 7518 6.2.2, 6.3.2, 6.4.1."""

_EC, _RSA, _OKP = ("crv", "x", "y"), ("n", "e"), ("crv", "x")
_KINDS: dict[str, tuple[str, str | None, tuple[str, ...], type[JoseKey]]] = {
    "ES256": ("EC", "P-256", _EC, ECKey),
    "EdDSA": ("OKP", "Ed25519", _OKP, OKPKey),
    "PS256": ("RSA", None, _RSA, RSAKey),
    "RS256": ("RSA", None, _RSA, RSAKey),
}
"""For each algorithm the kind of its keys, their curve, their members (RFC 7638 3.2), and what loads them."""

_SAME = {"Ed25519": "EdDSA"}
"""What RFC 9864 (2.2) calls an algorithm of ours, which has no other curve here: one algorithm, one kind of key."""
CLIENT_ALGORITHMS = (*ALGORITHMS, *_SAME)
"""The names of algorithms that clients may sign by; this service signs by the names of `ALGORITHMS` alone."""


def canonical(name: str) -> str:
    """Return our name of the algorithm of that name."""
    return _SAME.get(name, name)


def _registry(alg: str) -> JWSRegistry:
    """Return what joserfc reads a token by: a header may hold a key, and unknown members are no fault (RFC 7515 4)."""
    names = [name for name in CLIENT_ALGORITHMS if canonical(name) == alg]
    registry = JWSRegistry(algorithms=names, strict_check_header=False)
    registry.max_header_length = LONGEST
    return registry


def client_names(*, fapi2: bool, held_to: str = "") -> tuple[str, ...]:
    """Return the names by which a client may sign: all of its profile's, or those of the algorithm that it is held to.

    Who registered one name of an algorithm may sign by the other: what is registered is an algorithm, and a library
    that learns the new name must not shut its ENT out.
    """
    algorithms = FAPI2_ALGORITHMS if fapi2 else ALGORITHMS
    served = [name for name in CLIENT_ALGORITHMS if canonical(name) in algorithms]
    return tuple(name for name in served if not held_to or canonical(name) == canonical(held_to))


_REGISTRIES = {alg: _registry(alg) for alg in _KINDS}


class BadToken(Exception):  # noqa: N818 - what it is
    """The token is not one; the text says what is wrong with it."""


def parts(value: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token whose signature nobody has checked yet.

    Raises:
        BadToken: it is too long, or not a JWT.
    """
    match = _COMPACT.fullmatch(value) if len(value) <= LONGEST else None
    if match is None:
        raise BadToken("it is not a signed JWT of a sane size")
    return _object(match[1]), _object(match[2])


def algorithm(head: Mapping[str, Any], allowed: tuple[str, ...] = ALGORITHMS) -> str:
    """Return the algorithm by our name of it; the header's own must be one of `allowed`.

    Raises:
        BadToken: it is not, or the header has an extension that must be understood (RFC 7515 4.1.11).
    """
    if head.keys() & {"crit", "b64", "zip"}:
        raise BadToken("its header names an extension that is not understood")
    name = head.get("alg")
    if not isinstance(name, str) or name not in allowed or canonical(name) not in _KINDS:
        raise BadToken(f"its algorithm must be one of {' '.join(allowed)}")
    return canonical(name)


def public_key(jwk: object, alg: str) -> JoseKey:
    """Return the key of a JWK, of which only the members that make the key are read.

    Raises:
        BadToken: it is no public key of the algorithm's kind, or too weak or too large.
    """
    kind, curve, members, load = _KINDS[alg]
    if not isinstance(jwk, dict) or jwk.get("kty") != kind or jwk.get("crv") != curve:
        raise BadToken(f"the key is not one for {alg}")
    if jwk.keys() & PRIVATE_MEMBERS:
        raise BadToken("the key must be a public key")
    values = {name: jwk[name] for name in members if isinstance(jwk.get(name), str)}
    if len(values) < len(members) or not "".join(values.values()).isascii():
        raise BadToken("the key lacks members")
    if kind == "RSA" and not _is_sane(values["n"], values["e"]):
        raise BadToken(f"an RSA key must have {_RSA_BITS[0]} to {_RSA_BITS[-1]} bits, and a small exponent")
    if kind == "OKP" and _has_small_order(values["x"]):
        raise BadToken("the key is one that anybody can sign for")
    try:
        return load.import_key({"kty": kind, **values})
    except (JoseError, ValueError) as error:
        raise BadToken("the key is none") from error


def check_signature(value: str, alg: str, key: JoseKey | KeySet) -> None:
    """Check that the token is signed with that algorithm by that key; of several by the one of its `kid` and `alg`.

    Raises:
        BadToken: it is not.
    """
    try:
        deserialize_compact(value, key, registry=_REGISTRIES[alg])
    except (JoseError, ValueError) as error:
        raise BadToken("its signature does not hold") from error


def is_number(value: Any) -> bool:
    """Return whether a claim is a number, which `true` is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def json_object(text: str | bytes) -> dict[str, Any]:
    """Read a JSON object that names no member twice.

    Raises:
        ValueError: it is none, or holds what is no JSON (NaN), or is too deep.
    """
    try:
        utf8 = text if isinstance(text, str) else text.decode()  # Python would guess, and read UTF-16 too
        found = json.loads(utf8, object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("too deep") from error
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for all that it may be
    return found


def _object(segment: str) -> dict[str, Any]:
    try:
        return json_object(base64.b64decode(segment + "=" * (-len(segment) % 4), altchars=b"-_", validate=True))
    except ValueError as error:
        raise BadToken("it is not a well-formed JWT") from error


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a member stands twice")
    return found


def _no_number(_text: str) -> None:
    raise ValueError("JSON has no NaN and no Infinity")


def _is_sane(modulus: str, exponent: str) -> bool:
    """Whether an RSA key is worth the work of checking its signatures, and strong enough to mean something."""
    try:
        n, e = (int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))) for text in (modulus, exponent))
    except ValueError:
        return False
    return n.bit_length() in _RSA_BITS and e < _LARGEST_EXPONENT


def _has_small_order(point: str) -> bool:
    """Whether an Ed25519 key is a point of order 8 or less (RFC 8725 3.4): OpenSSL takes it for any other."""
    try:
        encoded = base64.urlsafe_b64decode(point + "=" * (-len(point) % 4))
    except ValueError:
        return False  # no key at all, as joserfc will say
    return int.from_bytes(encoded, "little") % 2**255 % _FIELD in _SMALL_ORDER
