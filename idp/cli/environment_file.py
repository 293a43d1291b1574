"""Reads a file of environment variables as systemd reads `EnvironmentFile=`, for `idp --env-file`.

Units and the command line read one file, so that both run with the same settings. What systemd skips with a warning
(a line without `=`, an invalid name) is refused here: a setting with a mistake would silently have its default.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import click

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BLANK = " \t\n"
_QUOTED = re.compile(r"""[ \t]*(?:'([^']*)'|"((?:[^"\\]|\\.)*)")""", re.DOTALL)
# The rest of a line; a backslash takes the next character as it is, and a newline away.
_UNQUOTED = re.compile(r"[ \t]*((?:[^\n\\]|\\.)*?)[ \t]*(?:\n|\Z)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED_IN_QUOTES = '"\\`$'


class EnvironmentFileError(Exception):
    """The file cannot be used; the message names the line, and no value."""


def load(path: Path) -> None:
    """Put the variables of the file into the environment; they replace those of the same names, as in a unit.

    Raises:
        UsageError: the file cannot be read, or a line is wrong.
    """
    try:
        os.environ.update(parse(path.read_bytes()))
    except OSError as fault:
        raise click.UsageError(f"{path} cannot be read ({fault.strerror})") from None
    except EnvironmentFileError as fault:
        raise click.UsageError(f"{path}: {fault}") from None


def parse(content: bytes) -> dict[str, str]:
    """Return the variables of a file: systemd.exec(5), `EnvironmentFile=`.

    Raises:
        EnvironmentFileError: the file is not UTF-8, or a line is wrong.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise EnvironmentFileError("is not UTF-8") from None
    if "\0" in text:
        raise EnvironmentFileError("has a NUL")
    return dict(_assignments(text.replace("\r", "\n") + "\n"))


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        line = text[at : text.index("\n", at)]
        if not line.strip(_BLANK) or line.lstrip(_BLANK)[0] in "#;":
            if line.endswith("\\"):  # systemd continues a comment on the next line before version 254
                raise _error(text, at, "a comment ends with a backslash")
            at += len(line) + 1
            continue
        before, sign, _ = line.partition("=")
        name = before.lstrip(_BLANK).rstrip()
        if not sign:
            raise _error(text, at, "there is no =")
        if not _NAME.fullmatch(name):
            raise _error(text, at, "what stands before = is no name (`export` has no place here)")
        value, at = _value(text, at + len(before) + 1)
        yield name, value


def _value(text: str, at: int) -> tuple[str, int]:
    """Return a value, and where it ends: quoted parts at its beginning, then text up to the end of the line."""
    value = ""
    while quoted := _QUOTED.match(text, at):
        single, double = quoted.groups()
        value += _ESCAPED.sub(_escaped_in_quotes, double) if single is None else single
        at = quoted.end()
    rest = _UNQUOTED.match(text, at)
    assert rest is not None  # noqa: S101 - the text ends with a newline
    if rest[1].startswith(("'", '"')):
        raise _error(text, at, "a quote is not closed")
    return value + _ESCAPED.sub(lambda escaped: escaped[1].strip("\n"), rest[1]), rest.end()


def _error(text: str, at: int, what: str) -> EnvironmentFileError:
    line = text.count("\n", 0, at) + 1
    return EnvironmentFileError(f"line {line}: {what}")


def _escaped_in_quotes(escape: re.Match[str]) -> str:
    if escape[1] == "\n":
        return ""
    return escape[1] if escape[1] in _ESCAPED_IN_QUOTES else escape[0]
