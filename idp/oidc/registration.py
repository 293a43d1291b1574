"""What a client may be registered with, checked before it is written (Registration 1.0, section 2; RFC 9700 2.1)."""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select

from idp import opaque
from idp.audit import log
from idp.audit.events import ClientChanged
from idp.clients.models import CharterMode, Client, ClientSchool, SubjectType
from idp.clock import now
from idp.config import LOOPBACK, Settings
from idp.db import db
from idp.oidc.claims import SCOPES
from idp.oidc.clients import AUTH_METHODS, SECRET_METHODS
from idp.oidc.keys import ALGORITHMS
from idp.profile_choice.profiles import PROFILES

DEFAULT_SCOPES = "openid profile email ent charter"
ALWAYS_CLAIMS = ("profile", "email", "ent", "charter")
_LONGEST_URI = 500
_LONGEST_NAME = 80
_LONGEST_PREFIX = 30
_UAI_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_UAI_DIGITS = 7


class RegistrationRefused(Exception):  # noqa: N818 - what happened
    """The registration has faults; each is one sentence."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A registration as an operator asks for it."""

    name: str
    redirect_uris: Sequence[str]
    uais: Sequence[str] = ()
    post_logout_redirect_uris: Sequence[str] = ()
    backchannel_logout_uri: str = ""
    frontchannel_logout_uri: str = ""
    initiate_login_uri: str = ""
    home_uri: str = ""
    auth_method: str = "client_secret_basic"
    auth_alg: str = ""
    jwks: dict[str, Any] | None = None
    jwks_uri: str = ""
    profile: str = ""
    par: bool = False
    dpop: bool = False
    sector_identifier_uri: str = ""
    userinfo_alg: str = ""
    default_max_age: int | None = None
    description: dict[str, Any] = field(default_factory=dict)
    subject: str = "pairwise"
    subject_prefix: str = ""
    pkce: bool = True
    scopes: str = DEFAULT_SCOPES
    always_claims: Sequence[str] = ()
    charter: str = "ent"
    id_token_alg: str = "RS256"  # noqa: S105 - an algorithm
    refresh_id_token: bool = False
    default_profile: str = ""
    profile_uris: dict[str, str] = field(default_factory=dict)


def register(settings: Settings, wanted: Wanted, *, client_id: str = "", secret: str = "") -> tuple[Client, str | None]:
    """Register an ENT; return it and its secret, which is shown this once and kept as a digest alone.

    Raises:
        RegistrationRefused: with every fault.
    """
    faults = list(_faults(settings, wanted))
    if faults:
        raise RegistrationRefused(faults)
    confidential = wanted.auth_method in SECRET_METHODS
    secret = (secret or opaque.new_value()) if confidential else ""
    client = Client(
        id=uuid.uuid4(),
        client_id=client_id or uuid.uuid4().hex[:20],
        name=wanted.name.strip(),
        secret_digest=opaque.digest(secret) if confidential else None,
        auth_method=wanted.auth_method,
        auth_alg=wanted.auth_alg,
        jwks=wanted.jwks,
        jwks_uri=wanted.jwks_uri,
        redirect_uris=_each_once(wanted.redirect_uris),
        post_logout_redirect_uris=_each_once(wanted.post_logout_redirect_uris),
        home_uri=wanted.home_uri,
        initiate_login_uri=wanted.initiate_login_uri,
        backchannel_logout_uri=wanted.backchannel_logout_uri,
        frontchannel_logout_uri=wanted.frontchannel_logout_uri,
        scopes=_each_once(wanted.scopes.split()),
        always_claims=_each_once(wanted.always_claims),
        subject_type=SubjectType(wanted.subject),
        subject_prefix=wanted.subject_prefix,
        sector_identifier_uri=wanted.sector_identifier_uri,
        pkce_required=wanted.pkce,
        par_required=wanted.par or wanted.profile == "fapi2",
        dpop_required=wanted.dpop or wanted.profile == "fapi2",
        security_profile=wanted.profile,
        default_max_age=wanted.default_max_age,
        userinfo_alg=wanted.userinfo_alg,
        description=dict(wanted.description),
        id_token_alg=wanted.id_token_alg,
        refresh_id_token=wanted.refresh_id_token,
        charter_mode=CharterMode(wanted.charter),
        default_profile=wanted.default_profile,
        profile_uris=dict(wanted.profile_uris),
        schools=[ClientSchool(uai=uai) for uai in _each_once(wanted.uais)],
    )
    db.session.add(client)
    log.record(ClientChanged(client_id=client.id, change="registered"))
    db.session.commit()
    return client, secret if confidential else None


def get(client_id: str) -> Client:
    """Return a client, enabled or not.

    Raises:
        RegistrationRefused: there is none of that name.
    """
    client = db.session.scalar(select(Client).where(Client.client_id == client_id))
    if client is None:
        raise RegistrationRefused([f"no client {client_id}"])
    return client


def rotate_secret(client_id: str) -> str:
    """Give a client a new secret; the former stops working at once, on every node."""
    client = get(client_id)
    if client.auth_method == "none":
        raise RegistrationRefused([f"{client.name} is a public client: it has no secret"])
    secret = opaque.new_value()
    client.secret_digest = opaque.digest(secret)
    client.version = Client.version + 1  # counted by the database: two operators at once are two changes
    log.record(ClientChanged(client_id=client.id, change="secret rotated"))
    db.session.commit()
    return secret


def disable(client_id: str) -> None:
    """Shut a client out: no code, no token, no claim from here on."""
    client = get(client_id)
    if client.disabled_at is None:
        client.disabled_at = now()
        client.version = Client.version + 1
        log.record(ClientChanged(client_id=client.id, change="disabled"))
        db.session.commit()


def _each_once(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _faults(settings: Settings, wanted: Wanted) -> Iterator[str]:
    name = wanted.name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        yield f"the name must have 1 to {_LONGEST_NAME} printable characters"
    yield from _address_faults(settings, wanted)
    yield from (
        f"--uai {uai!r}: not a UAI (7 digits and their control letter)" for uai in wanted.uais if not is_uai(uai)
    )
    scopes = wanted.scopes.split()
    if "openid" not in scopes or set(scopes) - set(SCOPES):
        yield f"--scopes must contain openid and name only: {' '.join(SCOPES)}"
    if set(wanted.always_claims) - set(ALWAYS_CLAIMS):
        yield f"--always-claims may name only: {','.join(ALWAYS_CLAIMS)}"
    yield from _choice_faults(wanted)
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
        ("--charter", wanted.charter, tuple(mode.value for mode in CharterMode)),
        ("--id-token-alg", wanted.id_token_alg, ALGORITHMS),
        *((("--default-profile", wanted.default_profile, profiles),) if wanted.default_profile else ()),
        *(("--profile-uri", profile, profiles) for profile in wanted.profile_uris),
    )
    for option, value, known in choices:
        if value not in known:
            yield f"{option} {value!r}: must be one of {', '.join(known)}"


def _address_faults(settings: Settings, wanted: Wanted) -> Iterator[str]:
    if not wanted.redirect_uris:
        yield "at least one --redirect-uri is needed"
    named = {
        "--redirect-uri": wanted.redirect_uris,
        "--post-logout-redirect-uri": wanted.post_logout_redirect_uris,
        "--backchannel-logout-uri": filter(None, (wanted.backchannel_logout_uri,)),
        "--initiate-login-uri": filter(None, (wanted.initiate_login_uri,)),
        "--home-uri": filter(None, (wanted.home_uri,)),
        "--profile-uri": wanted.profile_uris.values(),
    }
    for option, uris in named.items():
        for uri in uris:
            if problem := _uri_fault(settings, uri):
                yield f"{option} {uri!r}: {problem}"


def _uri_fault(settings: Settings, uri: str) -> str:
    """Say why an address cannot be registered; an empty string when it can."""
    if len(uri) > _LONGEST_URI or not (uri.isascii() and uri.isprintable()) or set(uri) & set(' "<>\\^`{|}'):
        return f"not an address (ASCII, no blank, {_LONGEST_URI} characters at most)"
    try:
        parts = urlsplit(uri)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:  # a bracket without its other half, a port that is no number
        return "not an address"
    if parts.scheme not in {"https", "http"} or not parts.hostname or "@" in parts.netloc or not port_is_right:
        return "must be https://host/…"
    if "#" in uri:
        return "must not have a fragment"
    if parts.scheme == "http" and not (settings.development and parts.hostname in LOOPBACK):
        return "must be https (http is for loopback in development)"
    return ""


def is_uai(value: str) -> bool:
    """Say whether `value` is a UAI: seven digits and the letter that their number gives modulo 23."""
    digits, letter = value[:_UAI_DIGITS], value[_UAI_DIGITS:]
    return (
        len(digits) == _UAI_DIGITS
        and digits.isascii()
        and digits.isdigit()
        and letter == _UAI_LETTERS[int(digits) % len(_UAI_LETTERS)]
    )
