"""Makes the filter of breached passwords from a list: a text file of any size, one password a line."""

import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from rbloom import Bloom

from idp.accounts.passwords import breached
from idp.accounts.passwords.hasher import MAX_PASSWORD_LENGTH
from idp.clock import now

_LONGEST_LINE: Final = 4 * MAX_PASSWORD_LENGTH + 512
"""The most bytes of a line that are read: no allowed password is longer, not even in hexadecimal."""
_LOOKED_AT: Final = 100
_TOLD_EVERY: Final = 1 << 20
_LOOKED_THROUGH: Final = 1 << 20
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_LINES_OF_TEXT: Final = 1000
"""The least number of bytes to each control character in a file that is text."""
_HASH = re.compile(rb"[0-9A-Fa-f]{32,64}(:\d+)?")
_HEXADECIMAL = re.compile(rb"\$HEX\[((?:[0-9A-Fa-f]{2})*)\]")

Tell = Callable[[int], None]
"""A function that receives the number of bytes read since its last call."""


class ListRefusedError(Exception):
    """No filter was made of the list, and nothing changed; the message is the sentence to show."""


@dataclass(frozen=True)
class Loaded:
    """The result of loading a list.

    Attributes:
        lines: the lines of the list.
        passwords: the passwords of sufficient length, which the filter holds.
        bytes: the size of the file, and of the filter in the memory of each process.
    """

    lines: int
    passwords: int
    bytes: int


def build(source: Path, target: Path, *, shortest: int, tell: Callable[[str], Tell]) -> Loaded:
    """Make the filter `target` from the list `source`, and replace a former filter atomically.

    The list is read twice: a filter needs the number of its passwords before it takes the first one.

    Args:
        source: the list, a regular file.
        target: the filter.
        shortest: the least length of a password, in characters.
        tell: is called with the name of each reading, and returns the function that receives its progress.

    Raises:
        ListRefusedError: the list is not text, holds hashes, or holds no password that is long enough; or another load
            is running.
        OSError: a file cannot be read or written.
    """
    with source.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ListRefusedError(f"{source} is not a regular file: save the list to a file, since it is read twice")
        _refuse_binary(file)
        _refuse_hashes(file)
        lines, count = 0, 0
        for key in _keys(file, shortest, tell("counting")):
            lines, count = lines + 1, count + (key is not None)
        if not count:
            raise ListRefusedError(f"no line of {source} is a password of {shortest} characters or more")
        listed = Bloom(count, breached.FALSE_POSITIVE_RATE, breached.hash_key)
        listed.update(key for key in _keys(file, shortest, tell("adding")) if key is not None)
    _publish(listed, target, count, shortest)
    return Loaded(lines, count, target.stat().st_size)


def _publish(listed: Bloom, target: Path, count: int, shortest: int) -> None:
    part = target.with_name(f"{target.name}.part")
    lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ListRefusedError(f"another load is writing {part}: wait until it ends") from None
        try:
            listed.save(part)
            breached.finish(part, count, shortest, now().isoformat(timespec="seconds"))
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    finally:
        os.close(lock)


def _refuse_binary(file: BinaryIO) -> None:
    """Refuse an archive, a filter or UTF-16: any bytes are valid Latin-1, so they would be taken for passwords.

    Real lists hold a control character in few of their lines.
    """
    sample = file.read(_LOOKED_THROUGH)
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls * _LINES_OF_TEXT > len(sample):
        raise ListRefusedError("the list holds control characters, so it is not text: give plain passwords, one a line")


def _refuse_hashes(file: BinaryIO) -> None:
    """Refuse lists of hashes such as « Pwned Passwords »: a password is not compared with SHA-1 or NTLM hashes here."""
    file.seek(0)
    sample = [line.strip() for _, line in zip(range(_LOOKED_AT), file, strict=False)]
    filled = [line for line in sample if line]
    if filled and all(_HASH.fullmatch(line) for line in filled):
        raise ListRefusedError("the list holds hashes: give plain passwords, one a line")


def _keys(file: BinaryIO, shortest: int, tell: Tell) -> Iterator[str | None]:
    """Yield for each line the key of its password, or None if it is too short or too long."""
    file.seek(0)
    untold = 0
    while line := file.readline(_LONGEST_LINE):
        whole = line
        untold += len(line)
        while not line.endswith(b"\n") and (line := file.readline(_LONGEST_LINE)):
            whole, untold = b"", untold + len(line)  # longer than any password
        if untold >= _TOLD_EVERY:
            tell(untold)
            untold = 0
        yield _key(whole.rstrip(b"\r\n"), shortest)
    tell(untold)


def _key(line: bytes, shortest: int) -> str | None:
    if len(line) < shortest:
        return None
    if match := _HEXADECIMAL.fullmatch(line):  # the notation of such lists for bytes that are not text
        line = bytes.fromhex(match[1].decode())
    return breached.key_of(_text(line), shortest)


def _text(line: bytes) -> str:
    """Decode a line as UTF-8, or else as Latin-1, the encoding of old French and English lists."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
