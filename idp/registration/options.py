"""The options of `idp client add` and `idp client set`: the same, but that `set` changes only what is given."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from idp.registration import changes
from idp.registration.metadata import AUDIENCES
from idp.registration.wanted import Wanted
from idp.uai import uai_fault

_Command = TypeVar("_Command", bound=Callable[..., Any])
_URI = {"default": "", "metavar": "URI"}
_URIS = {"multiple": True, "metavar": "URI"}
_ALG = {"default": "", "metavar": "ALG"}


def _doors(_ctx: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """Read `PROFILE=URI`, once for a profile."""
    doors: dict[str, str] = {}
    for pair in pairs:
        profile, _, uri = pair.partition("=")
        if not (profile and uri) or profile in doors:
            raise click.BadParameter(f"{pair!r} is not PROFILE=URI, given once for a profile")
        doors[profile] = uri
    return doors


def _keys(_ctx: click.Context, _option: click.Parameter, file: Path | None) -> Any:
    """Read a JWK set, or one JWK."""
    if file is None:
        return None
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter("the file is not JSON") from error
    if not isinstance(content, dict):
        raise click.BadParameter("the file is not a JWK set")
    return {"keys": [content]} if "kty" in content else content


def _claims(_ctx: click.Context, _option: click.Parameter, text: str) -> list[str]:
    return [scope.strip() for scope in text.split(",") if scope.strip()]


def read_uais(_ctx: click.Context, _option: click.Parameter, typed: Sequence[str]) -> Sequence[str]:
    """Return the UAIs as they were typed; refuse one whose control letter is wrong."""
    if fault := uai_fault(*typed):
        raise click.BadParameter(fault)
    return typed


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (
        ("--redirect-uri", "redirect_uris"),
        {**_URIS, "help": "Where the browser comes back to with a code; once for each address."},
    ),
    (
        ("--uai", "uais"),
        {
            "multiple": True,
            "metavar": "UAI",
            "callback": read_uais,
            "help": "A school that the ENT serves; once for each school. It learns of no child elsewhere.",
        },
    ),
    (
        ("--audience",),
        {
            "type": click.Choice(AUDIENCES),
            "default": "families",
            "show_default": True,
            "help": "Whom the client may know: families (those of its schools) or everyone (a service of the whole "
            "académie).",
        },
    ),
    (
        ("--release-username/--no-release-username",),
        {"default": False, "help": "Tell the identifier that a person signs in with (preferred_username)."},
    ),
    (
        ("--post-logout-redirect-uri", "post_logout_redirect_uris"),
        {**_URIS, "help": "Where the browser may go after a sign-out; once for each address."},
    ),
    (("--backchannel-logout-uri",), {**_URI, "help": "Told from server to server when a session ends."}),
    (("--frontchannel-logout-uri",), {**_URI, "help": "Loaded by the browser when a person signs out."}),
    (("--initiate-login-uri",), {**_URI, "help": "Where a sign-in is started from elsewhere (Core 4)."}),
    (("--home-uri",), {**_URI, "help": "Where a parent starts afresh."}),
    (
        ("--auth-method",),
        {
            "default": "client_secret_basic",
            "show_default": True,
            "help": "client_secret_basic, client_secret_post, private_key_jwt or none.",
        },
    ),
    (("--auth-alg",), {**_ALG, "help": "The one algorithm that the client signs its assertions with."}),
    (
        ("--jwks",),
        {
            "type": click.Path(exists=True, dir_okay=False, path_type=Path),
            "default": None,
            "callback": _keys,
            "help": "A file of the client's public keys.",
        },
    ),
    (("--jwks-uri",), {**_URI, "help": "Where the client publishes them."}),
    (("--profile",), {"default": "", "help": "fapi2: PAR, PKCE, DPoP and keys instead of secrets."}),
    (("--require-par/--no-require-par", "par"), {"default": False, "help": "Requests must be pushed (RFC 9126)."}),
    (("--require-dpop/--no-require-dpop", "dpop"), {"default": False, "help": "Tokens are bound to keys (RFC 9449)."}),
    (("--subject",), {"default": "pairwise", "show_default": True, "help": "pairwise, public or aaf."}),
    (("--subject-prefix",), {"default": "", "help": "The academy before an AAF join key, without hyphen."}),
    (("--sector-identifier-uri",), {**_URI, "help": "Joins redirect URIs of several hosts, which need it (Core 8.1)."}),
    (("--no-pkce/--pkce", "no_pkce"), {"default": False, "help": "The client sends no PKCE."}),
    (
        ("--scopes",),
        {"default": changes.DEFAULT_SCOPES, "show_default": True, "help": "Those that the ENT may ask for."},
    ),
    (
        ("--always-claims",),
        {"default": "", "callback": _claims, "help": "Scopes released without being asked, such as ent,charter."},
    ),
    (("--charter",), {"default": "ent", "show_default": True, "help": "Who shows it: ent, provider or none."}),
    (
        ("--id-token-alg",),
        {**_ALG, "show_default": "RS256, unless the profile excludes it", "help": "Sign ID tokens with it."},
    ),
    (("--userinfo-alg",), {**_ALG, "help": "Sign UserInfo answers with it."}),
    (
        ("--refresh-id-token/--no-refresh-id-token",),
        {"default": True, "show_default": True, "help": "An ID token in refresh answers."},
    ),
    (
        ("--default-max-age",),
        {
            "type": click.IntRange(0),
            "default": None,
            "metavar": "SECONDS",
            "help": "People sign in again when they did so longer ago.",
        },
    ),
    (("--policy-uri",), {**_URI, "help": "Shown on the sign-in page: how the ENT uses data."}),
    (("--tos-uri",), {**_URI, "help": "Shown on the sign-in page: the ENT's terms."}),
    (("--default-profile",), {"default": "", "help": "Skip the choice of a profile, with parent for instance."}),
    (
        ("--profile-uri", "profile_uris"),
        {"multiple": True, "metavar": "PROFILE=URI", "callback": _doors, "help": "Another profile's own door."},
    ),
)
_DESCRIBED = ("policy_uri", "tos_uri")
_LISTS = ("redirect_uris", "uais", "post_logout_redirect_uris", "scopes", "always_claims", "profile_uris")


def registration_options(*, new: bool) -> Callable[[_Command], _Command]:
    """Add the options of a registration to a command; a `new` one alone needs a redirect URI, and has defaults."""

    def decorate(command: _Command) -> _Command:
        for names, settings in reversed(_OPTIONS):
            required = new and names[0] == "--redirect-uri"
            shown = settings.get("show_default", False) if new else False
            command = click.option(*names, **{**settings, "show_default": shown, "required": required})(command)
        return command

    return decorate


def as_wanted(name: str, options: Mapping[str, Any]) -> Wanted:
    """Return the registration that the options ask for."""
    values = dict(options)
    described = {key: values.pop(key) for key in _DESCRIBED}
    return Wanted(
        name=name,
        pkce=not values.pop("no_pkce"),
        id_token_alg=values.pop("id_token_alg") or changes.default_alg(values["profile"]),
        description={key: uri for key, uri in described.items() if uri},
        **values,
    )


def changed(former: Wanted, options: Mapping[str, Any], unset: Sequence[str]) -> Wanted:
    """Return a registration with what the command line gives, and without what `unset` names.

    Raises:
        click.BadParameter: `unset` names an option that does not exist, or cannot be empty.
        click.UsageError: it names one that is given.
    """
    context = click.get_current_context()
    given = {key: value for key, value in options.items() if _is_given(context, key)}
    if twice := [option for option in unset if _field(option) in given]:
        raise click.UsageError(f"set and unset at once: {', '.join(twice)}")
    for option in unset:
        key = _field(option)
        empty = getattr(Wanted(name="x", redirect_uris=()), key, "") if key else None
        if key is None or empty:
            raise click.BadParameter(f"--unset {option}: not an option that can be empty")
        given[key] = empty
    description = {**former.description, **{key: given.pop(key) for key in _DESCRIBED if key in given}}
    if "no_pkce" in given:
        given["pkce"] = not given.pop("no_pkce")
    kept = {key: getattr(former, key) for key in former.__dataclass_fields__}
    return Wanted(**{**kept, **given, "description": {key: value for key, value in description.items() if value}})


def taken_away(former: Wanted, current: Wanted) -> Iterator[str]:
    """Yield what was registered and is no more, an option each: parts of lists, and what is empty now."""
    for names, _ in _OPTIONS:
        key = _key(names)
        before, after = _values(former, key), _values(current, key)
        gone = [value for value in before if value not in after]
        if gone and (key in _LISTS or not after):
            yield f"{names[0]} {', '.join(gone)}"


def _values(wanted: Wanted, key: str) -> list[str]:
    """Return what an option holds; nothing for a switch, nor for keys, which have no short name."""
    value = wanted.description.get(key) if key in _DESCRIBED else getattr(wanted, key, None)
    if key == "profile_uris":
        return [f"{profile}={uri}" for profile, uri in wanted.profile_uris.items()]
    if key == "scopes":
        return wanted.scopes.split()
    if key in _LISTS:
        return list(value or ())
    return [] if value in (None, "") or isinstance(value, bool | dict) else [str(value)]


def _key(names: Sequence[str]) -> str:
    """Return the name under which an option is kept."""
    return names[1] if len(names) > 1 else names[0].removeprefix("--").replace("-", "_")


def _field(option: str) -> str | None:
    """Return the name under which an option is kept; None for one that does not exist."""
    return next(
        (_key(names) for names, _ in _OPTIONS if names[0].partition("/")[0] == f"--{option.removeprefix('--')}"), None
    )


def _is_given(context: click.Context, key: str) -> bool:
    return context.get_parameter_source(key) is ParameterSource.COMMANDLINE
