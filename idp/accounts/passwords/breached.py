"""Breached passwords: a Bloom filter of long passwords from stolen lists, in one file that every node reads.

A filter of n passwords takes 3.6 bytes for each in the memory of every process. It never misses a listed password, and
it takes one password in a million for listed that is not. The passwords themselves are not in it.

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
"""How many unlisted passwords are taken for listed ones: at a sign-in each of them costs a person a new password."""
_FORMAT: Final = "idp breached passwords 1"
_TRAILER_LENGTH: Final = 512
_BLOCK: Final = 1 << 20

log = structlog.get_logger()


class UnreadableFilterError(Exception):
    """The file is no filter, or is damaged; the text says which."""


@dataclass(frozen=True)
class Description:
    """What the trailer says of a filter.

    Attributes:
        passwords: how many were added.
        shortest: the length in characters from which on they were taken.
        made_at: when, as ISO 8601 in UTC.
        digest: of what precedes the trailer.
        format: of the file.
    """

    passwords: int
    shortest: int
    made_at: str
    digest: str
    format: str = _FORMAT


def hash_key(key: str) -> int:
    """Return the number that stands for a key: the same in every process, as rbloom's documentation asks."""
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16, person=b"idp breached").digest()
    return int.from_bytes(digest, "big", signed=True)


def key_of(password: str, shortest: int) -> str | None:
    """Return the spelling under which a password is listed: as the policy compares it with common ones.

    Returns None for a password that is shorter than `shortest` characters or longer than any may be.
    """
    if len(password) > MAX_PASSWORD_LENGTH:
        return None
    if password.isascii():
        return password.lower() if len(password) >= shortest else None
    text = normalise(password)
    return fold(text) if min(len(password), len(text)) >= shortest else None


def finish(part: Path, passwords: int, shortest: int, made_at: str) -> None:
    """Append the trailer to a filter that rbloom just saved, and have all of it on the disk."""
    with part.open("r+b") as file:
        description = Description(passwords, shortest, made_at, _digest(file))
        file.write(json.dumps(asdict(description)).encode().ljust(_TRAILER_LENGTH))
        file.flush()
        os.fsync(file.fileno())


def describe(path: Path) -> Description:
    """Return what the trailer of a filter says.

    Raises:
        OSError: the file cannot be read.
        UnreadableFilterError: it is no filter.
    """
    with path.open("rb") as file:
        return _describe(file)


def load(path: Path) -> tuple[Description, Bloom]:
    """Read a filter into memory.

    Raises:
        OSError: the file cannot be read.
        UnreadableFilterError: it is no filter, or it is damaged.
    """
    with path.open("rb") as file:
        description = _describe(file)
        file.seek(0)
        body = file.read(os.fstat(file.fileno()).st_size - _TRAILER_LENGTH)
    if hashlib.blake2b(body, digest_size=32).hexdigest() != description.digest:
        raise UnreadableFilterError("its content is not what its trailer says: it is damaged")
    return description, Bloom.load_bytes(body, hash_key)


def _describe(file: BinaryIO) -> Description:
    if file.seek(0, os.SEEK_END) <= _TRAILER_LENGTH:
        raise UnreadableFilterError("it is too short to be a filter that `idp passwords load` made")
    file.seek(-_TRAILER_LENGTH, os.SEEK_END)
    try:
        found = json.loads(file.read(_TRAILER_LENGTH))
        description = Description(
            int(found["passwords"]),
            int(found["shortest"]),
            str(found["made_at"]),
            str(found["digest"]),
            found["format"],
        )
    except (ValueError, KeyError, TypeError):
        raise UnreadableFilterError("it is not a filter that `idp passwords load` made") from None
    if description.format != _FORMAT:
        raise UnreadableFilterError("another version of this service made it")
    return description


def _digest(file: BinaryIO) -> str:
    """Return the digest of a file from its start; the position is then its end."""
    digest = hashlib.blake2b(digest_size=32)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()


_Version = tuple[int, int, int]


class BreachedPasswords:
    """The filter of this process: read at the first need, and again when the file changes.

    A file that is missing or damaged is logged once and refuses nothing; a filter that was read before stays in use.
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
            log.error("breached passwords: the file cannot be used", reason=reason)  # noqa: TRY400 - no trace, a cause
            return
        self._shortest = description.shortest
        log.info("breached passwords: read", passwords=description.passwords, made_at=description.made_at)


def _version(path: Path) -> _Version | str:
    """Return what changes when the file does; the fault's name when it cannot be looked at."""
    try:
        found = path.stat()
    except OSError as fault:
        return type(fault).__name__
    return found.st_ino, found.st_size, found.st_mtime_ns
