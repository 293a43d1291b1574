"""What a client is: `ClientMetadata` declares each field of a registration once.

The options of `idp client add` (`options`), the JSON of RFC 7591 (`json_metadata`), the row of the database (`rows`)
and the values that discovery announces (`announced`) are derived from these declarations. `checks` finds the faults.
"""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from idp.clients.models import Audience, CharterMode, SubjectType
from idp.oidc.claims.release import ACR_VALUES, CLAIMS_BY_SCOPE, SCOPES
from idp.oidc.client_auth.client import AUTH_METHODS
from idp.oidc.keys.jose import CLIENT_ALGORITHMS
from idp.oidc.keys.material import ALGORITHMS
from idp.profile_choice import PROFILES
from idp.registration.declarations import Kind, Option, Texts, declarations, declare

DEFAULT_SCOPES = ("openid", "profile", "email", "ent", "charter")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")
_PROFILE_KEYS = tuple(profile.key for profile in PROFILES)


def _values(kind: type[enum.Enum]) -> Texts:
    return tuple(member.value for member in kind)


def _endpoint_members(ending: str) -> Texts:
    return tuple(f"{endpoint}_endpoint_{ending}" for endpoint in ("token", "revocation", "introspection"))


@dataclass(frozen=True, kw_only=True)
class ClientMetadata:
    """A registration: as it is asked for, or as it is.

    `sector` is the sector of a registered client; empty if it has one of its own, None if the redirect URIs decide.
    """

    name: str = declare(Kind.TEXT, member="client_name", translated=True)
    audience: str = declare(
        Kind.CHOICE,
        Audience.FAMILIES.value,
        values=_values(Audience),
        option=Option(
            flag="--audience",
            help="Whom the client may know: families (of its schools) or everyone (a service of the whole académie).",
            strict=True,
        ),
    )
    uais: Sequence[str] = declare(
        Kind.SCHOOLS,
        (),
        option=Option(
            flag="--uai",
            metavar="UAI",
            help="A school that the ENT serves; once for each school. The ENT learns of no child elsewhere.",
        ),
    )
    release_username: bool = declare(
        Kind.SWITCH,
        default=False,
        option=Option(
            flag="--release-username/--no-release-username",
            help="Release the identifier that a person signs in with (preferred_username).",
        ),
    )
    redirect_uris: Sequence[str] = declare(
        Kind.URIS,
        (),
        member="redirect_uris",
        option=Option(flag="--redirect-uri", help="Where the browser returns with a code; once for each URI."),
    )
    post_logout_redirect_uris: Sequence[str] = declare(
        Kind.URIS,
        (),
        member="post_logout_redirect_uris",
        option=Option(
            flag="--post-logout-redirect-uri", help="Where the browser may go after a sign-out; once for each URI."
        ),
    )
    backchannel_logout_uri: str = declare(
        Kind.URI,
        member="backchannel_logout_uri",
        option=Option(flag="--backchannel-logout-uri", help="Called by this service when a session ends."),
    )
    frontchannel_logout_uri: str = declare(
        Kind.URI,
        member="frontchannel_logout_uri",
        option=Option(flag="--frontchannel-logout-uri", help="Loaded by the browser when a person signs out."),
    )
    home_uri: str = declare(
        Kind.URI,
        member="client_uri",
        translated=True,
        option=Option(flag="--home-uri", help="The ENT's home page."),
    )
    initiate_login_uri: str = declare(
        Kind.URI,
        member="initiate_login_uri",
        option=Option(flag="--initiate-login-uri", help="Where another site starts a sign-in (Core 4)."),
    )
    auth_method: str = declare(
        Kind.CHOICE,
        "client_secret_basic",
        member="token_endpoint_auth_method",
        values=AUTH_METHODS,
        announced=_endpoint_members("auth_methods_supported"),
        option=Option(flag="--auth-method", help=f"One of: {', '.join(AUTH_METHODS)}."),
    )
    auth_alg: str = declare(
        Kind.CHOICE,
        member="token_endpoint_auth_signing_alg",
        values=CLIENT_ALGORITHMS,
        announced=_endpoint_members("auth_signing_alg_values_supported"),
        option=Option(flag="--auth-alg", metavar="ALG", help="The one algorithm that signs the client's assertions."),
    )
    assertion_audience: str = declare(
        Kind.CHOICE,
        "issuer",
        values=("issuer", "legacy"),
        option=Option(
            flag="--assertion-audience",
            help="issuer (RFC 10070), or legacy: a client whose assertions name an endpoint of ours.",
        ),
    )
    jwks: dict[str, Any] | None = declare(
        Kind.KEYS, None, member="jwks", option=Option(flag="--jwks", help="A file of the client's public keys.")
    )
    jwks_uri: str = declare(
        Kind.URI, member="jwks_uri", option=Option(flag="--jwks-uri", help="Where the client publishes its keys.")
    )
    profile: str = declare(
        Kind.CHOICE,
        column="security_profile",
        values=("fapi2",),
        option=Option(flag="--profile", help="fapi2: PAR, PKCE, DPoP and keys instead of secrets."),
    )
    par_required: bool = declare(
        Kind.SWITCH,
        default=False,
        member="require_pushed_authorization_requests",
        option=Option(flag="--require-par/--no-require-par", help="Requests must be pushed (RFC 9126)."),
    )
    dpop_required: bool = declare(
        Kind.SWITCH,
        default=False,
        member="dpop_bound_access_tokens",
        option=Option(flag="--require-dpop/--no-require-dpop", help="Tokens are bound to keys (RFC 9449)."),
    )
    subject: str = declare(
        Kind.CHOICE,
        SubjectType.PAIRWISE.value,
        member="subject_type",
        column="subject_type",
        values=_values(SubjectType),
        offered=(SubjectType.PAIRWISE.value, SubjectType.PUBLIC.value),
        announced=("subject_types_supported",),
        option=Option(flag="--subject", help="pairwise, public or aaf."),
    )
    subject_prefix: str = declare(
        Kind.TEXT,
        option=Option(flag="--subject-prefix", help="The name of the académie before an AAF join key, without hyphen."),
    )
    sector: str | None = declare(Kind.TEXT, None)
    sector_identifier_uri: str = declare(
        Kind.URI,
        member="sector_identifier_uri",
        option=Option(
            flag="--sector-identifier-uri", help="Joins redirect URIs of several hosts, which need it (Core 8.1)."
        ),
    )
    pkce_required: bool = declare(
        Kind.SWITCH, default=True, option=Option(flag="--pkce/--no-pkce", help="Whether the client must send PKCE.")
    )
    scopes: Sequence[str] = declare(
        Kind.WORDS,
        DEFAULT_SCOPES,
        member="scope",
        values=SCOPES,
        announced=("scopes_supported",),
        option=Option(flag="--scopes", help="The scopes that the ENT may ask for."),
    )
    always_claims: Sequence[str] = declare(
        Kind.WORDS,
        (),
        values=tuple(CLAIMS_BY_SCOPE),
        option=Option(
            flag="--always-claims", separator=",", help="Scopes released without a request, such as ent,charter."
        ),
    )
    charter: str = declare(
        Kind.CHOICE,
        CharterMode.ENT.value,
        column="charter_mode",
        values=_values(CharterMode),
        option=Option(flag="--charter", help="Who shows the charter: ent, provider or none."),
    )
    id_token_alg: str = declare(
        Kind.CHOICE,
        "RS256",
        member="id_token_signed_response_alg",
        values=ALGORITHMS,
        option=Option(
            flag="--id-token-alg",
            metavar="ALG",
            default_text="RS256, unless the profile forbids it",
            help="The algorithm that signs ID tokens.",
        ),
    )
    userinfo_alg: str = declare(
        Kind.CHOICE,
        member="userinfo_signed_response_alg",
        values=ALGORITHMS,
        option=Option(flag="--userinfo-alg", metavar="ALG", help="The algorithm that signs UserInfo answers."),
    )
    refresh_id_token: bool = declare(
        Kind.SWITCH,
        default=True,
        option=Option(
            flag="--refresh-id-token/--no-refresh-id-token", help="Whether refresh answers hold an ID token."
        ),
    )
    default_max_age: int | None = declare(
        Kind.SECONDS,
        None,
        member="default_max_age",
        option=Option(
            flag="--default-max-age", metavar="SECONDS", help="Ask for the password again after so many seconds."
        ),
    )
    logo_uri: str = declare(Kind.URI, member="logo_uri", translated=True, column="description")
    policy_uri: str = declare(
        Kind.URI,
        member="policy_uri",
        translated=True,
        column="description",
        option=Option(flag="--policy-uri", help="Shown on the sign-in page: how the ENT uses data."),
    )
    tos_uri: str = declare(
        Kind.URI,
        member="tos_uri",
        translated=True,
        column="description",
        option=Option(flag="--tos-uri", help="Shown on the sign-in page: the ENT's terms."),
    )
    contacts: Sequence[str] = declare(
        Kind.TEXTS,
        (),
        member="contacts",
        column="description",
        option=Option(flag="--contact", metavar="TEXT", help="Whom to call about the ENT; once for each contact."),
    )
    application_type: str = declare(Kind.CHOICE, member="application_type", values=("web",), column="description")
    require_auth_time: bool | None = declare(Kind.SWITCH, None, member="require_auth_time", column="description")
    backchannel_logout_session_required: bool | None = declare(
        Kind.SWITCH, None, member="backchannel_logout_session_required", column="description"
    )
    frontchannel_logout_session_required: bool | None = declare(
        Kind.SWITCH, None, member="frontchannel_logout_session_required", column="description"
    )
    software_id: str = declare(Kind.TEXT, member="software_id", column="description")
    software_version: str = declare(Kind.TEXT, member="software_version", column="description")
    default_acr_values: Sequence[str] = declare(
        Kind.TEXTS,
        (),
        member="default_acr_values",
        column="description",
        values=ACR_VALUES,
        announced=("acr_values_supported",),
    )
    translations: dict[str, str] = declare(Kind.TRANSLATIONS, {}, column="description")
    default_profile: str = declare(
        Kind.CHOICE,
        values=_PROFILE_KEYS,
        option=Option(
            flag="--default-profile", help="Skip the choice of a profile: the key of a profile, such as parent."
        ),
    )
    profile_uris: dict[str, str] = declare(
        Kind.PROFILE_URIS,
        {},
        values=_PROFILE_KEYS,
        option=Option(
            flag="--profile-uri", metavar="PROFILE=URI", help="Where people of another profile sign in to the ENT."
        ),
    )


FIELDS = tuple(declarations(ClientMetadata))
"""The declarations, in the order in which the command `show` prints the fields."""
BY_NAME = {declared.name: declared for declared in FIELDS}
BY_MEMBER = {declared.member: declared for declared in FIELDS if declared.member}


def is_translation(member: str) -> bool:
    """Return whether a JSON member is a translated one with its language tag, such as `client_name#en`."""
    name, mark, tag = member.partition("#")
    declared = BY_MEMBER.get(name)
    return bool(mark) and declared is not None and declared.translated and _LANGUAGE_TAG.fullmatch(tag) is not None


def uris(metadata: ClientMetadata) -> dict[str, list[str]]:
    """Return all URIs of a registration, by field; an empty one only in a list, where it is a fault."""
    by_field: dict[str, list[str]] = {}
    for declared in FIELDS:
        value = getattr(metadata, declared.name)
        match declared.kind:
            case Kind.URI:
                by_field[declared.name] = [value] if value else []
            case Kind.URIS:
                by_field[declared.name] = list(value)
            case Kind.PROFILE_URIS:
                by_field[declared.name] = list(value.values())
    return by_field


def leading_uris(metadata: ClientMetadata) -> dict[str, list[str]]:
    """Return the URIs that lead people, tokens or keys somewhere, by field; a translated URI with what it translates.

    The logo is not one of them, since it is shown nowhere.
    """
    by_field = {name: own for name, own in uris(metadata).items() if name != "logo_uri"}
    for member, text in metadata.translations.items():
        name = BY_MEMBER[member.partition("#")[0]].name
        if name in by_field:
            by_field[name].append(text)
    return by_field


def announced() -> dict[str, list[str]]:
    """Return the values that a client may be registered with, by the member of discovery that announces them."""
    return {member: list(declared.offered) for declared in FIELDS for member in declared.announced}
