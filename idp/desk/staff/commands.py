"""`idp staff`: the people of the desk. The journal records every command with the operator's name."""

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from sqlalchemy import select

from idp.accounts.models import School
from idp.clients.models import Client
from idp.clock import last_day, now
from idp.db import db
from idp.desk.staff import invitations, posts, team
from idp.desk.staff.invitations import Grant, InvitationError
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole
from idp.desk.staff.posts import PostError
from idp.mail.emails import fold_email
from idp.services import services
from idp.terminal import AS_JSON, YES, confirm, dumped, instant, plain, table
from idp.uai import normalised_uai

_ROLES = click.Choice([role.value for role in Role])


@click.group()
def staff() -> None:
    """People of the school desk: invite them, list them, end their access, give a lost access back."""


@contextmanager
def _as_click_error() -> Iterator[None]:
    try:
        yield
    except (InvitationError, PostError) as error:
        raise click.ClickException(plain(error)) from error


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
    with _as_click_error():
        end = posts.until_day(until.date()) if until else None
        person, invitation = invitations.invite(settings, mail, name, Grant(Role(role), schools, clients, end))
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


@staff.command("list")
@click.option("--school", "uai", metavar="UAI", help="Only people with a role in this school.")
@AS_JSON
def list_staff(uai: str | None, *, as_json: bool) -> None:
    """List the people of the desk with their roles in force."""
    people = select(StaffAccount).order_by(StaffAccount.name)
    if uai:
        here = select(StaffRole.staff_id).where(StaffRole.school_id == _school(uai).id, posts.in_force(now()))
        people = people.where(StaffAccount.id.in_(here))
    in_force = posts.by_staff(StaffRole.staff_id.in_(people.order_by(None).with_only_columns(StaffAccount.id)))
    rows = [_row(person, in_force.get(person.id, [])) for person in db.session.scalars(people)]
    if as_json:
        click.echo(dumped(rows))
    else:
        head = ("id", "name", "mail", "state", "roles")
        table(head, [(row["id"], row["name"], row["mail"], row["state"], " ".join(row["shown"])) for row in rows])


def _row(person: StaffAccount, in_force: Sequence[posts.Post]) -> dict[str, Any]:
    state = "ended" if person.disabled_at else "enrolled" if person.enrolled_at else "invited"
    return {
        "id": str(person.id),
        "name": person.name,
        "mail": person.email,
        "state": state,
        "roles": sorted({post.role.value for post in in_force}),
        "schools": sorted({post.school.uai for post in in_force if post.school}),
        "clients": sorted({post.client.client_id for post in in_force if post.client}),
        "until": max((last_day(post.valid_until).isoformat() for post in in_force), default=None),
        "last_sign_in_at": instant(person.last_sign_in_at),
        "shown": [f"{post.role.value}@{_scope(post)}" for post in in_force],
    }


def _scope(post: posts.Post) -> str:
    if post.school:
        return post.school.uai
    return post.client.client_id if post.client else "academy"


@staff.command()
@click.argument("person")
@click.option("--role", type=_ROLES, help="End only this role, and keep the access.")
@click.option("--school", "uai", metavar="UAI", help="The school of the role.")
@click.option("--client", "client_id", metavar="CLIENT_ID", help="The ENT of the role.")
@YES
def end(person: str, role: str | None, uai: str | None, client_id: str | None, *, yes: bool) -> None:
    """End the access of PERSON, a mail address or an id: sessions, roles and invitations end at once.

    With --role, only that role ends.
    """
    known = _person(person)
    if role is not None:
        _end_role(known, Role(role), uai, client_id)
        return
    if uai or client_id:
        raise click.UsageError("--school and --client are for --role")
    confirm(f"End the access of {known.name}?", yes=yes)
    if not invitations.disable(known.id):
        raise click.ClickException(f"the access of {plain(known.name)} had ended already")
    click.echo(f"the access of {plain(known.name)} has ended")


def _end_role(known: StaffAccount, role: Role, uai: str | None, client_id: str | None) -> None:
    school, client = _school(uai) if uai else None, _client(client_id) if client_id else None
    held = [
        post
        for post in posts.of_staff(known.id)
        if post.role is role and (post.school, post.client) == (school, client)
    ]
    if not held:
        raise click.ClickException(f"{plain(known.name)} does not have this role: see `idp staff list`")
    team.end(held[0].id, by=Role.ENGINEER)
    click.echo(f"{plain(known.name)} no longer is {role.value}@{_scope(held[0])}")


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
