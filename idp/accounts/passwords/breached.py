"""Breached passwords: a Bloom filter of long passwords from stolen lists, in one file that every node reads.

A filter takes 3.6 bytes a password in the memory of every process. It never misses a listed password, and it reports
one unlisted password in a million as listed. It does not contain the passwords themselves.

The file is what `rbloom` saves, followed by a trailer of fixed length that describes and protects it.
"""

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

import structlog
from rbloom import Bloom

from idp.accounts.passwords.hasher import MAX_PASSWORD_LENGTH, normalise
from idp.db import release_connection
from idp.folding import fold

FALSE_POSITIVE_RATE: Final = 1e-6
"""The share of unlisted passwords that the filter reports as listed: their owners need a new password."""
_FORMAT: Final = "idp breached passwords 1"
_TRAILER_LENGTH: Final = 512
_BLOCK: Final = 1 << 20

log = structlog.get_logger()


class UnreadableFilterError(Exception):
    """The file is not a filter, or is damaged; the message says which."""


@dataclass(frozen=True)
class Description:
    """The description of a filter in its trailer.

    Attributes:
        passwords: the number of passwords.
        shortest: the least length of a password, in characters.
        made_at: the time at which it was made, in ISO 8601, UTC.
        digest: the digest of all bytes before the trailer.
        format: the format of the file.
    """

    passwords: int
    shortest: int
    made_at: str
    digest: str
    format: str = _FORMAT


def hash_key(key: str) -> int:
    """Return the hash of a key: the same in every process, as rbloom requires."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, person=b"idp breached").digest()
    return int.from_bytes(digest, "big", signed=True)


def key_of(password: str, shortest: int) -> str | None:
    """Return the spelling under which a password is listed, which the policy also compares with common passwords.

    Return None for a password that is shorter than `shortest` characters or longer than allowed.
    """
    if len(password) > MAX_PASSWORD_LENGTH:
        return None
    if password.isascii():
        return password.lower() if len(password) >= shortest else None
    text = normalise(password)
    return fold(text) if min(len(password), len(text)) >= shortest else None


def finish(part: Path, passwords: int, shortest: int, made_at: str) -> None:
    """Append the trailer to a filter that rbloom just saved, and write all of it to the disk (fsync)."""
    with part.open("r+b") as file:
        description = Description(passwords, shortest, made_at, _digest(file))
        file.write(json.dumps(asdict(description)).encode().ljust(_TRAILER_LENGTH))
        file.flush()
        os.fsync(file.fileno())


def describe(path: Path) -> Description:
    """Return the description in a filter's trailer.

    Raises:
        OSError: the file cannot be read.
        UnreadableFilterError: it is not a filter.
    """
    with path.open("rb") as file:
        return _describe(file)


def load(path: Path) -> tuple[Description, Bloom]:
    """Read a filter into memory.

    Raises:
        OSError: the file cannot be read.
        UnreadableFilterError: it is not a filter, or it is damaged.
    """
    with path.open("rb") as file:
        description = _describe(file)
        file.seek(0)
        body = file.read(os.fstat(file.fileno()).st_size - _TRAILER_LENGTH)
    if hashlib.blake2b(body, digest_size=32).hexdigest() != description.digest:
        raise UnreadableFilterError("it is damaged: its content does not match its trailer")
    return description, Bloom.load_bytes(body, hash_key)


def _describe(file: BinaryIO) -> Description:
    if file.seek(0, os.SEEK_END) <= _TRAILER_LENGTH:
        raise UnreadableFilterError("it is too short: make it with `idp passwords load`")
    file.seek(-_TRAILER_LENGTH, os.SEEK_END)
    try:
        trailer = json.loads(file.read(_TRAILER_LENGTH))
        description = Description(
            int(trailer["passwords"]),
            int(trailer["shortest"]),
            str(trailer["made_at"]),
            str(trailer["digest"]),
            trailer["format"],
        )
    except (ValueError, KeyError, TypeError):
        raise UnreadableFilterError("it is not a filter: make it with `idp passwords load`") from None
    if description.format != _FORMAT:
        raise UnreadableFilterError("another version of this service made it: make it again with `idp passwords load`")
    return description


def _digest(file: BinaryIO) -> str:
    """Return the digest of a file from its start to its current position's end; the position is then the end."""
    digest = hashlib.blake2b(digest_size=32)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


_Version = tuple[int, int, int]


class BreachedPasswords:
    """The filter of this process: read at first use, and again when the file changes.

    If the file is missing or damaged, this is logged once and no password is refused; a filter that was read before
    stays in use.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._seen: _Version | str | None = None
        self._filter: Bloom | None = None
        self._shortest = 0

    def holds(self, password: str) -> bool:
        """Return whether the password is listed, in any case and with or without accents."""
        if self._path is None:
            return False
        self._refresh(self._path)
        listed, key = self._filter, key_of(password, self._shortest)
        return listed is not None and key is not None and key in listed

    def _refresh(self, path: Path) -> None:
        version = _version(path)
        if version == self._seen:
            return
        release_connection()
        # only the first reading blocks other threads: during later ones they use the former filter
        if not self._lock.acquire(blocking=self._seen is None):
            return
        try:
            if version != self._seen:
                self._read(path)
                self._seen = version
        finally:
            self._lock.release()

    def _read(self, path: Path) -> None:
        try:
            description, self._filter = load(path)
        except (OSError, MemoryError, UnreadableFilterError) as fault:
            reason = fault.strerror if isinstance(fault, OSError) else str(fault) or type(fault).__name__
            log.error("breached passwords: file not usable", reason=reason)  # noqa: TRY400 - the cause is enough, without a traceback
            return
        self._shortest = description.shortest
        log.info("breached passwords: file read", passwords=description.passwords, made_at=description.made_at)


def _version(path: Path) -> _Version | str:
    """Return a value that changes with the file, or the error's name if the file cannot be read."""
    try:
        stat = path.stat()
    except OSError as fault:
        return type(fault).__name__
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
