"""`idp account rename`: the school confirms that a person in its file has another name now.

An import accepts a corrected given name or civility only if the rest proves that it is the same person
(`idp.rostering.reconcile.continuity`). Otherwise it refuses the record, and the school gets a notice. This command is
the answer « the same person »: afterwards the files match the account under the new name.

The new name may be a suspended person's. The head is asked then, as about a name that a file corrects
(`idp.rostering.reconcile.phases.suspended`), because the next import sees no correction any more.
"""

import uuid

import click
from sqlalchemy import Select, select

from idp.accounts import directory, school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.same_person import keep_former_names
from idp.accounts.school_notices import Kind
from idp.audit import log
from idp.audit.data_events import AccountRenamed
from idp.db import db, unit_of_work
from idp.encrypted import UndecryptableError
from idp.operations.helpdesk import acts, dossier
from idp.operations.helpdesk.dossier import NotFoundError
from idp.operations.reasons import check_reason
from idp.rostering.reconcile.phases import suspended
from idp.rostering.write import ties
from idp.rostering.write.statements import ChildAccount, CorrectedLink
from idp.services import services
from idp.terminal import plain

_LONGEST_NAME = 200


@unit_of_work()
def rename(account_id: uuid.UUID, names: dict[str, str], reason: str, notice_id: uuid.UUID | None = None) -> Account:
    """Change an account's names, and settle the notices that asked about them, in one transaction.

    If the new names are, or may be, a suspended person's, the ties of an account that is not activated wait for the
    head, and the head compares the names of an activated one.

    Args:
        account_id: the account.
        names: the new values of `civility`, `given_name` and `family_name`; omitted names stay.
        reason: the school's reason.
        notice_id: the notice that is answered, if any: of two people who answer it at once, one succeeds.

    Raises:
        RefusedError: the account is gone, or has these names already, or the notice is settled, or no secret key
            decrypts the suspensions.
    """
    account = directory.get_for_change(account_id)
    if account is None:
        raise acts.RefusedError("the account was removed meanwhile")
    if notice_id is not None and db.session.scalar(_is_open(notice_id)) is None:
        raise acts.RefusedError(f"the notice {notice_id} is settled already", "settled")
    changed = [name for name, value in names.items() if getattr(account, name) != value]
    if not changed:
        raise acts.RefusedError(f"{account.username} has these names already", "same_names")
    waiting, compared = _stopped(account, names)
    keep_former_names({account.id: names})
    for name in changed:
        setattr(account, name, names[name])
    account.name_key = directory.name_key(account.given_name, account.family_name)
    account.first_given_name = None
    school_notices.settle(account.id, by=log.current_origin().actor, sentence=reason, kinds=[Kind.NAME_IN_DOUBT])
    log.record(AccountRenamed(account_id=account.id, changed=changed, reason=reason))
    ties.check_renamed(waiting, compared)
    return account


def _stopped(account: Account, names: dict[str, str]) -> tuple[list[CorrectedLink], list[ChildAccount]]:
    try:
        waiting, compared = suspended.stopped_by_renaming(services().settings.secrets, account.id.hex, names)
    except UndecryptableError as error:
        raise acts.RefusedError("no secret key decrypts the suspension of an erased person") from error
    return (
        [CorrectedLink(row.child, row.account, row.why) for row in waiting],
        [ChildAccount(row.child, row.account) for row in compared],
    )


def _is_open(notice_id: uuid.UUID) -> Select[uuid.UUID]:
    return select(SchoolNotice.id).where(SchoolNotice.id == notice_id, SchoolNotice.settled_at.is_(None))


def _name(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
    if typed is None:
        return None
    name = " ".join(typed.split())
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise click.BadParameter(f"must have 1 to {_LONGEST_NAME} printable characters")
    return name


@click.command("rename")
@click.argument("username")
@click.option("--given-name", metavar="TEXT", callback=_name)
@click.option("--family-name", metavar="TEXT", callback=_name)
@click.option("--civility", type=click.Choice(["M.", "Mme"]))
@click.option(
    "--reason", required=True, callback=check_reason, metavar="TEXT", help="The school's reason; the journal keeps it."
)
def rename_command(username: str, reason: str, **given: str | None) -> None:
    """Record that the person of an account has other names now, as the school's file writes them.

    For the same person only: the account, its password and its children stay. If the file gives the key to another
    person, that person needs another key in the file. The next import then matches the new names. If they may be those
    of a person whose access is suspended, the head decides first, as about a name that a file corrects.
    """
    names = {name: value for name, value in given.items() if value is not None}
    if not names:
        raise click.UsageError("give --given-name, --family-name or --civility")
    try:
        account = rename(dossier.get_account(username, None).id, names, reason)
    except (NotFoundError, acts.RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    click.echo(plain(f"{account.username} is {account.display_name}"))
