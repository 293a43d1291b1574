"""Reads a file of environment variables as systemd reads `EnvironmentFile=`, for `idp --env-file`.

Units and the command line read one file, so that both run with the same settings. What systemd skips with a warning
(a line without `=`, an invalid name) is refused here: a setting with a mistake would silently have its default.
"""

import os
import re
from pathlib import Path

import click

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_BLANK = " \t\r\n"
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
    return dict(_Assignments(text).read())


class _Assignments:
    """A text, and the place up to which it was read."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r", "\n") + "\n"
        self._at = 0

    def read(self) -> list[tuple[str, str]]:
        """Return all assignments, in their order."""
        assignments = []
        while self._skip_blanks():
            if self._text[self._at] in "#;":
                self._skip_comment()
            else:
                assignments.append((self._name(), self._value()))
        return assignments

    def _skip_blanks(self) -> bool:
        """Go to the next character that is not blank; return whether there is one."""
        while self._at < len(self._text) and self._text[self._at] in _BLANK:
            self._at += 1
        return self._at < len(self._text)

    def _skip_comment(self) -> None:
        comment = self._rest_of_line()
        if comment.endswith("\\"):  # systemd continues the comment on the next line before version 254
            raise self._error("a comment ends with a backslash")
        self._at += len(comment)

    def _name(self) -> str:
        """Read up to the equals sign."""
        name, sign, _ = self._rest_of_line().partition("=")
        if not sign:
            raise self._error("there is no =")
        if not _NAME.fullmatch(name.rstrip()):
            raise self._error("what stands before = is no name (`export` has no place here)")
        self._at += len(name) + 1
        return name.rstrip()

    def _value(self) -> str:
        """Read a value: quoted parts at its beginning, then text up to the end of the line."""
        value = ""
        while True:
            while self._text[self._at] in " \t":
                self._at += 1
            if self._text[self._at] == "'":
                value += self._single_quoted()
            elif self._text[self._at] == '"':
                value += self._double_quoted()
            else:
                return value + self._unquoted()

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self._error("a quote is not closed")
        value = self._text[self._at + 1 : end]
        self._at = end + 1
        return value

    def _double_quoted(self) -> str:
        match = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(self._text, self._at)
        if match is None:
            raise self._error("a quote is not closed")
        self._at = match.end()
        return re.sub(r"\\(.)", _escaped_in_quotes, match[1], flags=re.DOTALL)

    def _unquoted(self) -> str:
        """Read to the end of the line; a backslash takes the next character as it is, and a newline away."""
        match = re.compile(r"((?:[^\n\\]|\\.)*)(\n|\\\Z|\Z)", re.DOTALL).match(self._text, self._at)
        assert match is not None  # noqa: S101 - the text ends with a newline
        self._at = match.end()
        value = re.match(r"((?:[^\\]|\\.)*?)[ \t]*\Z", match[1], re.DOTALL)
        assert value is not None  # noqa: S101 - anything matches
        return re.sub(r"\\(.)", lambda escaped: escaped[1].strip("\n"), value[1], flags=re.DOTALL)

    def _rest_of_line(self) -> str:
        return self._text[self._at : self._text.index("\n", self._at)]

    def _error(self, what: str) -> EnvironmentFileError:
        return EnvironmentFileError(f"line {self._text.count(chr(10), 0, self._at) + 1}: {what}")


def _escaped_in_quotes(escape: re.Match[str]) -> str:
    """Return what a backslash and a character mean between double quotes, as in a shell."""
    if escape[1] == "\n":
        return ""
    return escape[1] if escape[1] in _ESCAPED_IN_QUOTES else escape[0]
