"""The files that letters are written to: their owner's alone, never in the place of another.

While the database does not know its secrets, a file is `NAME.INSTANT.part`, the instant being when they all end, to the
microsecond: nothing else ends then, so that a part which a print left behind when it was killed can be told from
another. Secrets that open nothing are swept away; those that open something are the only copy there is.
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


class Kept(Exception):  # noqa: N818 - says what it is
    """A file holds letters that are good and has not the name that it should have; the text is the sentence to show."""


class Paper:
    """One file of letters.

    Args:
        path: its name, once its secrets are good.
        head: how every file of its kind begins. When given, what is written goes on below a file that is there.
    """

    def __init__(self, path: Path, head: bytes = b"") -> None:
        self.path = path
        self._head = head
        self._part: Path | None = None
        self._file = -1
        self._content = b""

    def write(self, content: bytes, expires_at: datetime) -> None:
        """Write the part, on the disk before this returns.

        Args:
            content: all of the file.
            expires_at: when all the secrets in it end.

        Raises:
            OSError: it cannot be written, or there is one of that name.
        """
        stamp = expires_at.astimezone(UTC).strftime(_STAMP)
        try:
            self._write(self.path.with_name(f"{self.path.name}.{stamp}.part"), content)
        except OSError as fault:
            raise OSError(fault.errno, fault.strerror, str(self.path)) from fault

    def _write(self, part: Path, content: bytes) -> None:
        self._file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._part, self._content = part, content
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is being written, and no left-over
        _write_all(self._file, content)
        os.fsync(self._file)
        _settle_folder(part.parent)
        if part.stat().st_ino != os.fstat(self._file).st_ino:
            raise FileNotFoundError(2, "another print removed it", str(part))

    def publish(self) -> None:
        """Give the part its name, or add it to the file that is there.

        Raises:
            Kept: it cannot be; the part stays.
        """
        if self._part is None:
            return
        try:
            if self._head and os.path.lexists(self.path):
                _add(self.path, self._head, self._content)
                self._part.unlink()
            else:
                _rename(self._part, self.path)
            _settle_folder(self.path.parent)
        except OSError as fault:
            raise Kept(
                f"the letters are drawn and good, and stay in {self._part}: {self.path} cannot be written "
                f"({fault.strerror}); give that file another name"
            ) from fault
        finally:
            self._close()

    def tear_up(self) -> None:
        """Remove the part: its secrets open nothing."""
        if self._part is not None:
            self._part.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._part, self._file, self._content = None, -1, b""


def sweep(paths: Iterable[Path], opens_something: Callable[[datetime], bool]) -> None:
    """Remove what a print that was killed left of the files `paths`, or of any in the folders among them.

    Args:
        paths: files or folders, which need not be there.
        opens_something: says whether a secret that ends at an instant is good.

    Raises:
        Kept: a part holds letters that are good, or is being written; nothing of it is touched.
    """
    for path in paths:
        folder = path if path.is_dir() else path.parent
        for part in sorted(folder.iterdir() if folder.is_dir() else ()):
            found = _PART.fullmatch(part.name)
            if found and (path.is_dir() or found[1] == path.name):
                with suppress(ValueError):  # digits that are no instant: not our name
                    _sweep(part, datetime.strptime(found[2], _STAMP).replace(tzinfo=UTC), opens_something)


def _sweep(part: Path, expires_at: datetime, opens_something: Callable[[datetime], bool]) -> None:
    file = os.open(part, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if opens_something(expires_at):
            raise Kept(
                f"{part} holds letters that are good, of a print that was cut off before it could name it: give it "
                "another name, or remove it and print them again with --renew; nothing was done"
            )
        part.unlink(missing_ok=True)
    except BlockingIOError:
        raise Kept(f"another print is writing {part}, nothing was done") from None
    finally:
        os.close(file)


def check_below(path: Path, head: bytes) -> None:
    """Refuse to add letters to a file that is not one of ours.

    Raises:
        OSError: it is a link, begins otherwise than `head`, or others may read it.
    """
    if not os.path.lexists(path):
        return
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        kept = os.fstat(file.fileno())
        alone = kept.st_uid == os.geteuid() and kept.st_nlink == 1 and not kept.st_mode & 0o077
        ours = alone and file.read(len(head)) == head
    if not ours:
        raise FileExistsError(17, "it is there, and is no list of letters that you alone may read", str(path))


def _add(path: Path, head: bytes, content: bytes) -> None:
    """Add `content` below what is there; whatever goes wrong, it is as it was."""
    check_below(path, head)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW), "wb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            _write_all(file.fileno(), content[len(head) :])
            os.fsync(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), size)
            raise


def _rename(part: Path, path: Path) -> None:
    """Give the file its name, never another one's."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: nothing can be asked and done at once there
        if os.path.lexists(path):
            raise FileExistsError(17, "it is there already", str(path)) from None
        part.rename(path)
    else:
        part.unlink()


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def _settle_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; some file systems cannot."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
