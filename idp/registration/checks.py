"""The rules for what a client may be registered with (Registration 1.0, section 2; RFC 7591, 2; RFC 9700, 2.1).

Engineers and clients that register themselves are held to the same rules. All faults are found at once.

Of keys that a client registers by value (`jwks`, RFC 7517), the service keeps the members that make a key and say its
purpose. It answers them to everybody who may read the registration, so it keeps no other member, and above all no
private part.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from idp import origins
from idp.clients import names
from idp.clients.models import Audience, SubjectType
from idp.clock import now
from idp.config import LOOPBACK, Settings
from idp.db import db
from idp.oidc.client_auth import client_keys
from idp.oidc.keys import jose
from idp.oidc.keys.material import ALGORITHMS, FAPI2_ALGORITHMS
from idp.oidc.keys.rotation import signing_since
from idp.registration import sectors
from idp.registration.declarations import Kind
from idp.registration.faults import Fault, FaultCode
from idp.registration.metadata import FIELDS, ClientMetadata, uris
from idp.uai import is_uai, uai_fault

PUBLIC_WITHOUT_PKCE = "is needed: a public client has no other proof"
MOST_CONTACTS = 20
LONGEST_CONTACT = 500
_LONGEST_URI = 500
_LONGEST_HOST = 253
_LONGEST_AGE = 10**9
_LONGEST_PREFIX = 30
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
# Host and port without a character that has a meaning in a policy, a redirect or a certificate.
_AUTHORITY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)
_CONTROL = re.compile("%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


def find_faults(settings: Settings, metadata: ClientMetadata) -> Iterator[Fault]:
    """Yield the faults of a registration; reads from the database which signing keys there are."""
    name = metadata.name.strip()
    if not name or len(name) > names.LONGEST or not name.isprintable():
        yield Fault("name", f"must have 1 to {names.LONGEST} printable characters", code=FaultCode.NAME)
    uri_faults = list(_uri_faults(settings, metadata))
    yield from uri_faults
    if not uri_faults and sectors.is_missing(metadata):
        text = "is needed, because the redirect URIs have several hosts"
        yield Fault("sector_identifier_uri", text, code=FaultCode.SEVERAL_HOSTS)
    yield from _frontchannel_faults(metadata)
    for uai in metadata.uais:
        if not is_uai(uai):
            yield Fault("uais", uai_fault(uai), code=FaultCode.NOT_A_UAI, value=uai)
    if metadata.audience == Audience.FAMILIES.value and not metadata.uais:
        yield Fault("uais", "needs at least one school, unless the audience is everyone", code=FaultCode.NEEDED)
    yield from _value_faults(metadata)
    yield from _key_faults(metadata)
    yield from _algorithm_faults(metadata)
    yield from _fapi2_faults(metadata)
    yield from _subject_faults(metadata)
    age = metadata.default_max_age
    if age is not None and not 0 <= age <= _LONGEST_AGE:
        yield Fault("default_max_age", f"must be 0 to {_LONGEST_AGE} seconds")
    if metadata.auth_method == "none" and not metadata.pkce_required:
        yield Fault("pkce_required", PUBLIC_WITHOUT_PKCE, code=FaultCode.PKCE_NEEDED)


def _value_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    for declared in FIELDS:
        value, allowed = getattr(metadata, declared.name), ", ".join(declared.values)
        match declared.kind:
            case Kind.CHOICE if value not in {declared.default, *declared.values}:
                yield Fault(declared.name, f"{value!r}: must be one of {allowed}", code=FaultCode.UNKNOWN_VALUE)
            case Kind.WORDS if not set(value) <= set(declared.values):
                yield Fault(declared.name, f"must name only: {allowed}", code=FaultCode.UNKNOWN_VALUE)
            case Kind.PROFILE_URIS:
                unknown = [key for key in value if key not in declared.values]
                yield from (Fault(declared.name, f"{key!r}: must be one of {allowed}") for key in unknown)
    if "openid" not in metadata.scopes:
        yield Fault("scopes", "must contain openid")
    if len(metadata.contacts) > MOST_CONTACTS or any(len(text) > LONGEST_CONTACT for text in metadata.contacts):
        text = f"must be {MOST_CONTACTS} texts at most, of {LONGEST_CONTACT} characters at most"
        yield Fault("contacts", text, code=FaultCode.CONTACT)


def _key_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    if metadata.jwks is not None and metadata.jwks_uri:
        text = "is given twice: as keys and as their URI; give one of them"
        yield Fault("jwks", text, code=FaultCode.KEYS_TWICE)
    signs = metadata.auth_method == "private_key_jwt"
    if signs and metadata.jwks is None and not metadata.jwks_uri:
        yield Fault(
            "auth_method", "private_key_jwt needs the client's public keys, or their URI", code=FaultCode.KEYS_NEEDED
        )
    if metadata.jwks is not None:
        allowed = jose.client_names(fapi2=metadata.profile == "fapi2", held_to=metadata.auth_alg)
        yield from _find_jwks_faults(metadata.jwks, allowed if signs else ())
    if metadata.auth_alg and not signs:
        yield Fault("auth_alg", "is for the authentication method private_key_jwt")


def _algorithm_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    usable = signing_algorithms() or {"RS256"}  # the algorithm of the key that the first `idp keys rotate` makes
    for name, alg in (("id_token_alg", metadata.id_token_alg), ("userinfo_alg", metadata.userinfo_alg)):
        if alg in ALGORITHMS and alg not in usable:
            text = f"{alg}: this service has no such key yet"
            yield Fault(name, text, code=FaultCode.NO_SIGNING_KEY, value=alg)


def signing_algorithms() -> set[str]:
    """Return the algorithms for which this service has a key that signs now."""
    return set(signing_since(db.session, now()))


def default_id_token_alg(profile: str) -> str:
    """Return the algorithm of ID tokens for a registration that names none: the first that there is a key for."""
    if profile != "fapi2":
        return "RS256"
    usable = signing_algorithms()
    return next((alg for alg in ("ES256", "PS256", "EdDSA") if alg in usable), "ES256")


def _fapi2_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    """Yield what the profile forbids (FAPI 2.0, 5.3.2.1 and 5.4.1). It implies PAR and DPoP, which are no faults."""
    if metadata.profile != "fapi2":
        return
    if metadata.auth_method != "private_key_jwt":
        yield Fault("profile", "fapi2 needs the authentication method private_key_jwt")
    if not metadata.pkce_required:
        yield Fault("profile", "fapi2 needs PKCE")
    if metadata.assertion_audience != "issuer":
        yield Fault("assertion_audience", "must be issuer for the profile fapi2")
    for name in ("id_token_alg", "userinfo_alg", "auth_alg"):
        if getattr(metadata, name) == "RS256":
            yield Fault(name, f"RS256: the profile fapi2 allows {', '.join(FAPI2_ALGORITHMS)}")


def _subject_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    prefix = metadata.subject_prefix
    if len(prefix) > _LONGEST_PREFIX or not (prefix.isascii() and prefix.isprintable()):
        yield Fault("subject_prefix", f"must have {_LONGEST_PREFIX} printable ASCII characters at most")
    if prefix.endswith("-"):
        yield Fault("subject_prefix", "must be given without its hyphen: the service writes it before the key")
    if prefix and metadata.subject != SubjectType.AAF.value:
        yield Fault("subject_prefix", "is for subjects of the type aaf")


def _frontchannel_faults(metadata: ClientMetadata) -> Iterator[Fault]:
    """Yield the fault of a front-channel URI on a foreign host (Front-Channel Logout 1.0, section 2)."""
    uri = metadata.frontchannel_logout_uri
    if uri and origin(uri) not in map(origin, metadata.redirect_uris):
        text = "must have the scheme, host and port of a redirect URI"
        yield Fault("frontchannel_logout_uri", text, code=FaultCode.FOREIGN_HOST)


def _uri_faults(settings: Settings, metadata: ClientMetadata) -> Iterator[Fault]:
    if not metadata.redirect_uris:
        yield Fault("redirect_uris", "is needed at least once", code=FaultCode.NEEDED)
    for name, own in uris(metadata).items():
        for uri in own:
            if problem := _uri_problem(settings, uri):
                code, text = problem
                yield Fault(name, f"{uri!r}: {text}", code=code, value=uri)


def _uri_problem(settings: Settings, uri: str) -> tuple[FaultCode, str] | None:
    if len(uri) > _LONGEST_URI or not (uri.isascii() and uri.isprintable()) or set(uri) & set(' "<>\\^`{|}'):
        return FaultCode.NOT_A_URI, f"not a URI (ASCII, no blank, {_LONGEST_URI} characters at most)"
    try:
        parts = urlsplit(uri)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:  # a bracket without its other half, a port that is no number
        return FaultCode.NOT_A_URI, "not a URI"
    is_authority = _AUTHORITY.fullmatch(parts.netloc) and len(parts.netloc) <= _LONGEST_HOST
    if parts.scheme not in {"https", "http"} or not port_is_right or not is_authority:
        return FaultCode.NOT_HTTPS, "must be https://host/..., the host in lower case"
    if "#" in uri or set(uri.removeprefix(f"{parts.scheme}://{parts.netloc}")) & set("[]") or _CONTROL.search(uri):
        return FaultCode.HAS_FRAGMENT, "must not have a fragment, nor brackets or control characters in its path"
    if parts.scheme == "http" and not (settings.development and parts.hostname in LOOPBACK):
        return FaultCode.NOT_HTTPS, "must be https (http is for loopback in development)"
    return None


def is_host(value: str) -> bool:
    """Return whether `value` is the name of a host as registered URIs have it, without a port."""
    return ":" not in value and len(value) <= _LONGEST_HOST and _AUTHORITY.fullmatch(value) is not None


def origin(uri: str) -> str:
    """Return the origin of a URI that nobody has checked; empty if it has an invalid port or host."""
    try:
        return origins.of(uri)
    except ValueError:
        return ""


_MOST_KEYS = 20
_LONGEST = 1500  # characters of a member: the modulus of an RSA key of 8192 bits has 1366
_TEXTS = ("kty", "kid", "use", "alg", "crv", "x", "y", "n", "e")
_LISTS = ("key_ops",)


def parse_jwks(content: str | bytes) -> dict[str, Any]:
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


def _find_jwks_faults(jwks: Mapping[str, Any], allowed: Collection[str]) -> Iterator[Fault]:
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
    if len(keys) > _MOST_KEYS:
        yield _unusable(f"holds more than {_MOST_KEYS} keys")
    if any(key.keys() & jose.PRIVATE_MEMBERS for key in keys):
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


def kept_jwks(jwks: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a valid set with the members that are kept (RFC 7517, 4)."""
    if jwks is None:
        return None
    names = (*_TEXTS, *_LISTS)
    return {"keys": [{name: key[name] for name in names if name in key} for key in jwks["keys"]]}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST and value.isascii() and value.isprintable()


def _is_short_list(value: object) -> bool:
    return isinstance(value, list) and len(value) <= _MOST_KEYS and all(_is_text(text) for text in value)
