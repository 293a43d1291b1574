"""`idp staff`: the people of the desk. The journal records every command with the operator's name."""

import json
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select

from idp.accounts.models import School
from idp.clients.models import Client
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation
from idp.desk.team import invitations
from idp.mail.emails import fold_email
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, instant, plain
from idp.uai import normalised_uai

_ROLES = click.Choice([role.value for role in Role])


@click.group()
def staff() -> None:
    """People of the school desk: invite the first ones, end an access, give a lost access back."""


@staff.command()
@click.argument("mail")
@click.option("--name", required=True, help="The person's name.")
@click.option("--role", type=_ROLES, required=True, help="What the person does at the desk.")
@click.option("--school", "uais", multiple=True, metavar="UAI", help="A school of a secretary or head; repeatable.")
@click.option("--client", "client_ids", multiple=True, metavar="CLIENT_ID", help="An ENT of its operator; repeatable.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day of the role; by default 31 August.")
@AS_JSON
def invite(
    mail: str,
    name: str,
    role: str,
    uais: Sequence[str],
    client_ids: Sequence[str],
    until: datetime | None,
    *,
    as_json: bool,
) -> None:
    """Invite a person by MAIL, or give a further role to a person who has enrolled; the link is valid for 24 hours."""
    settings = _settings_with_desk()
    schools, clients = [_school(uai) for uai in uais], [_client(client_id) for client_id in client_ids]
    try:
        end = posts.until_day(until.date()) if until else None
        person, invitation = invitations.invite(settings, mail, name, posts.Grant(Role(role), schools, clients, end))
    except posts.GrantError as error:
        raise click.ClickException(plain(error)) from error
    _show(person, invitation, as_json=as_json)


def _settings_with_desk() -> Any:
    settings = services().settings
    if not settings.desk_url:
        raise click.ClickException("there is no desk: set IDP_DESK_URL")
    return settings


def _school(uai: str) -> School:
    school = db.session.scalar(select(School).where(School.uai == normalised_uai(uai)))
    if school is None:
        raise click.ClickException(f"no school {plain(uai)}")
    return school


def _client(client_id: str) -> Client:
    client = db.session.scalar(select(Client).where(Client.client_id == client_id))
    if client is None:
        raise click.ClickException(f"no client {plain(client_id)}")
    return client


def _show(person: StaffAccount, invitation: StaffInvitation | None, *, as_json: bool) -> None:
    link = invitations.url(services().settings, invitation) if invitation else None
    expires_at = instant(invitation.expires_at) if invitation else None
    if as_json:
        click.echo(json.dumps({"id": str(person.id), "link": link, "expires_at": expires_at}))
    elif link:
        click.echo(f"{plain(person.name)} enrols until {expires_at} with this link, which a mail has too:\n{link}")
    else:
        click.echo(f"{plain(person.name)} has enrolled already, and is told by mail of the new role")


@staff.command()
@click.argument("person")
@YES
def end(person: str, *, yes: bool) -> None:
    """End the access of PERSON, a mail address or an id: sessions, roles and invitations end at once."""
    known = _person(person)
    confirm(f"End the access of {known.name}?", yes=yes)
    if not invitations.disable(known.id):
        raise click.ClickException(f"the access of {plain(known.name)} had ended already")
    click.echo(f"the access of {plain(known.name)} has ended")


@staff.command()
@click.argument("person")
@AS_JSON
def reset(person: str, *, as_json: bool) -> None:
    """Give PERSON a lost access back: a link enrols anew, and its use ends the former keys, codes and sessions."""
    settings, known = _settings_with_desk(), _person(person)
    invitation = invitations.reset(settings, known.id)
    if invitation is None:
        raise click.ClickException(f"the access of {plain(known.name)} has ended: invite the person again")
    _show(known, invitation, as_json=as_json)


def _person(text: str) -> StaffAccount:
    statement = select(StaffAccount)
    try:
        statement = statement.where(StaffAccount.id == uuid.UUID(text))
    except ValueError:
        statement = statement.where(StaffAccount.mailbox == fold_email(text.strip()))
    known = db.session.scalar(statement)
    if known is None:
        raise click.ClickException(f"no person {plain(text)}")
    return known
