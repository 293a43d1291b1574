"""The folder of a demonstration: secrets readable by their owner only, files written atomically."""

import fcntl
import json
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import click

_END_SECONDS = 60.0
"""The longest wait for the end of another demonstration."""


def write_private(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically, readable by its owner only (mode 0600)."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` as JSON, with `write_private`."""
    write_private(path, json.dumps(value, ensure_ascii=False, indent=1).encode())


def read_json(path: Path, absent: Any) -> Any:
    """Return the content of the JSON file `path`, or `absent` if there is no such file.

    Raises:
        ClickException: the file is not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return absent
    except ValueError as error:
        raise click.ClickException(
            f"{path} is not valid: correct it, or delete the demonstration with `make demo-reset`"
        ) from error


def read_or_draw_secret(path: Path) -> str:
    """Return the secret at `path`, drawn at the first call (256 bits, URL-safe)."""
    if not path.is_file():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()


@contextmanager
def alone(folder: Path, *, end_other: bool = False) -> Iterator[None]:
    """Lock `folder` for this process: two demonstrations on one database would overwrite each other's URLs.

    Args:
        folder: the folder of the demonstration.
        end_other: whether the process that has it locked is asked to end first.

    Raises:
        ClickException: another process has locked it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    until = time.monotonic() + _END_SECONDS
    asked = None
    with (folder / "lock").open("a+") as lock:
        while not _locked(lock):
            if not end_other or time.monotonic() > until:
                raise click.ClickException(f"another demonstration uses {folder}: stop it first")
            # Once: a second signal would interrupt its last steps, after it has given its handler back.
            if (other := _read_number(lock)) not in (None, asked):
                asked = other
                with suppress(ProcessLookupError):
                    os.kill(other, signal.SIGTERM)
            time.sleep(0.2)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read_number(lock: IO[str]) -> int | None:
    """Return the number of the process that has the lock; None while it is about to write it."""
    lock.seek(0)
    number = lock.read()
    return int(number) if number else None
