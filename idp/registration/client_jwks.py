"""Public keys that a client registers by value (Registration 1.0, section 2, `jwks`; RFC 7517).

The service keeps the members that make a key and say its purpose. It answers them to everybody who may read the
registration, so it keeps no other member, and above all no private part.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from idp.oidc.client_auth import client_keys
from idp.oidc.keys.jose import PRIVATE_MEMBERS
from idp.registration.faults import Fault

MOST = 20
_LONGEST = 1500  # characters of a member: the modulus of an RSA key of 8192 bits has 1366
_TEXTS = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")
_LISTS = ("key_ops",)


def find_faults(jwks: Mapping[str, Any], allowed: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of a key set.

    Args:
        jwks: the set.
        allowed: the algorithms of which the client signs with one; empty if it signs nothing, and its keys may be for
            encryption.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        yield Fault("jwks", "holds no usable public key: it is not a JWK set")
        return
    if len(keys) > MOST:
        yield Fault("jwks", f"holds more than {MOST} keys")
    if any(key.keys() & PRIVATE_MEMBERS for key in keys):
        yield Fault(
            "jwks", "holds a private key: make a new key, because this one was disclosed, and give its public part only"
        )
        return  # the other faults are of a set that is not used again
    if not all(_is_text(key[name]) for key in keys for name in _TEXTS if name in key) or not all(
        _is_short_list(key[name]) for key in keys for name in _LISTS if name in key
    ):
        yield Fault("jwks", f"holds a member that is no text of {_LONGEST} characters at most (RFC 7517, 4)")
        return
    if keys and not allowed:
        return
    usable = client_keys.usable(jwks)
    if not usable:
        yield Fault("jwks", "holds no usable public key (RSA of 2048 to 4096 bits, P-256, Ed25519)")
    elif not set(usable).intersection(allowed):
        yield Fault("jwks", f"holds no key for {', '.join(allowed)}")


def kept(jwks: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a valid set with the members that are kept (RFC 7517, 4)."""
    if jwks is None:
        return None
    names = (*_TEXTS, *_LISTS)
    return {"keys": [{name: key[name] for name in names if name in key} for key in jwks["keys"]]}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isascii() and value.isprintable()


def _is_short_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST and all(_is_text(text) for text in value)
