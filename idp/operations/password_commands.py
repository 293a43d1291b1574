"""`idp passwords`: the filter of breached passwords, made of a list, and the accounts that it concerns."""

import fcntl
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rbloom import Bloom
from sqlalchemy import func, select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.passwords import breached
from idp.accounts.passwords.hasher import MAX_PASSWORD_LENGTH
from idp.audit import log
from idp.audit.credential_events import BreachedPasswordsLoaded
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain, table

_SHORTEST = 12


@click.group()
def passwords() -> None:
    """Stolen passwords: they are refused at a sign-in and as a new password."""


@passwords.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def load(file: Path) -> None:
    """Make the filter of IDP_BREACHED_PASSWORDS from FILE; every node uses it at its next sign-in.

    FILE holds plain passwords, one a line, in UTF-8 or Latin-1, and may have any size. Archives, and lists of hashes
    such as Pwned Passwords, cannot be used. Passwords of 12 characters or more are used (of IDP_PASSWORD_MIN_LENGTH or
    more, if that is less), and compared without case and accents.

    The filter takes 3.6 bytes a password, on the disk and in the memory of every process. It never misses a listed
    password, and reports one unlisted password in a million as listed. A former filter stays in use until the new one
    is complete.
    """
    settings = services().settings
    target = _target(settings)
    shortest = min(_SHORTEST, settings.password_min_length)
    with _as_click_error():
        loaded = build(file, target, shortest=shortest, tell=_progress(file.stat().st_size))
    with unit_of_work():
        log.record(BreachedPasswordsLoaded(passwords=loaded.passwords))
    click.echo(
        f"{loaded.passwords} passwords of {shortest} characters or more, of {loaded.lines} lines, in {plain(target)} "
        f"({loaded.bytes} bytes)"
    )


@passwords.command()
@AS_JSON
def report(*, as_json: bool) -> None:
    """Count the accounts whose password was found in the list at a sign-in, and has not been replaced."""
    described = _filter(services().settings.breached_passwords)
    if described is not None and described["fault"]:  # no password was compared with it, so a count would mislead
        raise click.ClickException(plain(f"the list of {described['file']} is not in use: {described['fault']}"))
    concerned = Account.password_state == PasswordState.BREACHED
    total, without_address = db.session.execute(
        select(func.count(), func.count().filter(Account.email.is_(None))).select_from(Account).where(concerned)
    ).one()
    rows = db.session.execute(
        select(School.uai, School.name, func.count(Account.id.distinct()))
        .join(Child, Child.school_id == School.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(concerned, Guardianship.is_unended)
        .group_by(School.uai, School.name)
        .order_by(School.uai)
    ).all()
    shown = {
        "filter": described,
        "accounts": total,
        "without_address": without_address,
        "schools": [{"uai": uai, "name": name, "accounts": count} for uai, name, count in rows],
    }
    if as_json:
        click.echo(dumped(shown))
        return
    _say(shown)


def _say(shown: dict[str, Any]) -> None:
    description = shown["filter"]
    if description is None:
        click.echo("no list is in use: set IDP_BREACHED_PASSWORDS, then run `idp passwords load`", err=True)
    else:
        click.echo(f"list: {description['passwords']} passwords, made {description['made_at']}")
    click.echo(f"accounts whose password is in it, and not yet replaced: {shown['accounts']}")
    if shown["without_address"]:
        click.echo(f"without a confirmed address, in need of a new letter: {shown['without_address']}")
    if shown["schools"]:
        table(
            ("uai", "school", "accounts"),
            [(school["uai"], school["name"], school["accounts"]) for school in shown["schools"]],
        )


def _filter(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    shown: dict[str, Any] = {"file": str(path), "passwords": 0, "made_at": None, "fault": None}
    try:
        description = breached.describe(path)
    except OSError as fault:
        return shown | {"fault": fault.strerror}
    except breached.UnreadableFilterError as fault:
        return shown | {"fault": str(fault)}
    return shown | {"passwords": description.passwords, "made_at": description.made_at}


def _target(settings: Settings) -> Path:
    if settings.breached_passwords is None:
        raise click.ClickException("set IDP_BREACHED_PASSWORDS to the path of the filter, on every node")
    return settings.breached_passwords


@contextmanager
def _as_click_error() -> Iterator[None]:
    try:
        yield
    except ListRefusedError as refused:
        raise click.ClickException(plain(refused)) from refused
    except OSError as fault:
        name = plain(fault.filename or "a file")
        raise click.ClickException(
            f"{name} cannot be read or written ({plain(fault.strerror or fault)}): the former filter stays in use"
        ) from fault


def _progress(size: int) -> Any:
    def begin(label: str) -> Tell:
        if not sys.stderr.isatty():
            return lambda _read: None
        bar = click.progressbar(length=size, label=label, file=sys.stderr)
        bar.render_progress()

        def tell(read: int) -> None:
            bar.update(read)
            if bar.finished:
                bar.render_finish()

        return tell

    return begin


# The most bytes of a line that are read: no allowed password is longer, not even in hexadecimal.
_LONGEST_LINE: Final = 4 * MAX_PASSWORD_LENGTH + 512
_LOOKED_AT: Final = 100
_TOLD_EVERY: Final = 1 << 20
_LOOKED_THROUGH: Final = 1 << 20
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_LINES_OF_TEXT: Final = 1000  # the least number of bytes to each control character in a file that is text
_HASH = re.compile(rb"[0-9A-Fa-f]{32,64}(:\d+)?")
_HEXADECIMAL = re.compile(rb"\$HEX\[((?:[0-9A-Fa-f]{2})*)\]")

Tell = Callable[[int], None]  # a function that receives the number of bytes read since its last call


class ListRefusedError(Exception):
    """No filter was made of the list, and nothing changed; the message is the sentence to show."""


@dataclass(frozen=True)
class Loaded:
    """The result of loading a list.

    Attributes:
        lines: the lines of the list.
        passwords: the passwords of sufficient length, which the filter holds.
        bytes: the size of the file, and of the filter in the memory of each process.
    """

    lines: int
    passwords: int
    bytes: int


def build(source: Path, target: Path, *, shortest: int, tell: Callable[[str], Tell]) -> Loaded:
    """Make the filter `target` from the list `source`, and replace a former filter atomically.

    The list is read twice: a filter needs the number of its passwords before it takes the first one.

    Args:
        source: the list, a regular file.
        target: the filter.
        shortest: the least length of a password, in characters.
        tell: is called with the name of each reading, and returns the function that receives its progress.

    Raises:
        ListRefusedError: the list is not text, holds hashes, or holds no password that is long enough; or another load
            is running.
        OSError: a file cannot be read or written.
    """
    with source.open("rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ListRefusedError(f"{source} is not a regular file: save the list to a file, since it is read twice")
        _refuse_binary(file)
        _refuse_hashes(file)
        lines, count = 0, 0
        for key in _keys(file, shortest, tell("counting")):
            lines, count = lines + 1, count + (key is not None)
        if not count:
            raise ListRefusedError(f"no line of {source} is a password of {shortest} characters or more")
        listed = Bloom(count, breached.FALSE_POSITIVE_RATE, breached.hash_key)
        listed.update(key for key in _keys(file, shortest, tell("adding")) if key is not None)
    _publish(listed, target, count, shortest)
    return Loaded(lines, count, target.stat().st_size)


def _publish(listed: Bloom, target: Path, count: int, shortest: int) -> None:
    part = target.with_name(f"{target.name}.part")
    lock = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ListRefusedError(f"another load is writing {part}: wait until it ends") from None
        try:
            listed.save(part)
            breached.finish(part, count, shortest, now().isoformat(timespec="seconds"))
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    finally:
        os.close(lock)


def _refuse_binary(file: BinaryIO) -> None:
    """Refuse an archive, a filter or UTF-16: any bytes are valid Latin-1, so they would be taken for passwords.

    Real lists hold a control character in few of their lines.
    """
    sample = file.read(_LOOKED_THROUGH)
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls * _LINES_OF_TEXT > len(sample):
        raise ListRefusedError("the list holds control characters, so it is not text: give plain passwords, one a line")


def _refuse_hashes(file: BinaryIO) -> None:
    """Refuse lists of hashes such as « Pwned Passwords »: a password is not compared with SHA-1 or NTLM hashes here."""
    file.seek(0)
    sample = [line.strip() for _, line in zip(range(_LOOKED_AT), file, strict=False)]
    filled = [line for line in sample if line]
    if filled and all(_HASH.fullmatch(line) for line in filled):
        raise ListRefusedError("the list holds hashes: give plain passwords, one a line")


def _keys(file: BinaryIO, shortest: int, tell: Tell) -> Iterator[str | None]:
    """Yield for each line the key of its password, or None if it is too short or too long."""
    file.seek(0)
    untold = 0
    while line := file.readline(_LONGEST_LINE):
        whole = line
        untold += len(line)
        while not line.endswith(b"\n") and (line := file.readline(_LONGEST_LINE)):
            whole, untold = b"", untold + len(line)  # longer than any password
        if untold >= _TOLD_EVERY:
            tell(untold)
            untold = 0
        yield _key(whole.rstrip(b"\r\n"), shortest)
    tell(untold)


def _key(line: bytes, shortest: int) -> str | None:
    if len(line) < shortest:
        return None
    if match := _HEXADECIMAL.fullmatch(line):  # the notation of such lists for bytes that are not text
        line = bytes.fromhex(match[1].decode())
    return breached.key_of(_text(line), shortest)


def _text(line: bytes) -> str:
    """Decode a line as UTF-8, or else as Latin-1, the encoding of old French and English lists."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")
