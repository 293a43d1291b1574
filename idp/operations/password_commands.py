"""`idp passwords`: the list of stolen passwords, and the accounts that it concerns."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from sqlalchemy import func, select

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.passwords import breached, breached_list
from idp.audit import log
from idp.audit.credential_events import BreachedPasswordsLoaded
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
        loaded = breached_list.build(file, target, shortest=shortest, tell=_progress(file.stat().st_size))
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
    """Turn an error of a load into the command's error; a former filter is unchanged."""
    try:
        yield
    except breached_list.ListRefusedError as refused:
        raise click.ClickException(plain(refused)) from refused
    except OSError as fault:
        name = plain(fault.filename or "a file")
        raise click.ClickException(
            f"{name} cannot be read or written ({plain(fault.strerror or fault)}): the former filter stays in use"
        ) from fault


def _progress(size: int) -> Any:
    def begin(label: str) -> breached_list.Tell:
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
