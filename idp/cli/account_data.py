"""`idp account export` and `idp account erase`: export or erase a person's data."""

from pathlib import Path

import click

from idp.cli import account_view
from idp.cli.refusals import as_click_error
from idp.config import Settings
from idp.operations.personal_data import erasure
from idp.operations.personal_data import export as personal_export
from idp.operations.personal_data.erasure import Kept, Removed
from idp.operations.reasons import check_reason
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain

_KEPT = {
    "journal": (
        "the journal keeps {events} without address and details, as proof of what was done, each for "
        "{days} days at most; the account's key in them identifies nobody"
    ),
    "pupils": "the children: they are pupils of the school, and leave with its file",
    "suspension": (
        "the suspended access to {children}: any new guardian of such a child waits for the head of the school. "
        "Nothing of the person is in it. It stays until the suspension ends, at most five years after the child left"
    ),
    "school_file_refused": (
        "the school's file names the person: the next import brings a new account with a new identifier, which waits "
        "for the head of the school where a child's access is suspended; in another school it gets a new letter"
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
@click.option("--reason", required=True, callback=check_reason, metavar="TEXT", help="Why; the journal keeps it.")
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
    """Return why data stay."""
    sentence = _KEPT[kept.name]
    if kept.name == "ents" and not kept.count:
        sentence = "the ENTs have accounts of their own: no session was open, so no ENT is notified"
    events = "1 event" if kept.count == 1 else f"{kept.count} events"
    children = "1 child" if kept.count == 1 else f"{kept.count} children"
    return sentence.format(events=events, children=children, days=settings.audit_days)
