"""`idp account`: the help desk's queries and acts. The journal records every command with the operator's name."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click

from idp.accounts import disputes as ties
from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.operations import batches, merging
from idp.operations.helpdesk import acts, dossier
from idp.operations.helpdesk.acts import Blocked, RefusedError
from idp.operations.helpdesk.dispute_commands import disputes, not_guardian
from idp.operations.helpdesk.dossier import NotFoundError
from idp.operations.helpdesk.kept_suspensions import end_kept, list_kept
from idp.operations.helpdesk.renaming import rename_command
from idp.operations.helpdesk.standard_claims import claims
from idp.operations.helpdesk.suspension_commands import reopen, suspend, suspensions
from idp.operations.personal_data.commands import erase, export, rectify
from idp.operations.reasons import check_reason
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, members, plain, table

_SCHOOL = click.option("--school", "uai", metavar="UAI", help="Only accounts with a child in this school.")
_USERNAME = click.argument("username")


@contextmanager
def _as_click_error() -> Iterator[None]:
    """Turn a refusal into the command's error."""
    try:
        yield
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused


def _chosen(username: str, uai: str | None) -> tuple[Account, School | None]:
    school = dossier.get_school(uai)
    return dossier.get_account(username, school), school


@click.group()
def account() -> None:
    """People's accounts: find and show them, help, close and open, correct, export and erase them.

    No command shows or sets a password.
    """


for _command in (
    claims,
    disputes,
    end_kept,
    export,
    erase,
    list_kept,
    not_guardian,
    rectify,
    rename_command,
    reopen,
    suspend,
    suspensions,
):
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
    with _as_click_error():
        school = dossier.get_school(uai)
    accounts = dossier.find(text if text and text.strip() else None, school, limit)
    rows = [dossier.line(account, school) for account in accounts]
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
    with _as_click_error():
        shown = dossier.describe(*_chosen(username, uai))
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
def unlock(username: str, uai: str | None) -> None:
    """Reset the wrong tries, and settle the notices about them. Refused while a dispute is open: see `disputes`."""
    _act(username, uai, acts.unlock, _unlocked)


def _unlocked(name: str, settled: list[tuple[uuid.UUID, str]]) -> str:
    lines = [f"{name} may try again, on every node within ten seconds"]
    lines += [f"notice {key} ({kind}) is settled: unlocked" for key, kind in settled]
    return "\n".join(lines)


@account.command()
@_USERNAME
@_SCHOOL
def resend(username: str, uai: str | None) -> None:
    """Send the link again that confirms the account's mail address. Earlier links stop working."""
    sending = partial(acts.resend, services().settings)
    _act(username, uai, sending, lambda name, _: f"{name}: the mail with the link is in the outbox")


@account.command()
@_USERNAME
@_SCHOOL
@YES
def disable(username: str, uai: str | None, *, yes: bool) -> None:
    """Disable an account and end its sessions, here and in the ENTs."""
    question = _Question("Disable {} and end the sessions?", yes=yes)
    _act(username, uai, acts.disable, lambda name, ended: f"{name} is disabled, {_sessions(ended)}", question)


@account.command()
@_USERNAME
@_SCHOOL
def enable(username: str, uai: str | None) -> None:
    """Enable a disabled account, with the password that it had."""
    opening = partial(acts.enable, services().settings)
    _act(username, uai, opening, lambda name, _: f"{name} is enabled")


@account.command("end-sessions")
@_USERNAME
@_SCHOOL
@YES
def end_sessions(username: str, uai: str | None, *, yes: bool) -> None:
    """End all sessions of an account, here and in the ENTs."""
    question = _Question("End all sessions of {}?", yes=yes)
    _act(username, uai, acts.end_sessions, lambda name, ended: f"{name}: {_sessions(ended)}", question)


@account.command("remove-passkeys")
@_USERNAME
@_SCHOOL
@click.option("--reason", required=True, callback=check_reason, help="Why, for the journal; 200 characters at most.")
@YES
def remove_passkeys(username: str, uai: str | None, reason: str, *, yes: bool) -> None:
    """Remove all passkeys of an account, for instance of a stolen phone, and end its sessions. Its password stays."""
    removing, question = partial(acts.remove_passkeys, reason), _Question("Remove all passkeys of {}?", yes=yes)
    _act(username, uai, removing, lambda name, count: f"{name}: {_counted(count, 'passkey')} removed", question)


@account.command()
@_USERNAME
@_SCHOOL
@click.option("--reason", required=True, callback=check_reason, help="Why, for the journal; 200 characters at most.")
@YES
def unlink(username: str, uai: str | None, reason: str, *, yes: bool) -> None:
    """Give an account its children back whose letter somebody else added: the two are not one person.

    The account is enabled without a letter, so print one; its keys lead the school's files to it again. The other
    account keeps its own children, and its owner gets a mail.
    """
    question = _Question("Separate {} from the account into which it was merged?", yes=yes)
    message = "{} has its children again, and no letter: print one".format
    _act(username, uai, partial(merging.unlink, reason), lambda name, _: message(name), question)


@account.command("force-password-change")
@click.argument("usernames", nargs=-1, metavar="[USERNAME]…")
@click.option("--school", "uai", metavar="UAI", help="All accounts with a child in this school.")
@click.option("--all", "everybody", is_flag=True, help="All accounts.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def force_password_change(
    usernames: tuple[str, ...], uai: str | None, *, everybody: bool, yes: bool, as_json: bool
) -> None:
    """Block passwords and end sessions: the right password then causes a mail that leads to a new one.

    Accounts that were never activated are skipped. After an interruption, run the command again: it continues.
    """
    if (bool(usernames), uai is not None, everybody).count(True) != 1:
        raise click.UsageError("give either USERNAMEs, or --school, or --all")
    with _as_click_error():
        school = dossier.get_school(uai)
        people = [dossier.get_account(username, None) for username in usernames]
    if everybody and not yes:
        count = batches.count(Account.activated_at.is_not(None), Account.password_blocked_at.is_(None))
        click.confirm(f"Block the passwords of {count} accounts?", abort=True, err=True)
    for person in people:
        _Question("Block the password of {} and end the sessions?", yes=yes).ask(person)
    left = [f"{account.username} is left as is: {why}" for account in people if (why := _why_skipped(account))]
    total = Blocked()
    for some in acts.block_passwords(
        [account.id for account in people] if usernames else school, _batch_recorder(school)
    ):
        total += some
    for sentence in left:
        click.echo(plain(sentence), err=True)
    if as_json:
        click.echo(json.dumps(asdict(total)))
        return
    blocked = _counted(total.blocked, "password")
    click.echo(f"{blocked} blocked, {_sessions(total.sessions_ended)}, {total.untouched} left as is")
    if total.without_address:
        click.echo(f"without a confirmed address, in need of a new letter: {total.without_address}", err=True)


def _batch_recorder(school: School | None) -> Callable[[Blocked], None]:
    """Return the function that records a batch of a school's accounts, in its transaction."""

    def note(batch: Blocked) -> None:
        if school is not None and batch.blocked:
            log.record(PasswordsForced(uai=school.uai, count=batch.blocked))

    return note


def _why_skipped(account: Account) -> str:
    """Return why a change of password is not forced on an account, empty if it is."""
    if account.activated_at is not None and account.password_blocked_at is None:
        return ""
    if account.contested_at is not None:
        return "two addresses claim it, and its password is refused until `idp account disputes` settles that"
    if ties.is_disputed(account.id):
        return "a tie to a child is disputed, and every secret is refused until `idp account disputes` settles that"
    if account.activated_at is None:
        return "it was never activated, and has no password of its own"
    return "its password is blocked already"


@dataclass(frozen=True)
class _Question:
    """What is asked before an act, with `{}` for the person."""

    text: str
    yes: bool

    def ask(self, account: Account) -> None:
        confirm(self.text.format(f"{account.username} ({account.display_name})"), yes=self.yes)


def _act(
    username: str,
    uai: str | None,
    act: Callable[[Any], Any],
    message: Callable[[str, Any], str],
    question: _Question | None = None,
) -> None:
    with _as_click_error():
        chosen, _ = _chosen(username, uai)
        if question:
            question.ask(chosen)
        result = act(chosen.id)
    click.echo(message(chosen.username, result))


def _sessions(count: int) -> str:
    return f"{_counted(count, 'session')} ended"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
