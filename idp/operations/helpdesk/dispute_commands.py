"""`idp account disputes` lists and settles the disputes that parents opened; `not-guardian` opens one for a caller."""

from typing import Any

import click

from idp import terminal
from idp.accounts.disputes import child_key
from idp.accounts.school_notices import Kind
from idp.operations.helpdesk import disputes as service
from idp.operations.helpdesk import dossier, telephone
from idp.operations.helpdesk.acts import RefusedError
from idp.operations.helpdesk.disputes import Decision, Outcome, Settled
from idp.operations.helpdesk.dossier import NotFoundError
from idp.services import services
from idp.terminal import AS_JSON, YES, dumped, plain, table

_LONGEST_REASON = 500
_KINDS = [Kind.NOT_GUARDIAN.value, Kind.EMAIL_CONTESTED.value]


@click.command()
@click.argument("username", required=False)
@click.option("--uai", metavar="UAI", help="Only disputes of this school.")
@click.option("--reject", is_flag=True, help="The dispute is wrong: restore the tie; keep the new address.")
@click.option("--confirm", is_flag=True, help="The dispute is right: end the tie; keep the former address.")
@click.option("--child", metavar="KEY", help="Settle the tie to this child alone, by its key in the list.")
@click.option("--kind", type=click.Choice(_KINDS), help="Which dispute, when the account has both kinds.")
@click.option("--yes", is_flag=True, help="Do not ask before --confirm.")
@click.option("--reason", metavar="TEXT", help="Why, for the journal and the school's notice.")
@AS_JSON
def disputes(  # noqa: PLR0913 - one for each option
    username: str | None,
    uai: str | None,
    *,
    reject: bool,
    confirm: bool,
    child: str | None,
    kind: str | None,
    reason: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """List open disputes, or settle the one of USERNAME with --reject or --confirm.

    An account is closed while a dispute is open. If a letter's holder disputes to be the guardian of a child: --reject
    restores the tie, and a new letter can be printed; --confirm ends the tie until the school's file changes, or until
    --reject takes that back. If a mailbox contests that the account's address was changed: --confirm keeps the former
    address, --reject the new one; the password stays blocked, and a new one is chosen by mail to the kept address only.
    """
    _check_usage(username, reject=reject, confirm=confirm, child=child, kind=kind, reason=reason)
    try:
        school = dossier.get_school(uai)
        account = dossier.get_account(username, school) if username else None
        if account is None or not (reject or confirm):
            open_disputes = service.find(school, account)
            _print_list([service.line(dispute) for dispute in open_disputes], as_json=as_json)
            return
        decision = Decision(
            outcome=Outcome.REJECT if reject else Outcome.CONFIRM,
            reason=" ".join((reason or "").split()),
            kind=Kind(kind) if kind else None,
            child=child,
            school=school,
        )
        if confirm:
            terminal.confirm(_question(account.username), yes=yes)
        decision = service.meant(account, decision)
        settled = service.settle(services().settings, account.id, decision)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    _print_settled(account.username, decision, settled, as_json=as_json)


@click.command("not-guardian")
@click.argument("username")
@click.option("--child", required=True, metavar="KEY", help="The child, by its key in the school's file.")
@YES
def not_guardian(username: str, child: str, *, yes: bool) -> None:
    """Note that USERNAME says on the telephone not to be the guardian of a child, as the school desk does.

    The account is closed, its owner gets a mail, and the school a notice, until `idp account disputes` settles it.
    """
    try:
        account = dossier.get_account(username, None)
        pupil = dossier.get_child(account, child)
        terminal.confirm(f"Close {account.username} ({account.display_name}) until the school decides?", yes=yes)
        noted = telephone.note_not_guardian(account.id, pupil.id, pupil.school, may_repeat=True)
    except (NotFoundError, RefusedError) as refused:
        raise click.ClickException(plain(refused)) from refused
    click.echo(
        plain(f"the tie of {account.username} to {child} is disputed, and the account is closed ({noted.notice})")
    )


def _check_usage(
    username: str | None, *, reject: bool, confirm: bool, child: str | None, kind: str | None, reason: str | None
) -> None:
    settles = reject or confirm
    if reject and confirm:
        raise click.UsageError("give either --reject or --confirm")
    if settles and username is None:
        raise click.UsageError("give the USERNAME whose dispute is settled")
    if settles and not (reason and reason.strip()):
        raise click.UsageError("say why with --reason")
    if not settles and (child, kind, reason) != (None, None, None):
        raise click.UsageError("give --reject or --confirm")
    if len(reason or "") > _LONGEST_REASON:
        raise click.UsageError(f"--reason is longer than {_LONGEST_REASON} characters")
    if child is not None and kind == Kind.EMAIL_CONTESTED.value:
        raise click.UsageError("--child is for disputed ties: leave it out, or leave --kind out")


def _print_list(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(dumped(rows))
        return
    if not rows:
        click.echo("no open dispute", err=True)
        return
    head = ("account", "name", "kind", "school", "since", "about")
    table(head, [(r["account"], r["name"], r["kind"], r["uai"] or "-", r["since"], _about(r)) for r in rows])


def _about(row: dict[str, Any]) -> str:
    if row["kind"] == Kind.EMAIL_CONTESTED.value:
        return f"former {row['former_email'] or 'several'}, new {row['new_email'] or '-'}"
    if not row["children"]:
        return f"a dispute at {row['uai']} closes the account: that school settles it"
    return "; ".join(f"{c['given_name']} {c['family_name']}, {c['class']} ({c['key']})" for c in row["children"])


def _question(username: str) -> str:
    return f"Confirm the dispute of {username} (the tie ends, or the former address is kept)?"


def _print_settled(username: str, decision: Decision, settled: Settled, *, as_json: bool) -> None:
    outcome = decision.outcome
    keys = [child_key(child) for child in settled.children]
    if as_json:
        members = {"account": username, "kind": settled.kind.value, "outcome": outcome.value, "children": keys}
        click.echo(dumped({**members, "closed": settled.is_closed}))
        return
    if settled.kind is Kind.EMAIL_CONTESTED:
        kept = "former" if outcome is Outcome.CONFIRM else "new"
        done = f"the {kept} address is kept, and a new password is chosen by mail to it"
    elif outcome is Outcome.CONFIRM:
        done = f"the tie to {', '.join(keys)} has ended"
    elif decision.reopens:
        done = f"the tie to {', '.join(keys)}, which the school had ended, is restored"
    else:
        done = f"the tie to {', '.join(keys)} is restored; if the account is not activated, a new letter can be printed"
    click.echo(f"{username}: {done}")
    if settled.is_closed:
        click.echo(f"{username} stays closed: another dispute is open", err=True)
