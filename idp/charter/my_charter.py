"""`/mon-compte/charte`: « Ma charte », the charters of a person's ENTs, and what the person accepted."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, make_response, render_template
from flask_babel import gettext
from markupsafe import Markup
from sqlalchemy import Select, func, select

from idp.accounts import directory
from idp.accounts.models import Account
from idp.charter import service
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients.models import Client, ClientSchool
from idp.db import db
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.errors import not_found


@dataclass(frozen=True)
class Acceptance:
    """A version, and when the person accepted it (None: not yet)."""

    version: CharterVersion
    accepted_at: datetime | None


@dataclass(frozen=True)
class EntCharter:
    """An ENT's charter: the current version (None if the ENT publishes none any more), and earlier accepted ones."""

    ent: str
    current: Acceptance | None
    earlier: Sequence[Acceptance]


@dataclass(frozen=True)
class Reading:
    """One version for reading, with its ENT, and whether it is the current one."""

    ent: str
    acceptance: Acceptance
    is_current: bool


def charters(account: Account) -> list[EntCharter]:
    """Return the charters of the ENTs that serve the person's schools, or that the person once accepted; by name."""
    accepted = _accepted(account.id)
    clients = db.session.scalars(_mine(account).order_by(func.lower(Client.name), Client.id)).all()
    ents = [
        _of_ent(client, [acceptance for acceptance in accepted if acceptance.version.client_id == client.id])
        for client in clients
    ]
    return [charter for charter in ents if charter.current or charter.earlier]


def find(account: Account, version_id: uuid.UUID) -> Reading | None:
    """Return a version; None if it does not exist, or belongs to an ENT that is not the person's."""
    version = db.session.get(CharterVersion, version_id)
    client = db.session.scalar(_mine(account).where(Client.id == version.client_id)) if version else None
    if version is None or client is None:
        return None
    acceptance = db.session.get(CharterAcceptance, (account.id, version.id))
    return Reading(
        ent=client.name,
        acceptance=Acceptance(version, acceptance.accepted_at if acceptance else None),
        is_current=client.charter_version_id == version.id,
    )


def _mine(account: Account) -> Select[Client]:
    uais = [school.uai for school in directory.schools(account)]
    serving = select(ClientSchool.client_id).where(ClientSchool.uai.in_(uais))
    once = (
        select(CharterVersion.client_id)
        .join(CharterAcceptance, CharterAcceptance.charter_version_id == CharterVersion.id)
        .where(CharterAcceptance.account_id == account.id)
    )
    return select(Client).where((Client.disabled_at.is_(None) & Client.id.in_(serving)) | Client.id.in_(once))


def _accepted(account_id: uuid.UUID) -> list[Acceptance]:
    rows = db.session.execute(
        select(CharterVersion, CharterAcceptance.accepted_at)
        .join(CharterAcceptance, CharterAcceptance.charter_version_id == CharterVersion.id)
        .where(CharterAcceptance.account_id == account_id)
        .order_by(CharterAcceptance.accepted_at.desc())
    )
    return [Acceptance(version, accepted_at) for version, accepted_at in rows]


def _of_ent(client: Client, accepted: Sequence[Acceptance]) -> EntCharter:
    version = db.session.get(CharterVersion, client.charter_version_id) if client.charter_version_id else None
    at = next(
        (acceptance.accepted_at for acceptance in accepted if version and acceptance.version.id == version.id), None
    )
    return EntCharter(
        ent=client.name,
        current=Acceptance(version, at) if version else None,
        earlier=[acceptance for acceptance in accepted if version is None or acceptance.version.id != version.id],
    )


blueprint = Blueprint("my_charter", __name__)


@blueprint.get("/mon-compte/charte")
@signed_in
def show(_session: Session, account: Account) -> Response:
    """Show each ENT's charter, and whether it is accepted."""
    html = render_template("charter/ma_charte.html", dest=None, charters=charters(account))
    return make_response(html)


@blueprint.get("/mon-compte/charte/<version>")
@signed_in
def read(_session: Session, account: Account, version: str) -> Response:
    """Show the text of a version, when it was published, and when it was accepted."""
    try:
        reading = find(account, uuid.UUID(version))
    except ValueError:
        not_found()
    if reading is None:
        not_found()
    html = render_template(
        "charter/charte_lue.html",
        dest=None,
        reading=reading,
        body=Markup(service.as_html(reading.acceptance.version.text)),  # noqa: S704 - Markdown rendered without raw HTML
    )
    return make_response(html)


@blueprint.app_template_global("accepted_charters")
def accepted_charters(account: Account) -> str:
    """Return the sentence for the account's page: « Acceptée pour 1 ENT sur 2 ».

    That page is in another slice, and slices do not import one another: its template calls this function.
    """
    current = [charter.current for charter in charters(account) if charter.current]
    accepted = sum(1 for acceptance in current if acceptance.accepted_at)
    if not current:
        return str(gettext("Aucune charte à accepter"))
    return str(gettext("Acceptée pour %(n)s ENT sur %(all)s", n=accepted, all=len(current)))
