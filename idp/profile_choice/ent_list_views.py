"""`/mon-ent`."""

from dataclasses import dataclass

from flask import Blueprint, render_template
from sqlalchemy import select

from idp.accounts.models import School
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.clients.registry import Registration
from idp.db import db

_MOST = 5000
"""The most schools on the page."""


@dataclass(frozen=True)
class Entry:
    """An ENT that has an address, and the names of its schools."""

    ent: Registration
    schools: list[str]


def entries() -> list[Entry]:
    """Return the ENTs by name, each with its schools by name; a school without a name of its own is left out."""
    rows = db.session.execute(
        select(Client.id, School)
        .join(ClientSchool, ClientSchool.client_id == Client.id)
        .join(School, School.uai == ClientSchool.uai)
        .where(Client.disabled_at.is_(None))
        .order_by(School.name)
        .limit(_MOST)
    ).all()
    schools: dict[object, list[str]] = {}
    for key, school in rows:
        if school.is_named:
            schools.setdefault(key, []).append(school.name)
    ents = registry.all_serving({school.uai for _, school in rows})
    return [Entry(ent, schools[ent.key]) for ent in ents if ent.home and ent.key in schools]


blueprint = Blueprint("ent_list", __name__)


@blueprint.get("/mon-ent")
def show() -> str:
    """« Trouvez votre ENT »: a link to each ENT, with its schools."""
    return render_template("profile_choice/mon_ent.html", dest=None, entries=entries())
