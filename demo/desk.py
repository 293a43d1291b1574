"""The school desk of a demonstration: a person in each role, with a link to enrol until it is used."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from demo.ents import DemoEnt
from idp.accounts import directory, school_notices
from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clients.models import Client
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role, StaffAccount
from idp.desk.staff.posts import Grant
from idp.desk.team import invitations
from idp.mail.emails import fold_email
from idp.operations.personal_data import rights

HOST = "bureau.localhost"
"""Browsers make no passkey for an IP, and send the cookies of the service's host to all its ports. They find a name
below `localhost` on this machine, without a resolver (RFC 6761 6.3)."""
_PEOPLE = (
    (Role.SECRETARY, "Sylvie Marchand", "secretariat@bureau.test"),
    (Role.HEAD, "Bruno Castel", "direction@bureau.test"),
    (Role.ENT_OPERATOR, "Inès Kaddour", "exploitation@bureau.test"),
    (Role.HELPDESK, "Marc Voisin", "assistance@bureau.test"),
    (Role.DPO, "Claire Aubert", "dpd@bureau.test"),
    (Role.ENGINEER, "Yann Le Goff", "ingenierie@bureau.test"),
)
_CORRECTION = "Le nom de naissance manque. La personne a montré sa carte d’identité."


@dataclass(frozen=True)
class Colleague:
    """A person of the desk; `link` is the link to enrol, empty once the person has enrolled."""

    role: Role
    name: str
    mail: str
    schools: Sequence[str]
    link: str

    def row(self) -> dict[str, Any]:
        """Return the entry of `demo.json`."""
        return {
            "role": self.role.value,
            "name": self.name,
            "mail": self.mail,
            "schools": list(self.schools),
            "link": self.link or None,
        }


def open_notices(ents: Sequence[DemoEnt]) -> None:
    """Give the first school three notices to settle, at the first start, with what the service writes into them.

    Somebody guesses the password of a letter, a parent adds the letter of the other one, and the DPO asks for a
    correction. None of them closes an account.
    """
    if db.session.scalar(select(SchoolNotice.id).limit(1)) is not None:
        return
    school = db.session.scalars(select(School).where(School.uai == ents[0].uais[0])).one()
    families = _families(school)
    parent, other = next(people for people in families if len(people) > 1)[:2]
    guessed, corrected = [person for people in families for person in people if person not in {parent, other}][:2]
    with unit_of_work():
        for account_id in sorted((guessed, other)):
            directory.get_for_change(account_id)
        school_notices.add(Kind.LETTER_GUESSED, guessed, [school.id])
        school_notices.add(Kind.LETTER_DOUBT, other, [school.id], other_account_id=parent)
    rights.ask_correction(db.session.get_one(Account, corrected), _CORRECTION)


def _families(school: School) -> list[list[uuid.UUID]]:
    rows = db.session.execute(
        select(Guardianship.child_id, Account.id)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id == school.id, Guardianship.is_unended)
        .order_by(Account.username.desc())
    )
    families: dict[uuid.UUID, list[uuid.UUID]] = {}
    for child_id, account_id in rows:
        families.setdefault(child_id, []).append(account_id)
    return list(families.values())


def invite(settings: Settings, ents: Sequence[DemoEnt]) -> list[Colleague]:
    """Invite the missing people, and send those who have not enrolled another link. Requires the application's context.

    The secretary and the head work in the first ENT's first school.
    """
    uai = ents[0].uais[0]
    school = db.session.scalars(select(School).where(School.uai == uai)).one()
    client = db.session.scalars(select(Client).where(Client.client_id == ents[0].client_id)).one()
    grants = {
        Role.SECRETARY: Grant(Role.SECRETARY, schools=[school]),
        Role.HEAD: Grant(Role.HEAD, schools=[school]),
        Role.ENT_OPERATOR: Grant(Role.ENT_OPERATOR, clients=[client]),
    }
    colleagues = []
    for role, name, mail in _PEOPLE:
        grant, link = grants.get(role, Grant(role)), ""
        known = db.session.scalar(select(StaffAccount).where(StaffAccount.mailbox == fold_email(mail)))
        if known is None or known.enrolled_at is None:
            _, invitation = invitations.invite(settings, mail, name, grant)
            link = (invitations.url(settings, invitation) or "") if invitation else ""
        colleagues.append(Colleague(role, name, mail, [school.uai for school in grant.schools], link))
    return colleagues
