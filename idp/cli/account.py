"""`idp account`: what is done without the desk. The journal records every command with the operator's name."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.cli import account_view
from idp.cli.account_data import claims, erase, export
from idp.cli.refusals import as_click_error
from idp.families import acts, closing, merging
from idp.operations import batches, blocked_passwords
from idp.operations.blocked_passwords import Blocked
from idp.operations.reasons import REASON
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, members, plain, table

_SCHOOL = click.option("--school", "uai", metavar="UAI", help="Only accounts with a child in this school.")
_USERNAME = click.argument("username")


def _chosen(username: str, uai: str | None) -> tuple[Account, School | None]:
    school = account_view.get_school(uai)
    return account_view.get_account(username, school), school


@click.group()
def account() -> None:
    """People's accounts: find and show them, enable and reopen, export and erase them.

    No command shows or sets a password. All else that a family needs is done at the desk.
    """


for _command in (claims, export, erase):
    account.add_command(_command)


@account.command()
@click.argument("text", required=False)
@_SCHOOL
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The most accounts shown.")
@AS_JSON
def find(text: str | None, uai: str | None, limit: int, *, as_json: bool) -> None:
    """Find accounts by TEXT: an identifier or its beginning, words of a name, or a mail address."""
    if not (text and text.strip()) and uai is None:
        raise click.UsageError("give a TEXT or --school")
    with as_click_error():
        school = account_view.get_school(uai)
    accounts = account_view.find(text if text and text.strip() else None, school, limit)
    rows = [account_view.line(account, school) for account in accounts]
    if as_json:
        click.echo(dumped(rows))
    elif rows:
        head = ("username", "name", "state", "schools")
        table(head, [(r["username"], r["name"], r["state"], " ".join(r["schools"])) for r in rows])
    if not rows:
        click.echo("no account matches", err=True)
    elif len(rows) == limit:
        click.echo(f"the first {limit} are shown: --limit shows more", err=True)


@account.command()
@_USERNAME
@_SCHOOL
@AS_JSON
def show(username: str, uai: str | None, *, as_json: bool) -> None:
    """Show one account: its state, its children, its open notices. The middle of mail addresses is hidden."""
    with as_click_error():
        shown = account_view.describe(*_chosen(username, uai))
    members(shown, _value_lines, as_json=as_json)


def _value_lines(value: Any) -> Iterator[object]:
    """Yield the lines for a value: one for each child or notice, none for an empty value."""
    if isinstance(value, list):
        for item in value:
            yield ", ".join(_part(part) for part in item.values() if part) if isinstance(item, dict) else item
    elif value is not None:
        yield value


def _part(part: Any) -> str:
    return " ".join(part) if isinstance(part, list) else str(part)


@account.command()
@_USERNAME
@_SCHOOL
def enable(username: str, uai: str | None) -> None:
    """Enable a disabled account, with the password that it had."""
    with as_click_error():
        chosen, _ = _chosen(username, uai)
        acts.enable(services().settings, chosen.id)
    click.echo(f"{chosen.username} is enabled")


@account.command()
@_USERNAME
@_SCHOOL
@REASON
def reopen(username: str, uai: str | None, reason: str) -> None:
    """Reopen all that is closed of an account, also what waits for the head; with --school, what that school closed.

    The head does it at the desk; this is for a school that has nobody who can.
    """
    with as_click_error():
        chosen, school = _chosen(username, uai)
        held = closing.holding(chosen.id, school)
        if not held:
            raise click.ClickException(plain(f"nothing of {chosen.username} is closed that could be reopened"))
        for row in held:
            closing.reopen(row.id, reason)
    click.echo(plain(f"{chosen.username}: {_counted(len(held), 'closing')} ended"))


@account.command()
@_USERNAME
@_SCHOOL
@REASON
@YES
def unlink(username: str, uai: str | None, reason: str, *, yes: bool) -> None:
    """Give an account its children back whose letter somebody else added: the two are not one person.

    The account is enabled without a letter, so print one; its keys lead the school's files to it again. The other
    account keeps its own children, and its owner gets a mail.
    """
    with as_click_error():
        chosen, _ = _chosen(username, uai)
        person = f"{chosen.username} ({chosen.display_name})"
        confirm(f"Separate {person} from the account into which it was merged?", yes=yes)
        merging.unlink(chosen.id, reason)
    click.echo(f"{chosen.username} has its children again, and no letter: print one")


@account.command("force-password-change")
@click.option("--school", "uai", metavar="UAI", help="All accounts with a child in this school.")
@click.option("--all", "everybody", is_flag=True, help="All accounts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def force_password_change(uai: str | None, *, everybody: bool, yes: bool, as_json: bool) -> None:
    """Block passwords and end sessions: the right password then causes a mail that leads to a new one.

    Accounts that were never activated are skipped. After an interruption, run the command again: it continues.
    """
    if (uai is not None) is everybody:
        raise click.UsageError("give either --school or --all")
    with as_click_error():
        school = account_view.get_school(uai)
    if everybody and not yes:
        count = batches.count(Account.activated_at.is_not(None), Account.password_blocked_at.is_(None))
        click.confirm(f"Block the passwords of {count} accounts?", abort=True, err=True)
    total = Blocked()
    for some in blocked_passwords.block(school, _batch_recorder(school)):
        total += some
    if as_json:
        click.echo(json.dumps(asdict(total)))
        return
    blocked = _counted(total.blocked, "password")
    ended = _counted(total.sessions_ended, "session")
    click.echo(f"{blocked} blocked, {ended} ended, {total.untouched} left as is")
    if total.without_address:
        click.echo(f"without a confirmed address, in need of a new letter: {total.without_address}", err=True)


def _batch_recorder(school: School | None) -> Callable[[Blocked], None]:
    def note(batch: Blocked) -> None:
        if school is not None and batch.blocked:
            log.record(PasswordsForced(uai=school.uai, count=batch.blocked))

    return note


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
