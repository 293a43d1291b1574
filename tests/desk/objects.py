"""The objects behind the routes of the desk, for the access matrix: each is made in a school.

A route with an object's id, or one whose query names something of a school, has an entry in `OBJECTS`.
"""

import itertools
import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.jobs.models import Job, State
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.rostering.models import ImportBatch
from tests.closed import dispute_tie
from tests.desk.colleagues import Colleagues
from tests.my_account.passkeys import store_passkey

_numbers = itertools.count(1)
Ids = dict[str, Any]
Make = Callable[[Colleagues, str], Ids]


def _invitation(colleagues: Colleagues, _uai: str) -> Ids:
    return {"token": colleagues.invited().rpartition("/")[2]}


def _job(colleagues: Colleagues, uai: str) -> Ids:
    """Make a job of another person of the school, and the id of a file that it does not have."""
    staff = colleagues.person()
    role = colleagues.grant(staff, Role.HEAD, uai=uai)
    row = Job(kind="trial", staff_id=staff.id, role_id=role.id, school_id=role.school_id)
    db.session.add(row)
    db.session.commit()
    return {"key": row.id, "file": uuid.uuid4()}


def _print(colleagues: Colleagues, uai: str) -> Ids:
    """Make a print of the school, of which somebody got a letter."""
    key = _job(colleagues, uai)["key"]
    row = db.session.get_one(Job, key)
    row.kind, row.state, row.finished_at = "print", State.DONE, now()
    row.parameters = {"class": None, "slips": False, "renew": False}
    account = colleagues.build.never_activated(children=[colleagues.build.child(uai=uai)])
    row.result = {"letters": 1, "people": [str(account.id)]}
    db.session.commit()
    return {"key": key}


def _guardian(colleagues: Colleagues, uai: str) -> Account:
    return colleagues.build.active(children=[colleagues.build.child(uai=uai)])


def _account(colleagues: Colleagues, uai: str) -> Ids:
    account = _guardian(colleagues, uai)
    return {"key": account.id, "account": account.id}


def _with_passkey(colleagues: Colleagues, uai: str) -> Ids:
    ids = _account(colleagues, uai)
    store_passkey(ids["account"])
    return ids


def _suspension(colleagues: Colleagues, uai: str) -> Ids:
    account = _guardian(colleagues, uai)
    decision = Decision(reason="le juge a décidé", school=colleagues.build.school(uai))
    row = closing.close(account.id, decision)
    db.session.commit()
    return {"account": account.id, "decision": row.id}


def _call(colleagues: Colleagues, uai: str) -> Ids:
    """Make a guardian and a pupil, of whom the guardian says that it is not the own child."""
    account = _guardian(colleagues, uai)
    return {"account": account.id, "child": account.guardianships[0].child_id}


def _class(colleagues: Colleagues, uai: str) -> Ids:
    child = colleagues.build.child(uai=uai)
    child.class_name = f"6e {uai}"
    db.session.commit()
    return {"classe": child.class_name}


def _school(colleagues: Colleagues, uai: str) -> Ids:
    return {"key": colleagues.build.school(uai).id}


def _role(colleagues: Colleagues, uai: str) -> Ids:
    """Make a secretary of the school, whose role is the object."""
    return {"key": colleagues.grant(colleagues.person(), Role.SECRETARY, uai=uai).id}


def _ent(colleagues: Colleagues, uai: str) -> Ids:
    """Make an ENT that serves this school only, with a charter."""
    number = next(_numbers)
    ent = colleagues.build.ent(f"ENT {number}", f"ent{number}.test", uais=[uai])
    colleagues.build.publish(ent, "1")
    client = db.session.scalars(select(Client).where(Client.client_id == ent.client_id)).one()
    version = db.session.scalars(select(CharterVersion).where(CharterVersion.client_id == client.id)).one()
    return {"key": client.id, "version": version.id}


def _waiting_ent(colleagues: Colleagues, uai: str) -> Ids:
    ids, operator = _ent(colleagues, uai), colleagues.person()
    client = db.session.get_one(Client, ids["key"])
    colleagues.grant(operator, Role.ENT_OPERATOR, client_id=client.client_id)
    client.waiting_since, client.asked_by = now(), operator.id
    db.session.commit()
    return ids


def _proposed_change(colleagues: Colleagues, uai: str) -> Ids:
    """Make an ENT of which a change waits for the académie."""
    ids, operator = _ent(colleagues, uai), colleagues.person()
    client = db.session.get_one(Client, ids["key"])
    colleagues.grant(operator, Role.ENT_OPERATOR, client_id=client.client_id)
    asked = {"asked_at": now().isoformat(), "by": str(operator.id), "metadata": {"name": "Autre"}}
    client.pending_metadata = asked
    db.session.commit()
    return ids


def _notice(colleagues: Colleagues, uai: str) -> Ids:
    account = _guardian(colleagues, uai)
    for tie in account.guardianships:
        dispute_tie(tie)
    db.session.commit()
    with unit_of_work():
        school_notices.add(Kind.NOT_GUARDIAN, account.id, [colleagues.build.school(uai).id])
    notice = db.session.scalars(select(SchoolNotice).where(SchoolNotice.account_id == account.id)).one()
    return {"notice": notice.id, "reply": "rejet"}


def _import(colleagues: Colleagues, uai: str) -> Ids:
    batch = ImportBatch(format="csv", mode="import", state="done", files=["x.csv"], schools=[uai], finished_at=now())
    db.session.add(batch)
    db.session.commit()
    return {"key": batch.id}


def _pupil(colleagues: Colleagues, uai: str) -> Ids:
    return {"pupil": colleagues.build.child(uai=uai).id}


OBJECTS: dict[str, Make] = {
    "accounts.resend": _account,
    "accounts.show": _account,
    "accounts.unlock": _account,
    "decisions.call": _call,
    "decisions.restore": _call,
    "classes.letters": _class,
    "classes.names": _class,
    "classes.names_csv": _class,
    "classes.remind": _class,
    "enrolment.enrol": _invitation,
    "enrolment.begin_passkey": _invitation,
    "enrolment.begin_password": _invitation,
    "ents.accept": _waiting_ent,
    "ents.detail": _ent,
    "ents.accept_change": _proposed_change,
    "ents.draft": _ent,
    "ents.edit": _ent,
    "ents.publish": _ent,
    "ents.read_change": _proposed_change,
    "ents.read_charter": _ent,
    "ents.refuse": _waiting_ent,
    "ents.refuse_change": _proposed_change,
    "ents.secret": _ent,
    "ents.trial": _ent,
    "ents.withdraw_change": _proposed_change,
    "ents.write_charter": _ent,
    "accounts.family": _pupil,
    "files.compare": _job,
    "files.decline": _job,
    "files.import_": _job,
    "files.problems": _import,
    "files.problems_csv": _import,
    "files.send": _job,
    "files.sheet": _job,
    "files.withdraw": _job,
    "jobs.show": _job,
    "jobs.cancel": _job,
    "jobs.content": _job,
    "jobs.hand_out": _job,
    "jobs.take": _job,
    "letter.draw": _account,
    "letter.show": _account,
    "decisions.answer": _notice,
    "decisions.notice": _notice,
    "accounts.remove_passkeys": _with_passkey,
    "accounts.passkeys": _with_passkey,
    "people.confirm": _account,
    "people.copy": _account,
    "people.erase": _account,
    "people.erased": _account,
    "people.person": _account,
    "people.rectify": _account,
    "prints.again": _print,
    "school.edit": _school,
    "school.preview": _school,
    "decisions.closed": _suspension,
    "decisions.reopen": _suspension,
    "decisions.close": _account,
    "team.end": _role,
    "team.give_back": _role,
}
"""For each endpoint: makes an object in a school; returns the variable parts of the URL (further values are left out),
or, for a path without variable parts, the parameters of the query."""
NOT_WHOLE = frozenset(
    {"files.compare", "files.decline", "files.import_", "files.send", "files.sheet", "files.withdraw"}
)
"""Endpoints whose object needs more than the school, such as a file that was uploaded: only refusals are tried."""
NARROWER: dict[str, frozenset[Role]] = {
    "ents.withdraw_change": frozenset({Role.ENGINEER}),
    "jobs.cancel": frozenset(Role) - {Role.HEAD},
}
"""Endpoints that refuse roles which have the right: who refuses a change of an ENT does not withdraw it; the direction
decides about the jobs of its team."""


class Kept:
    """Objects of one school, each made once: for requests that are refused and so change nothing."""

    def __init__(self, colleagues: Colleagues, uai: str) -> None:
        self._colleagues, self._uai = colleagues, uai
        self._made: dict[Make, Ids] = {}

    def ids(self, endpoint: str) -> Ids:
        """Return the values of the variable parts of a route."""
        make = OBJECTS.get(endpoint)
        if make is None:
            return {}
        if make not in self._made:
            self._made[make] = make(self._colleagues, self._uai)
        return self._made[make]
