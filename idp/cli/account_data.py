"""`idp account claims`, `export`, `erase`: a person's data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from idp.cli import account_view
from idp.cli.refusals import as_click_error
from idp.config import Settings
from idp.families import acts
from idp.oidc.claims.standard import ClaimError
from idp.operations.personal_data import erasure
from idp.operations.personal_data import export as personal_export
from idp.operations.personal_data.erasure import Kept, Removed
from idp.operations.reasons import REASON
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain

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
"""Why data stay after an erasure."""


@click.command()
@click.argument("username")
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
    with as_click_error():
        account = account_view.get_account(username, None)
    try:
        personal_export.write(services().settings, account, path)
    except FileExistsError as there:
        raise click.ClickException(plain(f"{path} exists already: choose another file")) from there
    except OSError as fault:
        raise click.ClickException(plain(f"{path} cannot be written ({fault.strerror})")) from fault
    click.echo(plain(f"{account.username} was written to {path}"))


@click.command()
@click.argument("username")
@REASON
@click.option("--yes", is_flag=True, help="Do not ask.")
@AS_JSON
def erase(username: str, reason: str, *, yes: bool, as_json: bool) -> None:
    """Erase a person at once: account, sessions, links, charters, notices. Show what stays, with the reasons.

    The ENTs are told that the sessions ended. No mail is sent: answer the person in writing.
    """
    settings = services().settings
    with as_click_error():
        account = account_view.get_account(username, None)
        if not yes:
            click.confirm(f"Erase {account.username} ({plain(account.display_name)}) for good?", abort=True, err=True)
        done = erasure.erase(account.id, reason)
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


def _notice(removed: Removed) -> str:
    about = f"{removed.kind} at {removed.uai} about {' and '.join(removed.usernames)}"
    state = "open" if removed.answer is None else f"settled: {removed.answer}"
    return f"{'removed' if removed.is_gone else 'does not name the person any more'}: {about}, {state}"


def _why(settings: Settings, kept: Kept) -> str:
    sentence = _KEPT[kept.name]
    if kept.name == "ents" and not kept.count:
        sentence = "the ENTs have accounts of their own: no session was open, so no ENT is notified"
    events = "1 event" if kept.count == 1 else f"{kept.count} events"
    children = "1 child" if kept.count == 1 else f"{kept.count} children"
    return sentence.format(events=events, children=children, days=settings.audit_days)


def _pairs(_ctx: click.Context, _option: click.Parameter, typed: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE`, once for each name."""
    pairs: dict[str, str] = {}
    for pair in typed:
        name, equals, value = pair.partition("=")
        if not equals or not name or name in pairs:
            raise click.BadParameter("must be NAME=VALUE, given once for a name")
        pairs[name] = value
    return pairs


@click.command()
@click.argument("username")
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
    with as_click_error():
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
    """Yield claims under the names that `--set` takes."""
    for name, value in held.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{member}", text) for member, text in value.items())
        else:
            yield name, str(value).lower() if isinstance(value, bool) else value
