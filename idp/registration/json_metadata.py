"""Client metadata as JSON (RFC 7591, section 2; OpenID Connect Registration 1.0, section 2).

Unknown members are ignored and not answered, as RFC 7591 says. Members that ask for a feature which this service lacks
(encryption, signed request objects) are refused, so that no client believes that it got the feature. `request_uris` is
ignored: it asks for nothing, it only names URIs beforehand. Fields without a JSON member are the engineer's, and no
client changes them.

The service keeps a logo and answers it, but shows it nowhere, although the specification says SHOULD: an image of
another host on a page that takes passwords would disclose the IP of each parent to that host, and may change.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from idp.clients.models import Client
from idp.oidc.client_auth.client import GRANT_TYPES
from idp.registration import rows
from idp.registration.checks import default_id_token_alg
from idp.registration.declarations import Declaration, Kind
from idp.registration.faults import Fault, RegistrationRefusedError
from idp.registration.invitations import Bounds
from idp.registration.metadata import BY_MEMBER, BY_NAME, ClientMetadata, is_translation
from idp.registration.sectors import hosts

# The members that are no field: the grants follow from the scopes, and the response is always a code.
_OTHER_LISTS = ("grant_types", "response_types")
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
_LONGEST_TEXT = 500
_MOST = 20


def read(members: Mapping[str, Any], bounds: Bounds, former: ClientMetadata) -> ClientMetadata:
    """Return the registration that JSON members ask for; a member that is absent or null has its default.

    Args:
        members: what the client sent (RFC 7592, 2.2: null means absent).
        bounds: what the client may ask for. Its hosts are checked apart (`invitations`, `approvals`).
        former: the present registration, or for a new client what its invitation gives. Fields without a member keep
            their value. So do the stricter requirements, since an engineer may have set them, and the name until the
            client gives another.

    Raises:
        RegistrationRefusedError: a member has the wrong type, or asks for what is not served or not allowed.
    """
    given = {name: value for name, value in members.items() if value is not None}
    if faults := list(_type_faults(given)) or list(_value_faults(given, bounds)):
        raise RegistrationRefusedError(*faults)
    defaults = {declared.name: declared.default for declared in BY_MEMBER.values()} | bounds.required()
    values = {declared.name: _read(declared, given, defaults[declared.name]) for declared in BY_MEMBER.values()}
    translations = {name: given[name] for name in sorted(given) if is_translation(name)}
    known_classes = BY_NAME["default_acr_values"].values
    values |= {
        "name": values["name"] or translations.get("client_name#fr") or former.name or "ENT",
        "par_required": former.par_required or values["par_required"],
        "dpop_required": former.dpop_required or values["dpop_required"],
        "sector": _sector(given, former),
        "scopes": _scopes(given, bounds),
        "id_token_alg": given.get("id_token_signed_response_alg") or default_id_token_alg(former.profile),
        "default_acr_values": tuple(acr for acr in values["default_acr_values"] if acr in known_classes),
        "translations": dict(list(translations.items())[:_MOST]),
    }
    return replace(former, **values)


def _read(declared: Declaration, given: Mapping[str, Any], default: Any) -> Any:
    value = given.get(declared.member, default)
    if declared.kind is Kind.WORDS and isinstance(value, str):
        return tuple(value.split())
    return tuple(value) if isinstance(value, list) else value


def _sector(given: Mapping[str, Any], former: ClientMetadata) -> str | None:
    """Return an empty sector for a new client with several hosts that names no subject type: it gets one of its own."""
    if former.sector is not None or {"subject_type", "sector_identifier_uri"} & given.keys():
        return former.sector
    return "" if len(hosts(given.get("redirect_uris", []))) > 1 else None


def _scopes(given: Mapping[str, Any], bounds: Bounds) -> tuple[str, ...]:
    """Return the scopes that are asked for and allowed; the grant `refresh_token` asks for `offline_access`."""
    asked = given["scope"].split() if "scope" in given else [s for s in bounds.scopes if s != "offline_access"]
    if "refresh_token" in given.get("grant_types", []):
        asked.append("offline_access")
    return tuple(dict.fromkeys(scope for scope in ("openid", *asked) if scope in bounds.scopes))


def of_client(client: Client) -> dict[str, Any]:
    """Return a registration as JSON: all that is registered, also by an engineer (RFC 7591, 3.2.1)."""
    metadata = rows.read(client)
    offline = "offline_access" in metadata.scopes
    members = {declared.member: _written(metadata, declared) for declared in BY_MEMBER.values()}
    members |= {
        **metadata.translations,
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created_at.timestamp()),
        "response_types": ["code"],
        "grant_types": list(GRANT_TYPES if offline else GRANT_TYPES[:1]),
    }
    return {name: value for name, value in members.items() if value not in ("", None, [])}


def _written(metadata: ClientMetadata, declared: Declaration) -> Any:
    value = getattr(metadata, declared.name)
    if declared.name == "subject" and value not in declared.offered:
        return "public"  # for the client, the join key of AAF is a public subject
    match declared.kind:
        case Kind.WORDS:
            return " ".join(value)
        case Kind.TEXTS if declared.values:
            return [text for text in value if text in declared.values]
        case Kind.URIS | Kind.TEXTS:
            return list(value)
    return value


def _type_faults(given: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the members of a wrong type; the redirect URIs first, because the first fault decides on the error."""
    for name in sorted(given, key=lambda name: (name != "redirect_uris", name)):
        if problem := _type_problem(name, given[name]):
            yield _fault(name, problem)


def _type_problem(name: str, value: Any) -> str:
    """Return why a member has a wrong type or is not served; an empty text if it is right, or not known."""
    if name in _NOT_SERVED:
        return "" if value is False or value == [] else "is not served"
    declared = BY_MEMBER.get(name.partition("#")[0] if is_translation(name) else name)
    if declared is None and name not in _OTHER_LISTS:
        return ""
    is_right, text = _TYPES.get(declared.kind if declared else Kind.TEXTS, _TEXT)
    return "" if is_right(value) else text


def _value_faults(given: Mapping[str, Any], bounds: Bounds) -> Iterator[Fault]:
    """Yield the values that a client may not ask for itself; `checks` finds what nobody may register."""
    if not set(given.get("grant_types", [])) <= set(GRANT_TYPES):
        yield _fault("grant_types", f"must be among: {', '.join(GRANT_TYPES)}")
    if set(given.get("response_types", ["code"])) != {"code"}:
        yield _fault("response_types", "must be: code")
    subject = BY_NAME["subject"]
    if given.get(subject.member, subject.default) not in subject.offered:
        yield _fault(subject.member, f"must be one of {', '.join(subject.offered)}")
    for name, value in given.items():
        declared = BY_MEMBER.get(name)
        if declared and declared.kind is Kind.CHOICE and value == "" and "" not in declared.values:
            yield _fault(name, f"must be one of {', '.join(declared.values)}")
    for name, bound in bounds.required().items():
        if given.get(BY_NAME[name].member, bound) != bound:
            yield Fault(name, f"must be {bound}: the invitation says so")
    for name, value in given.items():
        if is_translation(name) and not name.startswith("client_name") and not _is_https_uri(value):
            yield _fault(name, "must be an https URI")


def _fault(member: str, text: str) -> Fault:
    declared = BY_MEMBER.get(member)
    return Fault(declared.name if declared else member, text)


def label(field: str) -> str:
    """Return the name of a field in JSON, or `field` itself if it is a member without a field."""
    declared = BY_NAME.get(field)
    return (declared.member if declared else "") or field


def _is_https_uri(value: str) -> bool:
    is_plain = value.isascii() and value.isprintable() and " " not in value
    return value.startswith("https://") and is_plain and hosts([value]) != {""}


def _is_encodable(text: str) -> bool:
    """Return whether a text can be stored: JSON may hold half of a surrogate pair (RFC 8259, 8.2)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and "\x00" not in value and _is_encodable(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= _MOST and all(map(_is_text, value))


_TEXT = (_is_text, f"must be a string of {_LONGEST_TEXT} characters at most")
_LIST = (_is_list, f"must be an array of {_MOST} strings at most")
# The JSON types by kind, with the fault of a value of another type; all other kinds are texts.
_TYPES: dict[Kind, tuple[Callable[[Any], bool], str]] = {
    Kind.URIS: _LIST,
    Kind.TEXTS: _LIST,
    Kind.SWITCH: (lambda value: isinstance(value, bool), "must be true or false"),
    Kind.SECONDS: (lambda value: type(value) is int, "must be a number of seconds"),
    Kind.KEYS: (lambda value: isinstance(value, dict), "must be a JWK set"),
}
