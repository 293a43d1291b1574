"""What is inside a `.zip` or a `.tar`, one member after the other, without writing anything under a name.

An archive comes from outside and may lie (R-02): sizes are checked as declared and again as they come out; paths that
lead elsewhere, links, devices, encrypted members and archives in archives refuse the whole archive. What breaks while a
member is being read ends that member; the archive is refused as soon as the next one is asked for.
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
BROKEN = (OSError, EOFError, ValueError, RuntimeError, OverflowError, struct.error, zlib.error)
"""What the standard library raises over a damaged file, besides its own `BadZipFile` and `TarError`."""

_FREE = 16 << 20
"""Bytes that may come out of any archive, whatever its ratio: small files of few words shrink well."""

_DIRECTORY = 16 << 20
"""The most bytes of a zip's directory, which is held in memory: 100,000 entries of ordinary names."""

_HEADERS = 1 << 20
"""The most bytes between two members of a tar: long names and attributes are held in memory."""

_ELSEWHERE = re.compile(r"^/|^[A-Za-z]:|(?:^|/)\.\.(?:/|$)")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UNIX = 3
_ANY_ERROR = (*BROKEN, zipfile.BadZipFile, tarfile.TarError)


class Readable(Protocol):
    """Anything with `read`."""

    def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may come out of all the archives of an import.

    Attributes:
        total: Unpacked bytes.
        ratio: Unpacked bytes for each byte of an archive.
        entries: Members, of every kind.
    """

    total: int = 8 << 30
    ratio: int = 200
    entries: int = 100_000


class Refused(Exception):  # noqa: N818 - says what happened, as in the rest of the slice
    """An archive that is not read, or not to its end; `code` and the message are an `Issue`'s."""

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
    """What all the archives of an import have declared and given so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._entries = 0
        self._declared = 0
        self._real = 0

    def declare(self, size: int) -> None:
        """Count a member of `size` bytes, as its archive says.

        Raises:
            Refused: one member or too many bytes more than allowed.
        """
        self._entries += 1
        self._declared += size
        if self._entries > self.limits.entries or self._declared > self.limits.total:
            raise Refused("archive_too_large")
        if size < 0:
            raise Refused("archive_broken")

    def count(self, size: int) -> None:
        """Count `size` bytes that really came out.

        Raises:
            Refused: too many bytes.
        """
        self._real += size
        if self._real > self.limits.total:
            raise Refused("archive_too_large")


class Guarded(io.RawIOBase):
    """A stream that ends where it breaks.

    Attributes:
        failure: Why it ended too early; None as long as all is well.
    """

    def __init__(self, inner: Readable, count: Callable[[int], None], code: str = "archive_broken") -> None:
        self.failure: Refused | None = None
        self._inner = inner
        self._count = count
        self._code = code

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        """Fill `buffer` as far as the stream goes; at the first trouble, be at the end."""
        if self.failure is not None:
            return 0
        try:
            data = self._inner.read(len(buffer))
            self._count(len(data))
        except Refused as refused:
            self.failure = refused
            return 0
        except _ANY_ERROR:
            self.failure = Refused(self._code)
            return 0
        buffer[: len(data)] = data
        return len(data)


class _Bounded:
    """A file as `zipfile` wants it, which refuses to hand over a directory that would fill the memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY:
            raise Refused("archive_too_large")
        return self._file.read(_DIRECTORY if size < 0 else size)


def zip_members(file: BinaryIO, ledger: Ledger) -> Iterator[tuple[str, Guarded]]:
    """Yield the files of a zip: name, and bytes that are good until the next one is asked for.

    Raises:
        Refused: the archive is not fit to be read, or not to its end.
    """
    size = file.seek(0, io.SEEK_END)
    try:
        archive = zipfile.ZipFile(_Bounded(file))
    except _ANY_ERROR:
        raise Refused("archive_broken") from None
    with archive:
        entries = archive.infolist()
        _check_entries(entries, size, ledger)
        for entry in entries:
            if entry.is_dir():
                continue
            try:
                inner = archive.open(entry)
            except _ANY_ERROR:
                raise Refused("archive_broken", entry.filename) from None
            with inner:
                member = Guarded(inner, ledger.count)
                yield entry.filename, member
                if member.failure is not None:
                    raise member.failure


def is_document(file: BinaryIO) -> bool:
    """Return whether a zip is a spreadsheet's or a text's own format, which is no archive for anybody but a program."""
    try:
        with zipfile.ZipFile(_Bounded(file)) as archive:
            return bool({"[Content_Types].xml", "mimetype"} & archive.NameToInfo.keys())
    except (Refused, *_ANY_ERROR):
        return False


def _check_entries(entries: Sequence[zipfile.ZipInfo], size: int, ledger: Ledger) -> None:
    """Refuse a zip by what its directory says, before any of it is unpacked."""
    packed = unpacked = 0
    for entry in entries:
        ledger.declare(entry.file_size)
        packed += entry.compress_size
        unpacked += entry.file_size
        check_name(entry.filename)
        kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == _UNIX else 0
        if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
            raise Refused("archive_unsafe", entry.filename)
        if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise Refused("archive_unknown", entry.filename)  # others unpack without any limit in between
        if entry.flag_bits & _ENCRYPTED:
            raise Refused("archive_encrypted", entry.filename)
    # members that lie over each other: the same packed bytes, unpacked again and again
    if packed > size or unpacked > max(_FREE, ledger.limits.ratio * size):
        raise Refused("archive_too_large")


def check_name(name: str) -> None:
    """Check that a member's path stays inside its archive.

    Raises:
        Refused: it is absolute, or goes up.
    """
    if _ELSEWHERE.search(name.replace("\\", "/")):
        raise Refused("archive_unsafe", name)


class _Unpacked:
    """The bytes of a tar after its compression, counted as they come."""

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
            raise Refused("archive_too_large")
        if self.headers_left is not None:
            self.headers_left -= len(data)
            if self.headers_left < 0:
                raise Refused("archive_broken")
        return data


class _Header(tarfile.TarInfo):
    """A member's header. `tarfile` takes a damaged one for the end of the archive, which would lose the rest."""

    __slots__ = ()

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Read a header; a block of zeros is the end, and nothing else is."""
        if len(buf) == tarfile.BLOCKSIZE and not buf.strip(b"\0"):
            return super().frombuf(buf, encoding, errors)
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError:
            raise Refused("archive_broken") from None


def tar_members(inner: Readable, consumed: Callable[[], int], ledger: Ledger) -> Iterator[tuple[str, Guarded]]:
    """Yield the files of a tar, in one pass: name, and bytes that are good until the next one is asked for.

    Args:
        inner: The tar, without its compression.
        consumed: Says how many bytes of the archive as it lies on the disk have been used.
        ledger: Where all is counted.

    Raises:
        Refused: the archive is not fit to be read, or not to its end.
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
                    raise Refused("archive_unsafe", entry.name)
                member = Guarded(content, _nothing)
                yield entry.name, member
                if member.failure is not None:
                    raise member.failure
                _drain(content)
            rest = archive.fileobj
            while data := rest.read(CHUNK):
                if data.strip(b"\0"):
                    raise Refused("archive_broken")
    except _ANY_ERROR:
        raise Refused("archive_broken") from None


def _next(archive: tarfile.TarFile, unpacked: _Unpacked) -> tarfile.TarInfo | None:
    unpacked.headers_left = _HEADERS
    entry = archive.next()
    unpacked.headers_left = None
    archive.members.clear()  # type: ignore[attr-defined]  # all headers are kept there, and nobody goes back
    return entry


def _drain(content: Readable) -> None:
    while content.read(CHUNK):
        pass


def _nothing(size: int) -> None:
    """Count nothing: what comes out of a tar is counted before it is cut into members."""
