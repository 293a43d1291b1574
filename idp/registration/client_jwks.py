"""Public keys that a client registers by value (Registration 1.0, section 2, `jwks`; RFC 7517).

The service keeps the members that make a key and say its purpose. It answers them to everybody who may read the
registration, so it keeps no other member, and above all no private part.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from idp.oidc.client_auth import client_keys
from idp.oidc.keys.jose import PRIVATE_MEMBERS
from idp.registration.faults import Fault, FaultCode

MOST = 20
_LONGEST = 1500  # characters of a member: the modulus of an RSA key of 8192 bits has 1366
_TEXTS = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")
_LISTS = ("key_ops",)


def parse(content: str | bytes) -> dict[str, Any]:
    """Return the JWK set of a JSON text, which may also be one JWK.

    Raises:
        ValueError: the text is no JSON object.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the text is wrong, not the program
    return {"keys": [value]} if "kty" in value else value


def find_faults(jwks: Mapping[str, Any], allowed: Collection[str]) -> Iterator[Fault]:
    """Yield the faults of a key set.

    Args:
        jwks: the set.
        allowed: the algorithms of which the client signs with one; empty if it signs nothing, and its keys may be for
            encryption.
    """
    keys = jwks.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        yield _unusable("holds no usable public key: it is not a JWK set")
        return
    if len(keys) > MOST:
        yield _unusable(f"holds more than {MOST} keys")
    if any(key.keys() & PRIVATE_MEMBERS for key in keys):
        text = "holds a private key: make a new key, because this one was disclosed, and give its public part only"
        yield Fault("jwks", text, code=FaultCode.KEY_IS_PRIVATE)
        return  # the other faults are of a set that is not used again
    if not all(_is_text(key[name]) for key in keys for name in _TEXTS if name in key) or not all(
        _is_short_list(key[name]) for key in keys for name in _LISTS if name in key
    ):
        yield _unusable(f"holds a member that is no text of {_LONGEST} characters at most (RFC 7517, 4)")
        return
    if keys and not allowed:
        return
    usable = client_keys.usable(jwks)
    if not usable:
        yield _unusable("holds no usable public key (RSA of 2048 to 4096 bits, P-256, Ed25519)")
    elif not set(usable).intersection(allowed):
        yield _unusable(f"holds no key for {', '.join(allowed)}")


def _unusable(text: str) -> Fault:
    return Fault("jwks", text, code=FaultCode.KEYS_UNUSABLE)


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
