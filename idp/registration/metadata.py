"""What a client may be registered with (Registration 1.0, section 2; RFC 7591 2; RFC 9700 2.1): every fault, at once.

Operators and clients that register themselves are held to the same rules. Faults name the option of `idp client add`;
`idp.registration.endpoint` translates it.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from sqlalchemy import select

from idp.clients.models import Audience, CharterMode, SubjectType
from idp.clock import now
from idp.config import Settings
from idp.config_rules import LOOPBACK
from idp.db import db
from idp.oidc.claims.release import CLAIMS_BY_SCOPE, SCOPES
from idp.oidc.client_auth.client import AUTH_METHODS
from idp.oidc.keys import jose
from idp.oidc.keys.material import ALGORITHMS, FAPI2_ALGORITHMS
from idp.oidc.models import SigningKey
from idp.profile_choice.profiles import PROFILES
from idp.registration import client_jwks, sectors
from idp.registration.wanted import Wanted
from idp.uai import is_uai, uai_fault

ALWAYS_CLAIMS = tuple(CLAIMS_BY_SCOPE)
SECURITY_PROFILES = ("", "fapi2")
_LONGEST_URI = 500
_LONGEST_NAME = 80
_LONGEST_PREFIX = 30
_LONGEST_AGE = 10**9
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_AUTHORITY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?", re.ASCII)
"""A host as policies, redirects and certificates name it, which has no mark that means something to one of them."""
_CONTROL = re.compile("%(?:[01][0-9a-f]|7f)", re.IGNORECASE)
_LONGEST_HOST = 253
AUDIENCES = tuple(audience.value for audience in Audience)


def faults(settings: Settings, wanted: Wanted) -> Iterator[str]:
    """Yield what is wrong with a registration, a sentence each; it asks the database which keys there are."""
    name = wanted.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        yield f"the name must have 1 to {_LONGEST_NAME} printable characters"
    addresses = list(_address_faults(settings, wanted))
    yield from addresses or _sector_faults(wanted)
    yield from (f"--uai {uai_fault(one)}" for one in wanted.uais if not is_uai(one))
    if wanted.audience == Audience.FAMILIES.value and not wanted.uais:
        yield "--uai: at least one school is needed, or --audience everyone for a service of the whole académie"
    scopes = wanted.scopes.split()
    if "openid" not in scopes or set(scopes) - set(SCOPES):
        yield f"--scopes must contain openid and name only: {' '.join(SCOPES)}"
    if set(wanted.always_claims) - set(ALWAYS_CLAIMS):
        yield f"--always-claims may name only: {','.join(ALWAYS_CLAIMS)}"
    yield from _choice_faults(wanted)
    yield from _key_faults(wanted)
    yield from _profile_faults(wanted)
    yield from _logout_faults(wanted)
    prefix = wanted.subject_prefix
    if len(prefix) > _LONGEST_PREFIX or not (prefix.isascii() and prefix.isprintable()):
        yield f"--subject-prefix must have {_LONGEST_PREFIX} printable ASCII characters at most"
    if prefix.endswith("-"):
        yield "--subject-prefix is given without its hyphen, which is written between it and the key"
    if prefix and wanted.subject != SubjectType.AAF.value:
        yield "--subject-prefix is for --subject aaf"
    if wanted.auth_method == "none" and not wanted.pkce:
        yield "--no-pkce: a public client has no other proof than PKCE"


def _choice_faults(wanted: Wanted) -> Iterator[str]:
    profiles = tuple(profile.key for profile in PROFILES)
    choices = (
        ("--auth-method", wanted.auth_method, AUTH_METHODS),
        ("--subject", wanted.subject, tuple(kind.value for kind in SubjectType)),
        ("--audience", wanted.audience, AUDIENCES),
        ("--charter", wanted.charter, tuple(mode.value for mode in CharterMode)),
        ("--id-token-alg", wanted.id_token_alg, ALGORITHMS),
        ("--userinfo-alg", wanted.userinfo_alg, ("", *ALGORITHMS)),
        ("--auth-alg", wanted.auth_alg, ("", *jose.CLIENT_ALGORITHMS)),
        ("--profile", wanted.profile, SECURITY_PROFILES),
        *((("--default-profile", wanted.default_profile, profiles),) if wanted.default_profile else ()),
        *(("--profile-uri", profile, profiles) for profile in wanted.profile_uris),
    )
    for option, value, known in choices:
        if value not in known:
            yield f"{option} {value!r}: must be one of {', '.join(filter(None, known))}"


def _key_faults(wanted: Wanted) -> Iterator[str]:
    """What the client signs with must be there, and so must the keys of this service that it wants signatures of."""
    if wanted.jwks is not None and wanted.jwks_uri:
        yield "--jwks and --jwks-uri: one of them, not both"
    signs = wanted.auth_method == "private_key_jwt"
    if signs and wanted.jwks is None and not wanted.jwks_uri:
        yield "--auth-method private_key_jwt needs --jwks or --jwks-uri"
    if wanted.jwks is not None:
        allowed = jose.client_names(fapi2=wanted.profile == "fapi2", held_to=wanted.auth_alg)
        yield from client_jwks.faults(wanted.jwks, allowed if signs else ())
    if wanted.auth_alg and not signs:
        yield "--auth-alg is for --auth-method private_key_jwt"
    made = algorithms_made() or {"RS256"}  # what the first `idp keys rotate` makes
    for option, alg in (("--id-token-alg", wanted.id_token_alg), ("--userinfo-alg", wanted.userinfo_alg)):
        if alg in ALGORITHMS and alg not in made:
            yield f"{option} {alg}: this service has no such key yet; run `idp keys rotate --alg {alg}` first"


def algorithms_made() -> set[str]:
    """Return the algorithms that this service has a key for that signs now."""
    signs = (SigningKey.retired_at.is_(None), SigningKey.active_from <= now())
    return set(db.session.scalars(select(SigningKey.alg).where(*signs).distinct()))


def _profile_faults(wanted: Wanted) -> Iterator[str]:
    """FAPI 2.0 (5.3.2.1, 5.4.1): keys instead of secrets, PKCE, no RS256. PAR and DPoP come with the profile."""
    age = wanted.default_max_age
    if age is not None and not 0 <= age <= _LONGEST_AGE:
        yield f"--default-max-age must be 0 to {_LONGEST_AGE} seconds"
    if wanted.profile != "fapi2":
        return
    if wanted.auth_method != "private_key_jwt":
        yield "--profile fapi2 needs --auth-method private_key_jwt"
    if not wanted.pkce:
        yield "--profile fapi2 needs PKCE: leave --no-pkce out"
    for option, alg in (
        ("--id-token-alg", wanted.id_token_alg),
        ("--userinfo-alg", wanted.userinfo_alg),
        ("--auth-alg", wanted.auth_alg),
    ):
        if alg == "RS256":
            yield f"{option} RS256: --profile fapi2 signs with {', '.join(FAPI2_ALGORITHMS)}"


def _sector_faults(wanted: Wanted) -> Iterator[str]:
    """Several hosts need a document that joins them (Core 8.1)."""
    if sectors.is_missing(wanted):
        yield "--sector-identifier-uri is needed, as the --redirect-uri have several hosts"


def _logout_faults(wanted: Wanted) -> Iterator[str]:
    """A front-channel address is one of the client's own hosts (Front-Channel Logout 1.0, 2)."""
    if wanted.frontchannel_logout_uri and origin(wanted.frontchannel_logout_uri) not in map(
        origin, wanted.redirect_uris
    ):
        yield "--frontchannel-logout-uri must have the scheme, host and port of a --redirect-uri"


def host(uri: str) -> str:
    """Return the host of an address that nobody has checked; empty for what is no address."""
    try:
        return urlsplit(uri).hostname or ""
    except ValueError:
        return ""


def origin(uri: str) -> str:
    """Return scheme, host and port of an address, as they are compared; empty for what is no address."""
    try:
        parts = urlsplit(uri)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}"


def _address_faults(settings: Settings, wanted: Wanted) -> Iterator[str]:
    if not wanted.redirect_uris:
        yield "--redirect-uri: at least one is needed"
    for option, uris in urls(wanted).items():
        for uri in uris:
            if problem := _uri_fault(settings, uri):
                yield f"{option} {uri!r}: {problem}"


def urls(wanted: Wanted) -> dict[str, list[str]]:
    """Return all addresses of a registration, by the option that names them."""
    named: dict[str, Iterable[str]] = {
        "--redirect-uri": wanted.redirect_uris,
        "--post-logout-redirect-uri": wanted.post_logout_redirect_uris,
        "--backchannel-logout-uri": (wanted.backchannel_logout_uri,),
        "--initiate-login-uri": (wanted.initiate_login_uri,),
        "--home-uri": (wanted.home_uri,),
        "--frontchannel-logout-uri": (wanted.frontchannel_logout_uri,),
        "--jwks-uri": (wanted.jwks_uri,),
        "--sector-identifier-uri": (wanted.sector_identifier_uri,),
        "--logo-uri": (wanted.description.get("logo_uri", ""),),
        "--policy-uri": (wanted.description.get("policy_uri", ""),),
        "--tos-uri": (wanted.description.get("tos_uri", ""),),
        "--profile-uri": wanted.profile_uris.values(),
    }
    lists = ("--redirect-uri", "--post-logout-redirect-uri")  # there an empty address is a fault
    return {option: [uri for uri in uris if uri or option in lists] for option, uris in named.items()}


def _uri_fault(settings: Settings, uri: str) -> str:
    """Say why an address cannot be registered; an empty string when it can."""
    if len(uri) > _LONGEST_URI or not (uri.isascii() and uri.isprintable()) or set(uri) & set(' "<>\\^`{|}'):
        return f"not an address (ASCII, no blank, {_LONGEST_URI} characters at most)"
    try:
        parts = urlsplit(uri)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:  # a bracket without its other half, a port that is no number
        return "not an address"
    is_host = _AUTHORITY.fullmatch(parts.netloc) and len(parts.netloc) <= _LONGEST_HOST
    if parts.scheme not in {"https", "http"} or not port_is_right or not is_host:
        return "must be https://host/..., the host in lower case"
    if "#" in uri or set(uri.removeprefix(f"{parts.scheme}://{parts.netloc}")) & set("[]") or _CONTROL.search(uri):
        return "must not have a fragment, nor brackets or control characters in its path"
    if parts.scheme == "http" and not (settings.development and parts.hostname in LOOPBACK):
        return "must be https (http is for loopback in development)"
    return ""


def is_host(value: str) -> bool:
    """Return whether `value` is the name of a host, as the addresses of a registration have it: without a port."""
    return ":" not in value and len(value) <= _LONGEST_HOST and _AUTHORITY.fullmatch(value) is not None
