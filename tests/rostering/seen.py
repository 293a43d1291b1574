"""The stored state after an import, for comparisons: by the keys of the files, without ids and random numbers."""

import json
import re
from typing import Any

from sqlalchemy import select, update

from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School
from idp.clock import now
from idp.db import db
from tests.commands.conftest import Run


def imported(run: Run, *arguments: object, code: int = 0, command: str = "import") -> Any:
    answer = run("roster", command, *map(str, arguments), "--json")
    assert answer.code == code, answer.err
    return json.loads(answer.out)


def codes(report: dict[str, Any]) -> list[str]:
    return [issue["code"] for issue in report["issues"]]


def state() -> dict[str, Any]:
    db.session.rollback()
    accounts = db.session.scalars(select(Account)).all()
    children = db.session.scalars(select(Child)).all()
    keys = {account.id: account.roster_key for account in accounts} | {child.id: child.roster_key for child in children}
    schools = {school.id: school for school in db.session.scalars(select(School))}
    links = db.session.scalars(select(Guardianship)).all()
    data = {
        "schools": sorted((s.uai, s.name, s.degree.value, s.roster_key, s.source) for s in schools.values()),
        "accounts": sorted(
            (
                str(a.roster_key), re.sub(r"\d+", "0", a.username),
                a.civility, a.family_name, a.given_name, a.birth_name,
                tuple(a.address_lines), a.postcode, a.city, a.country, a.school_email or "", a.address_diffusion,
                a.join_key, a.name_key, a.has_left, a.disabled_at is None,
            )
            for a in accounts
        ),
        "children": sorted(
            (
                str(c.roster_key), schools[c.school_id].uai, c.student_id, c.family_name, c.given_name, c.class_name,
                c.left_at is None,
            )
            for c in children
        ),
        "links": sorted(
            (str(keys[g.account_id]), str(keys[g.child_id]), g.kinship, g.authority, g.ended_at is None) for g in links
        ),
        "aliases": sorted((a.roster_key, str(keys[a.account_id])) for a in db.session.scalars(select(RosterAlias))),
    }  # fmt: skip
    db.session.rollback()
    return data


def account(key: str) -> Account:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalars(select(Account).where(Account.roster_key == f"aaf:{key}")).one()


def children_of(key: str) -> list[str]:
    return sorted(child.given_name for child in account(key).children)


def disable(person: Account) -> None:
    """Disable an account as something else than its departure does."""
    db.session.execute(update(Account).where(Account.id == person.id).values(disabled_at=now()))
    db.session.commit()
