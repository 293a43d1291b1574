"""Outputs for files: a folder, or one archive. The same contents always give the same bytes."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self


class Output(Protocol):
    """Receives files by name."""

    def add(self, name: str, content: bytes) -> None:
        """Store a file; `name` may contain folders."""


class Folder:
    """Stores files in a folder, which is created."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, name: str, content: bytes) -> None:
        """Write a file."""
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Tgz:
    """Stores files in a `.tgz`, which is complete at the end of the `with` block."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        # A name or a date in the header would make each archive differ from the one before.
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=self._file, mtime=0)
        self._tar = tarfile.TarFile(fileobj=self._gzip, mode="w")

    def add(self, name: str, content: bytes) -> None:
        """Add a file to the archive."""
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        self._tar.addfile(entry, io.BytesIO(content))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._tar.close()
        self._gzip.close()
        self._file.close()


class Parts:
    """Writes records into numbered files with a head and a tail, and a limited number of records.

    Args:
        output: the output of the files.
        name: their name, with `{}` for the number.
        frame: the text before the records, and after.
        encoding: a Python codec; missing letters become character references.
        most: the most records of a file.
    """

    def __init__(self, output: Output, name: str, frame: tuple[str, str], encoding: str, most: int) -> None:
        self._output = output
        self._name = name
        self._frame = frame
        self._encoding = encoding
        self._most = most
        self._records: list[str] = []
        self._number = 0

    def add(self, record: str) -> None:
        """Add a record; write the file if it is full."""
        self._records.append(record)
        if len(self._records) == self._most:
            self.flush()

    def flush(self) -> None:
        """Write the remaining records, if any."""
        if not self._records:
            return
        head, tail = self._frame
        text = "".join((head, *self._records, tail))
        self._output.add(self._name.format(f"{self._number:04d}"), text.encode(self._encoding, "xmlcharrefreplace"))
        self._records.clear()
        self._number += 1


def zipped(name: str, content: bytes) -> bytes:
    """Return a zip archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return archive.getvalue()
