"""`idp account export` and `idp account erase`: export or erase a person's data."""

from pathlib import Path

import click

from idp.operations.helpdesk import dossier
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.dossier import NotFoundError
from idp.operations.personal_data import erasure, rectification
from idp.operations.personal_data import export as personal_export
from idp.operations.reasons import check_reason
from idp.services import services
from idp.terminal import AS_JSON, dumped, plain


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
    try:
        account = dossier.get_account(username, None)
        personal_export.write(services().settings, account, path)
    except NotFoundError as missing:
        raise click.ClickException(plain(missing)) from missing
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
    try:
        account = dossier.get_account(username, None)
        if not yes:
            click.confirm(f"Erase {account.username} ({plain(account.display_name)}) for good?", abort=True, err=True)
        done = erasure.erase(services().settings, account.id, reason)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    if as_json:
        kept = {item.name: item.why for item in done.kept}
        click.echo(
            dumped(
                {"accounts_erased": done.accounts, "ents_told": done.sign_outs, "kept": kept, "notices": done.notices}
            )
        )
        return
    accounts = "1 account" if done.accounts == 1 else f"{done.accounts} accounts"
    signed_out = "1 sign-out" if done.sign_outs == 1 else f"{done.sign_outs} sign-outs"
    click.echo(f"{username} is erased: {accounts}; ENTs are told of {signed_out}")
    for sentence in done.notices:
        click.echo(plain(f"notice {sentence}"))
    for item in done.kept:
        click.echo(f"stays: {item.why}")


@click.command()
@click.argument("username")
@click.option("--note", required=True, callback=check_reason, metavar="TEXT", help="The correction, in French.")
def rectify(username: str, note: str) -> None:
    """Ask the schools of a person to correct its data: a notice in each school's list, with the note."""
    try:
        account = dossier.get_account(username, None)
        schools = rectification.ask(account, note)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    click.echo(plain(f"{account.username}: asked of {', '.join(school.uai for school in schools)}"))
