"""`idp account`: what is done without the desk. The journal records every command with the operator's name."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from idp.accounts.models import Account, School
from idp.audit import log
from idp.audit.desk_events import PasswordsForced
from idp.cli import account_view
from idp.config import Settings
from idp.families import acts, closing, merging
from idp.oidc.claims.standard import ClaimError
from idp.operations import batches, blocked_passwords
from idp.operations.personal_data import export as personal_export, rights
from idp.operations.reasons import REASON
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, members, plain, table

_SCHOOL = click.option("--school", "uai", metavar="UAI", help="Only accounts with a child in this school.")
_USERNAME = click.argument("username")


def _chosen(username: str, uai: str | None) -> tuple[Account, School | None]:
    school = account_view.get_school(uai)
    return account_view.get_account(username, school), school


@click.group(cls=account_view.RefusingGroup)
def account() -> None:
    """People's accounts: find and show them, enable and reopen, export and erase them.

    No command shows or sets a password. All else that a family needs is done at the desk.
    """


@account.command()
@click.argument("text", required=False)
@_SCHOOL
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The most accounts shown.")
@AS_JSON
def find(text: str | None, uai: str | None, limit: int, *, as_json: bool) -> None:
    """Find accounts by TEXT: an identifier or its beginning, words of a name, or a mail address."""
    if not (text and text.strip()) and uai is None:
        raise click.UsageError("give a TEXT or --school")
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
    shown = account_view.describe(*_chosen(username, uai))
    members(shown, _value_lines, as_json=as_json)


def _value_lines(value: Any) -> Iterator[object]:
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
    school = account_view.get_school(uai)
    if everybody and not yes:
        count = batches.count(Account.activated_at.is_not(None), ~Account.has_blocked_password)
        click.confirm(f"Block the passwords of {count} accounts?", abort=True, err=True)
    total = blocked_passwords.Blocked()
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


def _batch_recorder(school: School | None) -> Callable[[blocked_passwords.Blocked], None]:
    def note(batch: blocked_passwords.Blocked) -> None:
        if school is not None and batch.blocked:
            log.record(PasswordsForced(uai=school.uai, count=batch.blocked))

    return note


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


_KEPT = {
    "journal": (
        "the journal keeps {events} without address and details, as proof of what was done, each for "
        "{days} days at most; the account's key in them identifies nobody"
    ),
    "pupils": "the children: they are pupils of the school, and leave with its file",
    "closing": (
        "the closed access to {children}: any new guardian of such a child waits for the head of the school. "
        "Nothing of the person is in it. It stays until the closing ends, at most five years after the child left"
    ),
    "school_file_refused": (
        "the school's file names the person: the next import brings a new account with a new identifier, which waits "
        "for the head of the school where a child's access is closed; in another school it gets a new letter"
    ),
    "school_file": (
        "the school's file names the person: the next import brings a new account with a new identifier and a new "
        "letter, unless the school takes the person out of its file"
    ),
    "ents": "the ENTs have accounts of their own: each is asked to sign the person out, nothing more",
    "copies": "this command cannot erase backups of the database, nor mails that were sent",
}


@account.command()
@_USERNAME
@click.option(
    "--out",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.zip",
    help="A new file, readable by you only.",
)
def export(username: str, path: Path) -> None:
    """Write all data about a person: a page to read, and JSON.

    The archive contains no secret, and of other people only the names and classes of the person's children. Check the
    identity of the person who asks before you hand it out.
    """
    account = account_view.get_account(username, None)
    try:
        personal_export.write(services().settings, account, path)
    except FileExistsError as there:
        raise click.ClickException(plain(f"{path} exists already: choose another file")) from there
    except OSError as fault:
        raise click.ClickException(plain(f"{path} cannot be written ({fault.strerror})")) from fault
    click.echo(plain(f"{account.username} was written to {path}"))


@account.command()
@_USERNAME
@REASON
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def erase(username: str, reason: str, *, yes: bool, as_json: bool) -> None:
    """Erase a person at once: account, sessions, links, charters, notices. Show what stays, with the reasons.

    The ENTs are told that the sessions ended. No mail is sent: answer the person in writing.
    """
    settings = services().settings
    account = account_view.get_account(username, None)
    if not yes:
        click.confirm(f"Erase {account.username} ({plain(account.display_name)}) for good?", abort=True, err=True)
    done = rights.erase(account.id, reason)
    kept = {item.name: _why(settings, item) for item in done.kept}
    notices = [_notice(removed) for removed in done.notices]
    if as_json:
        click.echo(
            dumped({"accounts_erased": done.accounts, "ents_told": done.sign_outs, "kept": kept, "notices": notices})
        )
        return
    accounts = "1 account" if done.accounts == 1 else f"{done.accounts} accounts"
    signed_out = "1 sign-out" if done.sign_outs == 1 else f"{done.sign_outs} sign-outs"
    click.echo(f"{username} is erased: {accounts}; ENTs are told of {signed_out}")
    for sentence in notices:
        click.echo(plain(f"notice {sentence}"))
    for why in kept.values():
        click.echo(f"stays: {why}")


def _notice(removed: rights.Removed) -> str:
    about = f"{removed.kind} at {removed.uai} about {' and '.join(removed.usernames)}"
    state = "open" if removed.answer is None else f"settled: {removed.answer}"
    return f"{'removed' if removed.is_gone else 'does not name the person any more'}: {about}, {state}"


def _why(settings: Settings, kept: rights.Kept) -> str:
    sentence = _KEPT[kept.name]
    if kept.name == "ents" and not kept.count:
        sentence = "the ENTs have accounts of their own: no session was open, so no ENT is notified"
    events = "1 event" if kept.count == 1 else f"{kept.count} events"
    children = "1 child" if kept.count == 1 else f"{kept.count} children"
    return sentence.format(events=events, children=children, days=settings.audit_days)


def _pairs(_ctx: click.Context, _option: click.Parameter, typed: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in typed:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in pairs:
            raise click.BadParameter("must be NAME=VALUE, given once for a name")
        pairs[name] = value
    return pairs


@account.command()
@_USERNAME
@click.option("--school", "uai", metavar="UAI", help="Only an account with a child in this school.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", callback=_pairs, help="Set a claim.")
@click.option("--unset", "removed", multiple=True, metavar="NAME", help="Remove a claim.")
@AS_JSON
def claims(username: str, uai: str | None, changes: dict[str, str], removed: tuple[str, ...], *, as_json: bool) -> None:
    """Show or change the standard claims of an account that no school file has.

    Names and values are those of OpenID Connect Core 5.1: nickname, birthdate, zoneinfo, phone_number…; parts of the
    address are written address.locality and so on, and replace those of the school file. ENTs receive only the claims
    that they are registered for.
    """
    if twice := changes.keys() & set(removed):
        raise click.UsageError(f"given to --set and to --unset: {plain(', '.join(sorted(twice)))}")
    school = account_view.get_school(uai)
    account = account_view.get_account(username, school)
    try:
        held = acts.change_claims(account.id, changes, removed, school)
    except ClaimError as refused:
        raise click.ClickException(plain(refused)) from refused
    if as_json:
        click.echo(dumped(held))
        return
    for name, value in _flat(held):
        click.echo(f"{name}: {plain(value)}")


def _flat(held: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in held.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{member}", text) for member, text in value.items())
        else:
            yield name, str(value).lower() if isinstance(value, bool) else value
