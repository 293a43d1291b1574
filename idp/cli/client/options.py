"""The options of the commands `add` and `set`, made of the declarations; `set` changes only what is given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from idp.registration import checks
from idp.registration.declarations import Declaration, Kind, Option
from idp.registration.faults import Fault, FaultCode
from idp.registration.metadata import BY_NAME, FIELDS, ClientMetadata
from idp.uai import uai_fault

_Command = TypeVar("_Command", bound=Callable[..., Any])
_LISTS = {Kind.URIS, Kind.SCHOOLS, Kind.WORDS, Kind.TEXTS, Kind.PROFILE_URIS}
# The names of the fields that are an argument, or an option of the command `invite`.
_LABELS = {"name": "the name", "hosts": "--host", "label": "--label"}


def _read_profile_uris(_ctx: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    uris: dict[str, str] = {}
    for pair in pairs:
        profile, _, uri = pair.partition("=")
        if not (profile and uri) or profile in uris:
            raise click.BadParameter(f"{pair!r} is not PROFILE=URI, given once for each profile")
        uris[profile] = uri
    return uris


def _read_jwks(_ctx: click.Context, _option: click.Parameter, file: Path | None) -> Any:
    if file is None:
        return None
    try:
        return checks.parse_jwks(file.read_bytes())
    except (OSError, ValueError) as error:
        raise click.BadParameter("the file is not a JWK set in JSON") from error


def read_uais(_ctx: click.Context, _option: click.Parameter, typed: Sequence[str]) -> Sequence[str]:
    """Return the UAIs as they were typed; refuse one whose control letter is wrong."""
    if fault := uai_fault(*typed):
        raise click.BadParameter(fault)
    return typed


def _word_reader(separator: str) -> Callable[[click.Context, click.Parameter, str], tuple[str, ...]]:
    def read(_ctx: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
        words = text.split() if separator.isspace() else map(str.strip, text.split(separator))
        return tuple(filter(None, words))

    return read


def registration_options(*, new: bool) -> Callable[[_Command], _Command]:
    """Add the options of a registration to a command; for a `new` one, they have defaults and a URI is required."""

    def decorate(command: _Command) -> _Command:
        for declared, option in reversed(list(_options())):
            settings = _settings(declared, option)
            settings["show_default"] = new and (option.default_text or bool(declared.default))
            settings["required"] = new and declared.name == "redirect_uris"
            command = click.option(option.flag, declared.name, help=option.help, **settings)(command)
        return command

    return decorate


def _options() -> Iterator[tuple[Declaration, Option]]:
    yield from ((declared, declared.option) for declared in FIELDS if declared.option)


def _settings(declared: Declaration, option: Option) -> dict[str, Any]:
    settings: dict[str, Any] = {"default": "" if option.default_text else declared.default, "metavar": option.metavar}
    match declared.kind:
        case Kind.URI:
            settings |= {"metavar": "URI"}
        case Kind.URIS:
            settings |= {"metavar": "URI", "multiple": True}
        case Kind.SCHOOLS:
            settings |= {"multiple": True, "callback": read_uais}
        case Kind.TEXTS:
            settings |= {"multiple": True}
        case Kind.WORDS:
            joined = option.separator.join(declared.default)
            settings |= {"default": joined, "callback": _word_reader(option.separator)}
        case Kind.PROFILE_URIS:
            settings |= {"default": (), "multiple": True, "callback": _read_profile_uris}
        case Kind.KEYS:
            file = click.Path(exists=True, dir_okay=False, path_type=Path)
            settings |= {"type": file, "callback": _read_jwks}
        case Kind.SECONDS:
            settings |= {"type": click.IntRange(0)}
        case Kind.CHOICE if option.strict:
            settings |= {"type": click.Choice(declared.values)}
    return settings


def read(name: str, options: Mapping[str, Any]) -> ClientMetadata:
    """Return the registration that the options of the command `add` ask for."""
    alg = options["id_token_alg"] or checks.default_id_token_alg(options["profile"])
    return ClientMetadata(name=name, **{**options, "id_token_alg": alg})


def changed(former: ClientMetadata, options: Mapping[str, Any], unset: Sequence[str]) -> ClientMetadata:
    """Return a registration with what the command line of `set` gives, and without what `unset` names.

    Raises:
        click.BadParameter: `unset` names an option that does not exist, or that cannot be empty.
        click.UsageError: it names an option that is given.
    """
    context = click.get_current_context()
    given = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    emptied = {option: _emptied(option) for option in unset}
    if twice := [option for option, declared in emptied.items() if declared and declared.name in given]:
        raise click.UsageError(f"set and unset at once: {', '.join(twice)}")
    for option, declared in emptied.items():
        if declared is None:
            raise click.BadParameter(f"--unset {option}: not an option that can be empty")
        given[declared.name] = declared.default
    return replace(former, **given)


def _emptied(typed: str) -> Declaration | None:
    """Return the field of an option that may be unset, or None: the default is empty, or unlike the switch `--no-…`."""
    flag = f"--{typed.removeprefix('--')}"
    for declared, option in _options():
        flags = option.flag.split("/")
        if flag in flags:
            return declared if bool(declared.default) == (flags.index(flag) == 1) else None
    return None


def taken_away(former: ClientMetadata, current: ClientMetadata) -> Iterator[str]:
    """Yield each option that lost values of a list, or that is empty now, with the values that are gone."""
    for declared, option in _options():
        before, after = _texts(former, declared), _texts(current, declared)
        gone = [text for text in before if text not in after]
        if gone and (declared.kind in _LISTS or not after):
            yield f"{option.flag} {', '.join(gone)}"


def _texts(metadata: ClientMetadata, declared: Declaration) -> list[str]:
    value = getattr(metadata, declared.name)
    match declared.kind:
        case Kind.PROFILE_URIS:
            return [f"{profile}={uri}" for profile, uri in value.items()]
        case Kind.SWITCH | Kind.KEYS:
            return []
        case kind if kind in _LISTS:
            return list(value)
        case _:
            return [] if value in (None, "") else [str(value)]


_NEXT = {
    FaultCode.FORMER_SECRET_WORKS: (
        "if nobody has the last secret, use --lost, and a new one replaces it; if the ENT already uses the last one, "
        "use --force"
    ),
    FaultCode.NO_SIGNING_KEY: "run `idp keys rotate --alg {value}` first",
}


def sentence(fault: Fault) -> str:
    """Return a fault as a command prints it, the field called by its option."""
    declared = BY_NAME.get(fault.field)
    label = _LABELS.get(fault.field, fault.field)
    if declared and declared.option:
        # the fault of a switch that is true by default is that somebody switched it off
        label = declared.option.flag.split("/")[1 if declared.default is True else 0]
    text = f"{label} {fault.text}".strip()
    hint = fault.hint or _NEXT.get(fault.code, "").format(value=fault.value)
    return f"{text}: {hint}" if hint else text
