"""Client metadata (RFC 7591 2, OpenID Connect Registration 1.0 2) and what this service keeps of it.

Each member is read by its name and its kind; members that are not known are ignored and not told again, as RFC 7591
says, but those that ask for something that is not served (encryption, signed request objects) are refused: a client
must not believe that it got them. `request_uris` asks for nothing: it only names addresses beforehand. What metadata
have no word for (the charter's mode, profiles) is the operator's, and no client changes it.

A logo is kept and told again, and shown nowhere, though the server SHOULD show it: a picture of a third host on a page
that takes passwords would tell that host each parent's address, and may change into anything.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select

from idp.clients.models import Client
from idp.config import Settings
from idp.db import db
from idp.oidc.claims.release import ACR_VALUES
from idp.oidc.client_auth.client import GRANT_TYPES, SECRET_METHODS
from idp.registration import changes, client_jwks, sectors
from idp.registration import metadata as client_metadata
from idp.registration import names as client_names
from idp.registration.invitations import Bounds
from idp.registration.wanted import Wanted

REDIRECT_FAULT, METADATA_FAULT = "invalid_redirect_uri", "invalid_client_metadata"
OPTIONS = {
    "--redirect-uri": "redirect_uris",
    "--post-logout-redirect-uri": "post_logout_redirect_uris",
    "--backchannel-logout-uri": "backchannel_logout_uri",
    "--frontchannel-logout-uri": "frontchannel_logout_uri",
    "--initiate-login-uri": "initiate_login_uri",
    "--home-uri": "client_uri",
    "--jwks-uri": "jwks_uri",
    "--jwks": "jwks",
    "--sector-identifier-uri": "sector_identifier_uri",
    "--logo-uri": "logo_uri",
    "--policy-uri": "policy_uri",
    "--tos-uri": "tos_uri",
    "--auth-method": "token_endpoint_auth_method",
    "--auth-alg": "token_endpoint_auth_signing_alg",
    "--id-token-alg": "id_token_signed_response_alg",
    "--userinfo-alg": "userinfo_signed_response_alg",
    "--default-max-age": "default_max_age",
    "--subject": "subject_type",
    "--scopes": "scope",
}
"""What the options of `idp client add` are called in metadata, for the sentences of faults."""

_TEXTS = (
    *("redirect_uris", "post_logout_redirect_uris", "grant_types", "response_types", "contacts"),
    "default_acr_values",
)
_TEXT = (
    *("client_name", "scope", "token_endpoint_auth_method", "token_endpoint_auth_signing_alg", "jwks_uri"),
    *("subject_type", "sector_identifier_uri", "id_token_signed_response_alg", "userinfo_signed_response_alg"),
    *("initiate_login_uri", "backchannel_logout_uri", "frontchannel_logout_uri", "application_type"),
    *("client_uri", "logo_uri", "policy_uri", "tos_uri", "software_id", "software_version"),
)
_TRUTH = (
    *("require_auth_time", "backchannel_logout_session_required", "frontchannel_logout_session_required"),
    *("require_pushed_authorization_requests", "dpop_bound_access_tokens"),
)
_DESCRIBED = (
    *("logo_uri", "policy_uri", "tos_uri", "contacts", "application_type"),
    *("require_auth_time", "backchannel_logout_session_required", "frontchannel_logout_session_required"),
    *("software_id", "software_version"),
)
_IN_LANGUAGES = ("client_name", "client_uri", "logo_uri", "policy_uri", "tos_uri")
"""What may be given in several languages, its tag behind a `#` (Registration 1.0, 2.1)."""
_NOT_SERVED = (
    *("id_token_encrypted_response_alg", "id_token_encrypted_response_enc"),
    *("userinfo_encrypted_response_alg", "userinfo_encrypted_response_enc"),
    *("request_object_signing_alg", "request_object_encryption_alg", "request_object_encryption_enc"),
    "require_signed_request_object",
    *("introspection_signed_response_alg", "introspection_encrypted_response_alg"),
    *("introspection_encrypted_response_enc", "authorization_signed_response_alg"),
    *("authorization_encrypted_response_alg", "authorization_encrypted_response_enc"),
    "tls_client_certificate_bound_access_tokens",
)
_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_LONGEST_TEXT = 500
_LONGEST_NAME = 80
_MOST = 20


class BadMetadata(Exception):  # noqa: N818 - what it is
    """The metadata cannot be taken: RFC 7591 3.2.2's code, and a sentence."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def as_wanted(metadata: Mapping[str, Any], bounds: Bounds, former: Wanted) -> Wanted:
    """Return the registration that a client's metadata ask for; what is left out is as if it had never been said.

    Args:
        metadata: what the client sent; a member that is null is one that is left out (RFC 7592 2.2).
        bounds: what it may ask for; `check_hosts` and `hosts_to_approve` hold it to its hosts.
        former: what was registered, or for a new client what its invitation gives: whatever metadata have no word for
            stays as it is there, and so do the schools. What makes its requests stricter stays too: an operator may
            have asked for it. So does the name that parents read, until the client says another.

    Raises:
        BadMetadata: a member is not of its kind, or asks for what is not served.
    """
    said = {name: value for name, value in metadata.items() if value is not None}
    for fault in _faults(said):
        raise BadMetadata(REDIRECT_FAULT if fault.startswith("redirect_uris") else METADATA_FAULT, fault)
    described = _described(said)
    return replace(
        former,
        name=said.get("client_name") or described.get("client_name#fr") or former.name or "ENT",
        redirect_uris=said.get("redirect_uris", []),
        post_logout_redirect_uris=said.get("post_logout_redirect_uris", []),
        backchannel_logout_uri=said.get("backchannel_logout_uri", ""),
        frontchannel_logout_uri=said.get("frontchannel_logout_uri", ""),
        initiate_login_uri=said.get("initiate_login_uri", ""),
        home_uri=said.get("client_uri", ""),
        auth_method=_bound(said, "token_endpoint_auth_method", bounds.auth_method, SECRET_METHODS[0]),
        auth_alg=said.get("token_endpoint_auth_signing_alg", ""),
        jwks=said.get("jwks"),
        jwks_uri=said.get("jwks_uri", ""),
        par=former.par or said.get("require_pushed_authorization_requests", False),
        dpop=former.dpop or said.get("dpop_bound_access_tokens", False),
        sector=_sector(said, former),
        sector_identifier_uri=said.get("sector_identifier_uri", ""),
        userinfo_alg=said.get("userinfo_signed_response_alg", ""),
        default_max_age=said.get("default_max_age"),
        description=described,
        subject=_bound(said, "subject_type", bounds.subject_type, "pairwise"),
        scopes=_scopes(said, bounds.scopes),
        id_token_alg=said.get("id_token_signed_response_alg") or changes.default_alg(former.profile),
    )


def _bound(said: Mapping[str, Any], name: str, bound: str, default: str) -> str:
    """Return what the client says, or its bound, or the default.

    Raises:
        BadMetadata: the client says something else than its bound.
    """
    value: str = said.get(name, bound or default)
    if bound and value != bound:
        raise BadMetadata(METADATA_FAULT, f"{name} must be {bound}: the invitation says so")
    return value


def _sector(said: Mapping[str, Any], former: Wanted) -> str | None:
    """Return the sector of a client: its own if it is new, has several hosts and asks for no kind of subject."""
    if former.sector is not None or {"subject_type", "sector_identifier_uri"} & said.keys():
        return former.sector
    return "" if len({client_metadata.host(uri) for uri in said.get("redirect_uris", [])}) > 1 else None


def hosts_to_approve(client: Client, wanted: Wanted, bounds: Bounds) -> set[str]:
    """Return the hosts that an operator must approve before a client that registered itself has them in its addresses.

    They are those that no redirect URI has yet. An address that is no redirect URI may have a host of the invitation,
    or one of those; without hosts of the invitation, whatever host leads people, tokens or keys to where none was led
    before needs the approval too.

    Raises:
        BadMetadata: an address has a host that is neither one of the invitation nor a new one of the redirect URIs.
    """
    added = changes.new_hosts(client, wanted)
    if bounds.hosts:
        check_hosts(wanted, replace(bounds, hosts=[*bounds.hosts, *added]))
        return added
    return added | (_leading_hosts(wanted) - _leading_hosts(changes.as_wanted(client)))


def _leading_hosts(wanted: Wanted) -> set[str]:
    """Return the hosts to which a registration leads somebody; its logo, which is shown nowhere, leads nobody."""
    named = client_metadata.urls(wanted)
    return {host for option, uris in named.items() if option != "--logo-uri" for host in sectors.hosts(uris)}


def check_hosts(wanted: Wanted, bounds: Bounds) -> None:
    """Hold all addresses of a registration to the hosts of its bounds.

    Raises:
        BadMetadata: an address has another host.
    """
    if not bounds.hosts:
        return
    named = {OPTIONS.get(option, option): uris for option, uris in client_metadata.urls(wanted).items()}
    named |= {name: [uri] for name, uri in wanted.description.items() if _is_tagged(name) and "_uri#" in name}
    for name, uris in named.items():
        if strange := sectors.hosts(uris) - set(bounds.hosts):
            error = REDIRECT_FAULT if name == "redirect_uris" else METADATA_FAULT
            raise BadMetadata(error, f"{name}: {', '.join(sorted(strange))} is no host of the invitation")


def check_name(settings: Settings, name: str, client: Client, *, given: str) -> None:
    """Refuse a name under which parents know another ENT, or this service: they would take the one for the other.

    A name that holds another one (« Passerelle (ENT) ») is refused too, unless an operator gave it, or both clients
    registered by the same invitation.

    Args:
        settings: the service's own names.
        name: the name that the client would have.
        client: the client, which is no other than itself.
        given: the name that an operator gave the client, or that was accepted before.

    Raises:
        BadMetadata: it is one, or has letters of another alphabet, many of which look like ours.
    """
    read = client_names.as_read(name)
    if read is None:
        raise BadMetadata(METADATA_FAULT, "client_name: letters and digits as French has them")
    others = db.session.execute(
        select(Client.name, Client.invite_id).where(Client.disabled_at.is_(None), Client.id != client.id)
    ).all()
    own = (settings.service_name, settings.academy)
    taken = (*(other for other, _ in others), *own)
    if read in map(client_names.as_read, taken):
        raise BadMetadata(METADATA_FAULT, "client_name: another ENT has this name, or this service")
    strangers = (*(other for other, invite in others if invite is None or invite != client.invite_id), *own)
    if name != given and any(client_names.holds(name, other) for other in strangers):
        raise BadMetadata(METADATA_FAULT, "client_name: it holds the name of another ENT, or of this service")


def free_name(label: str) -> str:
    """Return the name of a client that gives itself none: its invitation's label, numbered if it is taken."""
    names = db.session.scalars(select(Client.name).where(Client.disabled_at.is_(None)))
    taken = set(map(client_names.as_read, names))
    name, number = label, 1
    while client_names.as_read(name) in taken:
        number += 1
        name = f"{label[: _LONGEST_NAME - len(f' {number}')]} {number}"
    return name


def kept(metadata: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """Return the members that are read, of metadata that have no fault: to be read again when they are approved."""
    names = {*_TEXTS, *_TEXT, *_TRUTH, "default_max_age"}
    members = {name: value for name, value in metadata.items() if name in names and value is not None}
    jwks = client_jwks.kept(wanted.jwks)
    return {**members, **wanted.description, **({"jwks": jwks} if jwks else {})}


def of_client(client: Client) -> dict[str, Any]:
    """Return a registration as metadata: all that was registered, whoever registered it (RFC 7591 3.2.1)."""
    offline = "offline_access" in client.scopes
    told: dict[str, Any] = {
        **_described(client.description),
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "client_name": client.name,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "response_types": ["code"],
        "grant_types": list(GRANT_TYPES if offline else GRANT_TYPES[:1]),
        "scope": " ".join(client.scopes),
        "token_endpoint_auth_method": client.auth_method,
        "token_endpoint_auth_signing_alg": client.auth_alg,
        "jwks": client.jwks,
        "jwks_uri": client.jwks_uri,
        "subject_type": "pairwise" if client.subject_type.value == "pairwise" else "public",
        "sector_identifier_uri": client.sector_identifier_uri,
        "id_token_signed_response_alg": client.id_token_alg,
        "userinfo_signed_response_alg": client.userinfo_alg,
        "default_max_age": client.default_max_age,
        "initiate_login_uri": client.initiate_login_uri,
        "backchannel_logout_uri": client.backchannel_logout_uri,
        "frontchannel_logout_uri": client.frontchannel_logout_uri,
        "require_pushed_authorization_requests": client.par_required,
        "dpop_bound_access_tokens": client.dpop_required,
        "client_uri": client.home_uri,
    }
    return {name: value for name, value in told.items() if value not in ("", None, [])}


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept to be told again; names in other languages (`client_name#en`) are among it.

    Of the classes that it wishes for by default, those that there are (RFC 7591 3.2.1 lets values be replaced).
    """
    tagged = sorted(name for name in metadata if _is_tagged(name))[:_MOST]
    kept = {name: metadata[name] for name in (*_DESCRIBED, *tagged) if name in metadata}
    classes = [wish for wish in metadata.get("default_acr_values", ()) if wish in ACR_VALUES]
    return {**kept, "default_acr_values": classes} if classes else kept


def _is_tagged(name: str) -> bool:
    base, mark, tag = name.partition("#")
    return bool(mark) and base in _IN_LANGUAGES and _TAG.fullmatch(tag) is not None


def _scopes(metadata: Mapping[str, Any], allowed: Sequence[str]) -> str:
    """Return the scopes that were asked for and are allowed; `refresh_token` among the grants is `offline_access`."""
    asked = metadata["scope"].split() if "scope" in metadata else [s for s in allowed if s != "offline_access"]
    if "refresh_token" in metadata.get("grant_types", []):
        asked.append("offline_access")
    return " ".join(dict.fromkeys(scope for scope in ("openid", *asked) if scope in allowed))


def _faults(metadata: Mapping[str, Any]) -> Iterator[str]:
    for name in ("redirect_uris", *sorted(metadata)):
        if name in metadata and (problem := _problem(name, metadata[name])):
            yield f"{name} {problem}"
    if set(metadata.get("grant_types", [])) - set(GRANT_TYPES):
        yield f"grant_types must be among: {', '.join(GRANT_TYPES)}"
    if set(metadata.get("response_types", ["code"])) != {"code"}:
        yield "response_types must be: code"
    if metadata.get("application_type", "web") != "web":
        yield "application_type must be: web"
    if metadata.get("subject_type", "pairwise") not in {"pairwise", "public"}:
        yield "subject_type must be pairwise or public"
    for name, value in metadata.items():
        if _is_tagged(name) and not name.startswith("client_name") and not _is_address(value):
            yield f"{name} must be an https address"


def _problem(name: str, value: Any) -> str:
    """Say why a member is not of its kind; nothing for those that are, and for those that are not known."""
    base = name.partition("#")[0] if _is_tagged(name) else name
    if base in _TEXTS:
        fine = isinstance(value, list) and len(value) <= _MOST and all(_is_text(one) for one in value)
        return "" if fine else f"must be an array of {_MOST} strings at most"
    if base in _TEXT:
        return "" if _is_text(value) else f"must be a string of {_LONGEST_TEXT} characters at most"
    if base in _TRUTH:
        return "" if isinstance(value, bool) else "must be true or false"
    if base == "default_max_age":
        return "" if isinstance(value, int) and not isinstance(value, bool) else "must be a number of seconds"
    if base == "jwks":
        return "" if isinstance(value, dict) else "must be a JWK set"
    return "is not served" if base in _NOT_SERVED and value is not False and value != [] else ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\x00" not in value and _is_whole(value)


def _is_address(value: str) -> bool:
    return value.startswith("https://") and value.isascii() and value.isprintable() and " " not in value


def _is_whole(text: str) -> bool:
    """Whether a text can be stored: JSON may hold halves of characters (RFC 8259 8.2)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
