"""The commands for ENTs and their operators: invitations, what waits for the engineer, the test of an ENT."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import click
from sqlalchemy import select

from idp.cli.client import options
from idp.cli.client.commands import (
    client,
    note_gone,
    note_neighbours,
    note_sector,
    show_added,
    show_registration,
    texts,
)
from idp.db import db
from idp.desk.ents import acceptance, proposals
from idp.desk.staff.models import StaffAccount
from idp.mail.emails import fold_email
from idp.operations.reasons import check_reason
from idp.registration import approvals, invitations, registrations, rows
from idp.registration.metadata import DEFAULT_SCOPES
from idp.registration.trial import checks
from idp.registration.trial.findings import Finding, Repair
from idp.services import services
from idp.terminal import AS_JSON, dumped, members, plain


@client.command()
@click.argument("client_id")
@click.option("--reject", is_flag=True, help="Leave the registration as it is.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="FIELD=HOST",
    help="A field and its new host that you expect, with the port if it has one; with another, nothing is approved.",
)
@AS_JSON
def approve(client_id: str, *, reject: bool, hosts: Sequence[str], as_json: bool) -> None:
    """Approve the new hosts that an ENT which registered itself asks for; `client show` lists them.

    The ENT stays in its sector: it knows each person by the same sub as before.
    """
    if reject and hosts:
        raise click.UsageError("--host is for an approval")
    if reject:
        show_registration(approvals.reject(client_id), as_json=as_json)
        return
    row, former, secret = approvals.approve(services().settings, client_id, hosts)
    show_registration(row, secret, as_json=as_json)
    note_gone(former, row)
    note_sector(row)


@client.command()
@click.option("--label", default="", help="The recipient; also the name of an ENT that registers without one.")
@click.option(
    "--uai", "uais", multiple=True, metavar="UAI", callback=options.read_uais, help="A school that the ENT will serve."
)
@click.option(
    "--scopes", default=" ".join(DEFAULT_SCOPES), show_default=True, help="The scopes that the ENT may ask for at most."
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="HOST",
    help="A host of its URIs, now and later; default: the hosts that it registers with.",
)
@click.option(
    "--subject",
    type=click.Choice(invitations.SUBJECTS),
    help="The only subject_type that it may ask for; default: both.",
)
@click.option(
    "--auth-method", default="", help="The only authentication method that it may ask for; default: its choice."
)
@click.option("--pkce/--no-pkce", "pkce", default=None, help="Whether the ENT must send PKCE.  [default: pkce]")
@click.option("--release-username", is_flag=True, help="The ENT gets the identifier that a person signs in with.")
@click.option(
    "--reusable", type=click.IntRange(1, 1000), default=1, metavar="N", help="How many ENTs may use it, for trials."
)
@click.option("--days", type=click.IntRange(1, 90), default=7, show_default=True, help="How long it may be used.")
@AS_JSON
def invite(  # noqa: PLR0913 - one for each option
    *,
    label: str,
    uais: Sequence[str],
    scopes: str,
    hosts: Sequence[str],
    subject: str | None,
    auth_method: str,
    pkce: bool | None,
    release_username: bool,
    reusable: int,
    days: int,
    as_json: bool,
) -> None:
    """Invite an ENT to register itself at /register (RFC 7591); the token is shown this once."""
    bounds = invitations.Bounds(scopes=scopes.split(), hosts=hosts, subject_type=subject or "", auth_method=auth_method)
    life = timedelta(days=days)
    given: dict[str, Any] = {"uses": reusable, "pkce": pkce, "release_username": release_username}
    row, token = invitations.invite(label, uais, bounds, life, **given)
    members(invitations.shown(row) | {"initial_access_token": token}, texts, as_json=as_json)
    note_neighbours(uais)


@client.command("invites")
@AS_JSON
def list_invites(*, as_json: bool) -> None:
    """List all invitations, youngest first."""
    rows = [invitations.shown(row) for row in invitations.listed()]
    if as_json:
        click.echo(dumped(rows))
        return
    for row in rows:
        state = f"until {row['expires_at']}" if row["uses_left"] else f"used {row['used_at']}"
        state += f", {row['uses_left']} uses left" if row["uses_left"] > 1 else ""
        click.echo(f"{row['invite']}  {row['label']}  {state}")


@client.command("revoke-invite")
@click.argument("invite_id", type=click.UUID)
def revoke_invite(invite_id: uuid.UUID) -> None:
    """Revoke an invitation."""
    if not invitations.revoke(invite_id):
        raise click.ClickException(f"{invite_id}: no invitation with this id may still be used")
    click.echo(f"{invite_id} is revoked")


@client.command()
@click.argument("name")
@click.option("--operator", "mail", required=True, help="The mail address of an operator of another ENT.")
@options.registration_options(new=True)
@AS_JSON
def ask(name: str, mail: str, *, as_json: bool, **given: Any) -> None:
    """Register an ENT called NAME for its ENT operator; it stays closed until `idp client accept`.

    The schools are those that the ENT operator asks for. The secret is shown this once.
    """
    metadata = options.read(name, given)
    staff = db.session.scalar(select(StaffAccount).where(StaffAccount.mailbox == fold_email(mail)))
    if staff is None:
        raise click.ClickException(f"{plain(mail)} is no operator of an ENT")
    settings, staff_id = services().settings, staff.id
    row, secret = acceptance.ask(settings, metadata, staff_id)
    show_added(row, secret, as_json=as_json)


@client.command()
@click.argument("client_id")
@click.option(
    "--uai",
    "uais",
    multiple=True,
    metavar="UAI",
    callback=options.read_uais,
    help="A school that the ENT serves; repeatable.",
)
@AS_JSON
def accept(client_id: str, uais: Sequence[str], *, as_json: bool) -> None:
    """Open an ENT that an ENT operator registered, for these schools; `idp client show` lists those it asked for.

    If the ENT is open and its operator asked for a change, make the change; give no school then.
    """
    row = registrations.get(client_id)
    if row.waiting_since is None and not uais:
        proposals.accept(services().settings, row)
        show_registration(row, as_json=as_json)
        return
    metadata = replace(rows.read(row), uais=tuple(uais))
    acceptance.accept(services().settings, row, metadata)
    show_registration(row, as_json=as_json)
    note_neighbours(uais, row)


@client.command()
@click.argument("client_id")
@click.option("--reason", required=True, callback=check_reason, help="Why; the mail to the ENT operator says it.")
def refuse(client_id: str, reason: str) -> None:
    """Refuse an ENT that an ENT operator registered, which stays closed, or a change; the ENT operator is told why."""
    row = registrations.get(client_id)
    if row.waiting_since is None:
        proposals.refuse(row, reason)
        click.echo(f"the change of {client_id} is refused")
    else:
        acceptance.refuse(row, reason)
        click.echo(f"{client_id} is refused")


REPAIRS = {
    Repair.ACCEPT: "idp client accept {client_id} --uai UAI",
    Repair.ENABLE: "idp client enable {client_id}",
    Repair.NAME_SCHOOL: "ou idp school set {value} --name NOM",
    Repair.PUBLISH_CHARTER: "idp charter publish {client_id}, ou --charter none",
    Repair.NARROW_AUDIENCE: (
        "--audience everyone ; si ce n’est pas voulu : idp client set {client_id} --audience families --uai UAI"
    ),
    Repair.ADD_SCHOOL: "idp client set {client_id} --uai UAI",
    Repair.KEEP_USERNAME: "s’il n’en a pas besoin : idp client set {client_id} --no-release-username",
    Repair.REACH_SERVICE: "voyez IDP_ISSUER, le proxy, le certificat",
    Repair.CORRECT_ISSUER: "IDP_ISSUER doit être le même",
    Repair.MAKE_KEY: "idp keys rotate --alg {value}",
    Repair.CORRECT_FIELD: "--{option}",
    Repair.CORRECT_ALGORITHM: "--auth-alg",
    Repair.TRUST_AUTHORITY: "ou nommez l’autorité dans IDP_CA_BUNDLE",
    Repair.SET_CLOCK: "et voyez l’horloge de cette machine",
    Repair.ALLOW_HOST: "si c’est voulu, nommez {value} dans IDP_OUTGOING_ALLOW",
    Repair.CORRECT_PROXY: "voyez le proxy : il doit laisser passer /authorize et tous ses paramètres",
}
"""What the engineer does, in the language of the findings."""


@client.command("test")
@click.argument("client_id")
@AS_JSON
def try_client(client_id: str, *, as_json: bool) -> None:
    """Check an ENT's registration and URIs; print the findings in French, and exit 1 if one is wrong."""
    findings: list[Finding] = []
    for step in checks.steps(services().server, registrations.get(client_id)):
        for finding in step():
            findings.append(finding)
            if not as_json:
                click.echo(f"{_mark(finding)} {plain(_message(finding, client_id))}")
    if as_json:
        rows = [{"check": each.check, "ok": each.ok, "message": _message(each, client_id)} for each in findings]
        click.echo(dumped(rows))
    if not all(finding.ok for finding in findings):
        raise SystemExit(1)


def _mark(finding: Finding) -> str:
    if finding.is_note:
        return "•"
    return "✓" if finding.ok else "✗"


def _message(finding: Finding, client_id: str) -> str:
    if finding.repair is None:
        return finding.message
    option = finding.check.replace("_", "-")
    repair = REPAIRS[finding.repair].format(client_id=client_id, value=finding.value, option=option)
    return f"{finding.message} ({repair})"
