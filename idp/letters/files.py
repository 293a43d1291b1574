"""Writes letters to files that only their owner can read, and never overwrites a file.

Until the database has its secrets, a file is named `NAME.INSTANT.part`. The instant is when its secrets expire, to the
microsecond, so that it identifies the print. When a print was killed, `remove_leftovers` looks that instant up in the
database: it removes a part whose secrets are not valid, and keeps one whose secrets are, because it is the only copy.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_STAMP = "%Y%m%dT%H%M%S%f"
_PART = re.compile(r"(?s)(.+)\.(\d{8}T\d{12})\.part")


class LetterFileError(Exception):
    """A part file cannot be published or removed; the text is the message to show."""


class LetterFile:
    """One file of letters; `path` is its name once its secrets are valid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part: Path | None = None
        self._file = -1

    def write(self, content: bytes, expires_at: datetime) -> None:
        """Write the part file and sync it to the disk.

        Args:
            content: the whole content.
            expires_at: when all secrets in it expire.

        Raises:
            OSError: the file cannot be written, or exists.
        """
        stamp = expires_at.astimezone(UTC).strftime(_STAMP)
        try:
            self._write(self.path.with_name(f"{self.path.name}.{stamp}.part"), content)
        except OSError as fault:
            raise OSError(fault.errno, fault.strerror, str(self.path)) from fault

    def _write(self, part: Path, content: bytes) -> None:
        self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._part = part
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # `remove_leftovers` leaves a locked part alone
        left = memoryview(content)
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)
        _sync_folder(part.parent)
        if part.stat().st_ino != os.fstat(self._file).st_ino:
            raise FileNotFoundError(2, "another print removed the part file", str(part))

    def publish(self) -> None:
        """Rename the part to its final name.

        Raises:
            LetterFileError: the final file cannot be written, or Ctrl-C interrupted it; the part stays.
        """
        if self._part is None:
            return
        try:
            _rename(self._part, self.path)
            _sync_folder(self.path.parent)
        except OSError as fault:
            raise LetterFileError(
                f"the letters are valid and stay in {self._part}: {self.path} cannot be written ({fault.strerror}); "
                "rename that file"
            ) from fault
        except KeyboardInterrupt:
            where = self._part if self._part.exists() else self.path
            raise LetterFileError(f"interrupted; the letters are valid, and are in {where}") from None
        finally:
            self._close()

    def discard(self) -> None:
        """Remove the part, whose secrets are not valid."""
        if self._part is not None:
            self._part.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._part, self._file = None, -1


def remove_leftovers(paths: Iterable[Path], is_secret_valid: Callable[[datetime], bool]) -> None:
    """Remove the part files of killed prints.

    Args:
        paths: files whose parts are removed, or folders in which all parts are; they need not exist.
        is_secret_valid: returns whether secrets that expire at an instant are valid.

    Raises:
        LetterFileError: a part holds valid letters, or another print is writing it; it is kept.
    """
    for path in paths:
        folder = path if path.is_dir() else path.parent
        for part in sorted(folder.iterdir() if folder.is_dir() else ()):
            match = _PART.fullmatch(part.name)
            if match and (path.is_dir() or match[1] == path.name):
                with suppress(ValueError):  # the digits are not an instant: another program's file
                    _remove_leftover(part, datetime.strptime(match[2], _STAMP).replace(tzinfo=UTC), is_secret_valid)


def _remove_leftover(part: Path, expires_at: datetime, is_secret_valid: Callable[[datetime], bool]) -> None:
    file = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if is_secret_valid(expires_at):
            raise LetterFileError(
                f"{part} holds valid letters of a print that was killed before it renamed the file: rename it, or "
                "remove it and renew the letters; nothing was done"
            )
        part.unlink(missing_ok=True)
    except BlockingIOError:
        raise LetterFileError(f"another print is writing {part}, nothing was done") from None
    finally:
        os.close(file)


def _rename(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, where check and rename cannot be atomic
        if os.path.lexists(path):
            raise FileExistsError(17, "it exists", str(path)) from None
        part.rename(path)
    else:
        part.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
