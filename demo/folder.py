"""The folder of a demonstration: secrets readable by their owner only, files written atomically."""

import fcntl
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click


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
def alone(folder: Path) -> Iterator[None]:
    """Lock `folder` for this process: two demonstrations on one database would overwrite each other's URLs.

    Raises:
        ClickException: another process has locked it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise click.ClickException(f"another demonstration uses {folder}: stop it first") from error
        yield
