"""Keys that a client registers by value (Registration 1.0 2, `jwks`; RFC 7517): what is wrong with them, what is kept.

Kept is what makes a key and says what it is for. A set is told again to whoever reads the registration: it must hold
nothing else, and least of all a private part.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from idp.oidc.client_auth import client_keys
from idp.oidc.keys.jose import PRIVATE_MEMBERS

MOST = 20
_LONGEST = 1500  # characters of a member: the modulus of an RSA key of 8192 bits has 1366
_TEXTS = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")
_LISTS = ("key_ops",)


def faults(jwks: Mapping[str, Any], allowed: Collection[str]) -> Iterator[str]:
    """Yield what is wrong with a set, a sentence each.

    Its client signs with one of the algorithms `allowed`; a set of one that signs nothing (none is allowed) may hold
    keys of other purposes only.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        yield "--jwks holds no usable public key: it is not a JWK set"
        return
    if len(keys) > MOST:
        yield f"--jwks holds more than {MOST} keys"
    if any(key.keys() & PRIVATE_MEMBERS for key in keys):
        yield "--jwks holds a private key: give the public part alone, and make a new key since this one was shown"
        return  # whatever else is wrong with it, another set must come
    if not all(_is_text(key[name]) for key in keys for name in _TEXTS if name in key) or not all(
        _is_short_list(key[name]) for key in keys for name in _LISTS if name in key
    ):
        yield f"--jwks: the members of a key must be texts of {_LONGEST} characters at most (RFC 7517 4)"
        return
    if keys and not allowed:
        return
    usable = client_keys.usable(jwks)
    if not usable:
        yield "--jwks holds no usable public key (RSA of 2048 to 4096 bits, P-256, Ed25519)"
    elif not set(usable).intersection(allowed):
        yield f"--jwks holds no key for {', '.join(allowed)}"


def kept(jwks: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a set that has no fault, as it is kept: members that nobody here reads are left out (RFC 7517 4)."""
    if jwks is None:
        return None
    names = (*_TEXTS, *_LISTS)
    return {"keys": [{name: key[name] for name in names if name in key} for key in jwks["keys"]]}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isascii() and value.isprintable()


def _is_short_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(_is_text(one) for one in value)
