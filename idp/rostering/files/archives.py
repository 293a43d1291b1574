"""Reads the members of a `.zip` or a `.tar` one after the other, without writing a named file.

An archive is untrusted input (R-02). Sizes are checked as declared and again while unpacking. Paths that leave the
archive, links, devices, encrypted members and nested archives make the whole archive refused. Damage inside a member
ends that member, and the archive is refused when the next member is asked for.
"""

import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

CHUNK = 1 << 16
DAMAGE_ERRORS = (OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error)
"""The exceptions of the standard library for a damaged file, besides its own `BadZipFile` and `TarError`."""

_FREE = 16 << 20  # bytes that any archive may unpack to, whatever its ratio: small repetitive files compress well

_DIRECTORY = 16 << 20  # the most bytes of a zip's directory, which is kept in memory: enough for 100,000 entries

_HEADERS = 1 << 20  # the most bytes between two members of a tar: long names and attributes are kept in memory

_ELSEWHERE = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UNIX = 3
_ANY_DAMAGE = (*DAMAGE_ERRORS, zipfile.BadZipFile, tarfile.TarError)


class Readable(Protocol):
    """An object that has `read`."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much all archives of an import may unpack to: bytes, bytes for each byte of an archive, and members."""

    total: int = 8 << 30
    ratio: int = 200
    entries: int = 100_000


class ArchiveError(Exception):
    """Say that an archive cannot be read, or not to its end; `code` and the message are an `Issue`'s."""

    def __init__(self, code: str, entry: str = "") -> None:
        super().__init__(_MESSAGES[code])
        self.code = code
        self.entry = entry


_MESSAGES = {
    "archive_too_large": "Cette archive donne trop de fichiers, ou de trop gros fichiers, une fois ouverte : "
    "elle est refusée. Demandez un nouvel export.",
    "archive_unsafe": "Cette archive contient un lien, ou un chemin qui mène hors d’elle : elle est refusée. "
    "Demandez un nouvel export.",
    "archive_encrypted": "Cette archive est protégée par un mot de passe : enregistrez-la sans mot de passe.",
    "archive_nested": "Cette archive en contient une autre : sortez-la d’abord, puis donnez-la telle quelle.",
    "archive_broken": "Cette archive est abîmée ou incomplète : téléchargez-la de nouveau.",
    "archive_unknown": "Cette sorte d’archive ne se lit pas ici : donnez un .zip ou un .tgz.",
    "file_unreadable": "Ce fichier ne peut pas être lu jusqu’au bout : vérifiez le disque et les droits.",
}


class Ledger:
    """The totals that all archives of an import have declared and unpacked so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._entries = 0
        self._declared = 0
        self._real = 0

    def declare(self, size: int) -> None:
        """Count a member and its declared size in bytes.

        Raises:
            ArchiveError: There are more members or bytes than allowed.
        """
        self._entries += 1
        self._declared += size
        if self._entries > self.limits.entries or self._declared > self.limits.total:
            raise ArchiveError("archive_too_large")
        if size < 0:
            raise ArchiveError("archive_broken")

    def count(self, size: int) -> None:
        """Count `size` unpacked bytes.

        Raises:
            ArchiveError: There are more bytes than allowed.
        """
        self._real += size
        if self._real > self.limits.total:
            raise ArchiveError("archive_too_large")


class Guarded(io.RawIOBase):
    """A stream that ends where its content is damaged; `failure` says why it ended too early."""

    def __init__(self, inner: Readable, count: Callable[[int], None], code: str = "archive_broken") -> None:
        self.failure: ArchiveError | None = None
        self._inner = inner
        self._count = count
        self._code = code

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill `buffer`; after damage, behave as at the end of the stream."""
        if self.failure is not None:
            return 0
        try:
            data = self._inner.read(len(buffer))
            self._count(len(data))
        except ArchiveError as refused:
            self.failure = refused
            return 0
        except _ANY_DAMAGE:
            self.failure = ArchiveError(self._code)
            return 0
        buffer[: len(data)] = data
        return len(data)


class _Bounded:
    """A file for `zipfile` that refuses to read a directory which would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY:
            raise ArchiveError("archive_too_large")
        return self._file.read(_DIRECTORY if size < 0 else size)


def zip_members(file: BinaryIO, ledger: Ledger) -> Iterator[tuple[str, Guarded]]:
    """Yield the name and the content of each file of a zip; the content is valid until the next file is asked for.

    Raises:
        ArchiveError: The archive cannot be read, or not to its end.
    """
    size = file.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except _ANY_DAMAGE:
        raise ArchiveError("archive_broken") from None
    with archive:
        entries = archive.infolist()
        _check_entries(entries, size, ledger)
        for entry in entries:
            if entry.is_dir():
                continue
            try:
                inner = archive.open(entry)
            except _ANY_DAMAGE:
                raise ArchiveError("archive_broken", entry.filename) from None
            with inner:
                member = Guarded(inner, ledger.count)
                yield entry.filename, member
                if member.failure is not None:
                    raise member.failure


def is_document(file: BinaryIO) -> bool:
    """Return whether a zip is an office document: its user does not see it as an archive."""
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            return bool({"[Content_Types].xml", "mimetype"} & archive.NameToInfo.keys())
    except (ArchiveError, *_ANY_DAMAGE):
        return False


def _check_entries(entries: Sequence[zipfile.ZipInfo], size: int, ledger: Ledger) -> None:
    packed = unpacked = 0
    for entry in entries:
        ledger.declare(entry.file_size)
        packed += entry.compress_size
        unpacked += entry.file_size
        check_name(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise ArchiveError("archive_unsafe", entry.filename)
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ArchiveError("archive_unknown", entry.filename)  # other methods unpack a whole member at once
        if entry.flag_bits & _ENCRYPTED:
            raise ArchiveError("archive_encrypted", entry.filename)
    # overlapping members unpack the same bytes many times
    if packed > size or unpacked > max(_FREE, ledger.limits.ratio * size):
        raise ArchiveError("archive_too_large")


def check_name(name: str) -> None:
    """Check that a member's path stays inside its archive.

    Raises:
        ArchiveError: The path is absolute or contains `..`.
    """
    if _ELSEWHERE.search(name.replace("\\", "/")):
        raise ArchiveError("archive_unsafe", name)


class _Unpacked:
    """The uncompressed bytes of a tar, counted while they are read."""

    def __init__(self, inner: Readable, consumed: Callable[[], int], ledger: Ledger) -> None:
        self.headers_left: int | None = None
        self._inner = inner
        self._consumed = consumed
        self._ledger = ledger
        self._real = 0

    def read(self, size: int = -1) -> bytes:
        data = self._inner.read(size)
        self._ledger.count(len(data))
        self._real += len(data)
        if self._real > max(_FREE, self._ledger.limits.ratio * self._consumed()):
            raise ArchiveError("archive_too_large")
        if self.headers_left is not None:
            self.headers_left -= len(data)
            if self.headers_left < 0:
                raise ArchiveError("archive_broken")
        return data


class _Header(tarfile.TarInfo):
    """A member's header. `tarfile` takes a damaged header for the end of the archive and would skip the rest."""

    __slots__ = ()

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_Header":
        """Read a header; only a block of zeros is the end of the archive."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError:
            raise ArchiveError("archive_broken") from None


def tar_members(inner: Readable, consumed: Callable[[], int], ledger: Ledger) -> Iterator[tuple[str, Guarded]]:
    """Yield the name and the content of each file of a tar, in one pass.

    Args:
        inner: The uncompressed tar.
        consumed: Returns how many bytes of the archive on the disk have been read.
        ledger: The totals of the import.

    Raises:
        ArchiveError: The archive cannot be read, or not to its end.
    """
    unpacked = _Unpacked(inner, consumed, ledger)
    try:
        unpacked.headers_left = _HEADERS
        archive = tarfile.open(fileobj=unpacked, mode="r|", bufsize=CHUNK, tarinfo=_Header)  # type: ignore[call-overload]  # noqa: SIM115 - closed below
        with archive:
            while (entry := _next(archive, unpacked)) is not None:
                ledger.declare(entry.size)
                check_name(entry.name)
                if entry.isdir():
                    continue
                content = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
                if content is None:
                    raise ArchiveError("archive_unsafe", entry.name)
                member = Guarded(content, _nothing)
                yield entry.name, member
                if member.failure is not None:
                    raise member.failure
                _drain(content)
            rest = archive.fileobj
            while data := rest.read(CHUNK):
                if data.strip(b"\0"):
                    raise ArchiveError("archive_broken")
    except _ANY_DAMAGE:
        raise ArchiveError("archive_broken") from None


def _next(archive: tarfile.TarFile, unpacked: _Unpacked) -> tarfile.TarInfo | None:
    unpacked.headers_left = _HEADERS
    entry = archive.next()
    unpacked.headers_left = None
    archive.members.clear()  # type: ignore[attr-defined]  # `tarfile` would keep all headers in memory
    return entry


def _drain(content: Readable) -> None:
    while content.read(CHUNK):
        pass


def _nothing(size: int) -> None:
    """Count nothing: `_Unpacked` has counted the bytes of a tar already."""
