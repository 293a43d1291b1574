"""The charters of ENTs: `/charte`, between the sign-in and the code, and `/mon-compte/charte`, « Ma charte »."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from flask import Blueprint, Response, abort, request
from flask_babel import gettext, lazy_gettext as _l
from markupsafe import Markup
from sqlalchemy import Select, func, select
from wtforms import BooleanField

from idp.accounts import directory
from idp.accounts.models import Account
from idp.charter import service
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients import registry
from idp.clients.models import Client, ClientSchool
from idp.db import db
from idp.interaction import store
from idp.sessions import manager
from idp.sessions.guard import signed_in
from idp.sessions.models import Session
from idp.web.declarations import Trait, declares
from idp.web.errors import InteractionLostError
from idp.web.forms import Form
from idp.web.redirects import render_page, see_other
from idp.web.request_context import remote_ip


class CharterForm(Form):
    """One box, which is never ticked in advance."""

    accept = BooleanField(_l("J’ai lu et j’accepte la charte"), name="accepte")


blueprint = Blueprint("charter", __name__)


@blueprint.route("/charte", methods=["GET", "POST"])
@declares(Trait.LEADS_TO_ENT)
def show() -> Response:
    """Show the charter to accept; on a POST record the acceptance and continue, or show what is missing."""
    asked = _asked()
    if isinstance(asked, Response):
        return asked
    interaction, client, account_id, charter = asked
    form = CharterForm()
    if request.method == "POST":
        if form.accept.data:
            try:
                shown = request.form.get("version", "")[: service.LONGEST_VERSION]
                with suppress(service.AccountRemovedError):  # signed out: the next step is the sign-in
                    service.accept(client.key, account_id, shown, ip=remote_ip(), shown_by="provider")
                return see_other(store.resume_url(interaction))
            except service.UnknownVersionError:
                form.accept.errors = [gettext("La charte a changé entre-temps : lisez la nouvelle version.")]
        else:
            form.accept.errors = [gettext("Cochez la case pour accepter, ou touchez « Refuser ».")]
    return render_page(
        "charter/charte.html",
        dest=client,
        version=charter.version.version,
        published_at=charter.version.published_at,
        body=Markup(service.as_html(charter.version.text)),  # noqa: S704 - Markdown rendered without raw HTML
        form=form,
        refuse_url=store.page_url("charter.refused", interaction),
    )


@blueprint.get("/charte/refus")
def refused() -> Response:
    """« Refuser »: answer the ENT with `access_denied`; no code is issued, and the account does not change."""
    asked = _asked()
    if isinstance(asked, Response):
        return asked
    interaction, client, account_id, charter = asked
    service.refuse(client.key, account_id, charter.version.version)
    return see_other(store.decline_url(interaction))


def _asked() -> tuple[store.Interaction, registry.Registration, uuid.UUID, service.Current] | Response:
    """Return the interaction, its client, the person's account, and the charter to accept.

    If the person signed out in another tab, or has accepted it, return the redirection to the next step.
    """
    interaction, current = store.current(), manager.current()
    client = store.client_of(interaction)
    if interaction is None or client is None:
        raise InteractionLostError
    charter = service.current(client.key, current[1].id) if current else None
    if current is None or charter is None or charter.accepted_at is not None:
        return see_other(store.resume_url(interaction))
    return interaction, client, current[1].id, charter


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


def charters(account: Account) -> list[EntCharter]:
    """Return the charters of the ENTs that serve the person's schools, or that the person once accepted; by name."""
    accepted = _accepted(account.id)
    clients = db.session.scalars(_mine(account).order_by(func.lower(Client.name), Client.id)).all()
    ents = [
        _of_ent(client, [acceptance for acceptance in accepted if acceptance.version.client_id == client.id])
        for client in clients
    ]
    return [charter for charter in ents if charter.current or charter.earlier]


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


@blueprint.get("/mon-compte/charte")
@signed_in
def show_own(_session: Session, account: Account) -> Response:
    """Show each ENT's charter, and whether it is accepted."""
    return render_page("charter/ma_charte.html", dest=None, charters=charters(account))


@blueprint.get("/mon-compte/charte/<version>")
@signed_in
def read(_session: Session, account: Account, version: str) -> Response:
    """Show the text of a version of the person's ENTs, when it was published, and when it was accepted."""
    try:
        chosen = db.session.get(CharterVersion, uuid.UUID(version))
    except ValueError:
        abort(404)
    client = db.session.scalar(_mine(account).where(Client.id == chosen.client_id)) if chosen else None
    if chosen is None or client is None:
        abort(404)
    acceptance = db.session.get(CharterAcceptance, (account.id, chosen.id))
    return render_page(
        "charter/charte_lue.html",
        dest=None,
        ent=client.name,
        version=chosen,
        accepted_at=acceptance.accepted_at if acceptance else None,
        is_current=client.charter_version_id == chosen.id,
        body=Markup(service.as_html(chosen.text)),  # noqa: S704 - Markdown rendered without raw HTML
    )


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
