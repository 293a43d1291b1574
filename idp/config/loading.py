"""Reads the settings. All faults are reported together, by setting name, without values."""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from idp.config import rules
from idp.config.settings import PREFIX, Settings, settings_file

_FORBIDDEN_VARIABLE = "AUTHLIB_INSECURE_TRANSPORT"


class ConfigurationError(Exception):
    """The settings cannot be used.

    Attributes:
        faults: a message for each fault.
        readable: the settings with a default in place of each wrong value; None if the file cannot be read.
        wrong: the fields with a wrong or missing value.
    """

    def __init__(
        self, faults: list[str], readable: Settings | None = None, wrong: frozenset[str] = frozenset()
    ) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults
        self.readable = readable
        self.wrong = wrong


class _Readable(Settings):
    """Settings with defaults in place of wrong values, without the check for contradictions."""

    model_config = SettingsConfigDict(extra="ignore")

    @model_validator(mode="after")
    def _values_fit_together(self) -> "_Readable":
        return self


_STAND_INS = {"issuer": "https://unknown.invalid"}


def load(**overrides: Any) -> Settings:
    """Return the settings; `overrides`, by field name, win over the environment and the file.

    Raises:
        ConfigurationError: with all faults: unknown names, missing or wrong values, an unreadable file.
    """
    faults = list(_unknown_names(os.environ))
    if os.environ.get(_FORBIDDEN_VARIABLE):
        faults.append(f"{_FORBIDDEN_VARIABLE}: must not be set: any value disables a check of the protocol library")
    toml = settings_file()
    if toml and (unreadable := rules.toml_fault(toml)):
        raise ConfigurationError([*faults, f"{PREFIX}CONFIG: {unreadable}", *_without_file(overrides)])
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        wrong = frozenset(str(detail["loc"][0]) for detail in details if detail["loc"])
        readable = _readable(overrides, wrong)
        faults += [fault for detail in details for fault in _fault(detail)]
        if wrong:  # then pydantic did not run the model validator
            faults += [f for f in map(_named, readable.contradictions()) if not concerns(f, wrong)]
        raise ConfigurationError(faults, readable, wrong) from None
    if faults:
        raise ConfigurationError(faults, settings)
    return settings


def _readable(overrides: Mapping[str, Any], wrong: frozenset[str]) -> Settings:
    fields = Settings.model_fields
    stand_ins = {name: _STAND_INS.get(name, fields[name].default) for name in wrong & fields.keys()}
    return _Readable(**{**overrides, **stand_ins})


def _without_file(overrides: Mapping[str, Any]) -> Iterator[str]:
    """Yield the faults of the environment, except missing values, which the unreadable file may have."""
    try:
        _Readable(**overrides)
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            if detail["type"] != "missing":
                yield from _fault(detail)


def concerns(fault: str, fields: frozenset[str]) -> bool:
    """Return whether the text of a fault names one of `fields`."""
    named = {word.removeprefix(PREFIX).lower() for word in re.findall(rf"\b{PREFIX}[A-Z0-9_]+", fault)}
    return bool(named & fields)


def _unknown_names(environment: Mapping[str, str]) -> Iterator[str]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}CONFIG"}
    for name in sorted(environment):
        if name.upper().startswith(PREFIX) and name.upper() not in known:
            yield f"{name}: unknown setting"


def _fault(detail: Mapping[str, Any]) -> Iterator[str]:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["loc"]:
        message = f"{'.'.join(str(part) for part in detail['loc'])}: {message}"
    yield from map(_named, message.splitlines())


def _named(line: str) -> str:
    name, _, rest = line.partition(": ")
    return f"{PREFIX}{name.upper()}: {rest[:1].lower()}{rest[1:]}"
