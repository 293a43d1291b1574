"""Opens the files of an import one after the other: plain, in a folder, in a `.zip` or a `.tgz`.

The content decides what a file is, not its name. Nothing is unpacked to a named file. An error issue means that a file
could not be read to its end, so that the part which was read must not be imported either. Limits: `archives` (R-02).
"""

import gzip
import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from idp.rostering.files.archives import (
    CHUNK,
    ArchiveError,
    Guarded,
    Ledger,
    Limits,
    is_document,
    tar_members,
    zip_members,
)
from idp.rostering.records import Issue, Place, Severity

PEEK = 1 << 16  # how many bytes of a source can be looked at before it is read

LIMITS = Limits()

_IGNORED_NAMES = {"thumbs.db", "desktop.ini", "__macosx"}
_OTHER_ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_LONGEST_NAME = 300

_MESSAGES = {
    "file_missing": "Ce fichier ou ce dossier n’existe pas.",
    "file_unreadable": "Ce fichier ou ce dossier ne peut pas être lu : vérifiez les droits.",
    "nothing_to_read": "Il n’y a là aucun fichier à lire.",
    "not_a_file": "Ceci n’est ni un fichier ni un dossier ordinaire : il est laissé de côté.",
    "link_outside": "Ce lien ne mène à aucun fichier de ce dossier : il est laissé de côté.",
    "folder_too_deep": "Ce dossier est trop profond dans l’arbre : il est laissé de côté. Donnez-le par son nom.",
}


@dataclass
class Source:
    """A file that can be read once, until the next one is asked for.

    Attributes:
        name: The name that the operator gave; `archive.tgz/part.xml` for a member.
        stream: The content. It ends where an archive is damaged; the error comes instead of the next source.
        tick: Called now and then by a reader that copied the stream first; it may raise to stop the import.
    """

    name: str
    stream: io.BufferedReader
    tick: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class InMemory:
    """A file that was uploaded, which is never written to the disk; its text is the name that its person gave it."""

    name: str
    content: bytes

    def __str__(self) -> str:
        return _shown(self.name)


Given = Path | InMemory  # a file or a folder on the disk, or a file in memory


def total_size(paths: Sequence[Given]) -> int:
    """Return how many bytes `open_sources` will read from the disk."""
    seen: set[Path] = set()
    return sum(_size(file) for path in paths for file in _files(path, seen) if not isinstance(file, Issue))


def open_sources(
    paths: Sequence[Given], progress: Callable[[int], None], limits: Limits = LIMITS
) -> Iterator[Source | Issue]:
    """Yield the sources in `paths`, folders in the order of names, and an issue for what cannot be read.

    Args:
        paths: Files and folders, as the operator named them. A file that is found twice on the disk is read once.
        progress: Called with how many more bytes of `total_size` have been read.
        limits: How much all archives may unpack to.
    """
    ledger = Ledger(limits)
    seen: set[Path] = set()
    for path in paths:
        for file in _files(path, seen):
            if isinstance(file, Issue):
                yield file
            else:
                yield from _open(file, ledger, progress)
        # look again with an empty set: files that an earlier path brought are not missing
        if all(isinstance(file, Issue) and file.severity is Severity.WARNING for file in _files(path, set())):
            yield _issue("nothing_to_read", str(path))


def _files(path: Given, seen: set[Path]) -> Iterator[Given | Issue]:
    if isinstance(path, InMemory):
        yield path
        return
    try:
        if path.is_dir():
            yield from _in_folder(path, path.resolve(), seen, 1)
        elif path.is_file():
            yield from _once(path, seen)
        else:
            yield _issue("not_a_file" if path.exists() else "file_missing", str(path))
    except (OSError, ValueError, RuntimeError):
        yield _issue("file_unreadable", str(path))


def _in_folder(folder: Path, top: Path, seen: set[Path], levels: int) -> Iterator[Path | Issue]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        yield _issue("file_unreadable", str(folder))
        return
    for entry in entries:
        if _is_ignored(entry.name):
            continue
        if entry.is_symlink() and not (entry.is_file() and entry.resolve().is_relative_to(top)):
            yield _issue("link_outside", str(entry), Severity.WARNING)
        elif entry.is_dir():
            if levels:
                yield from _in_folder(entry, top, seen, levels - 1)
            else:
                yield _issue("folder_too_deep", str(entry), Severity.WARNING)
        elif entry.is_file():
            yield from _once(entry, seen)
        else:
            yield _issue("not_a_file", str(entry), Severity.WARNING)


def _once(file: Path, seen: set[Path]) -> Iterator[Path]:
    real = file.resolve()
    if real not in seen:
        seen.add(real)
        yield file


def _open(path: Given, ledger: Ledger, progress: Callable[[int], None]) -> Iterator[Source | Issue]:
    meter = _Meter(_size(path), progress)
    sources = 0
    try:
        with _Metered(_unread(path), meter) as raw, _buffered(raw) as file:
            kind = _kind(file.peek(512))
            if kind == "zip" and is_document(file):
                kind = ""
            file.seek(0)
            for source in _in_file(str(path), file, kind, ledger):
                sources += 1
                yield source
        if kind and not sources:
            yield _issue("nothing_to_read", str(path))
    except OSError:
        yield _issue("file_unreadable", str(path))
    except ArchiveError as refused:
        where = f"{path}/{refused.entry}" if refused.entry else str(path)
        yield _issue(refused.code, where, message=str(refused))
    finally:
        meter.finish()


def _in_file(name: str, file: io.BufferedReader, kind: str, ledger: Ledger) -> Iterator[Source]:
    if kind == "zip":
        yield from _members(name, zip_members(cast("BinaryIO", file), ledger), ledger, zip_allowed=False)
    elif kind == "tar":
        yield from _members(name, tar_members(file, file.tell, ledger), ledger, zip_allowed=True)
    elif kind == "gzip":
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield from _members(name, tar_members(unzipped, file.tell, ledger), ledger, zip_allowed=True)
    elif kind:
        raise ArchiveError("archive_unknown")
    else:
        plain = Guarded(file, lambda _: None, "file_unreadable")
        yield from _sources(name, plain)
        if plain.failure is not None:
            raise plain.failure


def _members(
    archive: str, members: Iterator[tuple[str, Guarded]], ledger: Ledger, *, zip_allowed: bool
) -> Iterator[Source]:
    """Yield the sources of an archive. A tar may hold zips, as schools send them, and nothing deeper."""
    for entry, member in members:
        if any(_is_ignored(part) for part in entry.replace("\\", "/").split("/") if part not in {"", "."}):
            continue
        name = f"{archive}/{entry}"
        with _buffered(member) as stream:
            kind = _kind(stream.peek(512))
            if not kind:
                yield Source(_shown(name), stream)
            elif kind == "zip" and zip_allowed:
                yield from _zip_in_tar(name, stream, ledger)
            else:
                raise ArchiveError("archive_nested", entry)


def _zip_in_tar(name: str, stream: io.BufferedReader, ledger: Ledger) -> Iterator[Source]:
    """Yield the sources of a zip that comes in a stream, from a nameless copy: a zip is read from its end."""
    with tempfile.TemporaryFile() as copy:
        while data := stream.read(CHUNK):
            copy.write(data)
        copy.seek(0)
        if is_document(copy):
            copy.seek(0)
            yield from _sources(name, Guarded(copy, lambda _: None))
        else:
            yield from _members(name, zip_members(copy, ledger), ledger, zip_allowed=False)


def _sources(name: str, raw: Guarded) -> Iterator[Source]:
    with _buffered(raw) as stream:
        yield Source(_shown(name), stream)


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, PEEK)


def _kind(head: bytes) -> str:
    """Return the kind of the archive that begins with `head`; the empty text for a plain file."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head[257:262] == b"ustar":
        return "tar"
    if head.startswith(_OTHER_ARCHIVES) or (head.startswith(b"BZh") and head[4:10] == b"1AY&SY"):
        return "other"
    return ""


def _is_ignored(name: str) -> bool:
    """Return whether a file or folder holds no school's data by its name: hidden, of an operating system, a DTD."""
    return name.startswith(".") or name.lower() in _IGNORED_NAMES or name.lower().endswith(".dtd")


class _Meter:
    """Reports the size of a file to a progress bar: exactly once, also if the file grows or breaks off."""

    def __init__(self, size: int, progress: Callable[[int], None]) -> None:
        self._left = size
        self._progress = progress

    def add(self, size: int) -> None:
        done = min(size, self._left)
        if done:
            self._left -= done
            self._progress(done)

    def finish(self) -> None:
        self.add(self._left)


class _Metered(io.RawIOBase):
    def __init__(self, inner: io.BytesIO | io.FileIO, meter: _Meter) -> None:
        self._inner = inner
        self._meter = meter
        self.seek, self.tell = self._inner.seek, self._inner.tell  # type: ignore[method-assign]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        size = self._inner.readinto(buffer) or 0
        self._meter.add(size)
        return size

    def close(self) -> None:
        self._inner.close()
        super().close()


def _unread(path: Given) -> io.BytesIO | io.FileIO:
    return io.BytesIO(path.content) if isinstance(path, InMemory) else io.FileIO(path)


def _size(path: Given) -> int:
    if isinstance(path, InMemory):
        return len(path.content)
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _shown(name: str) -> str:
    """Return a path that is safe to show: shortened, and without control characters."""
    return "".join(char if char.isprintable() else "�" for char in name[:_LONGEST_NAME])


def _issue(code: str, name: str, severity: Severity = Severity.ERROR, message: str = "") -> Issue:
    return Issue(severity, Place(_shown(name), 1), "", code, message or _MESSAGES[code])
