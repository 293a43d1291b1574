"""`/charte`: for clients whose charter this service shows, between the sign-in and the code."""

import uuid
from contextlib import suppress

from flask import Blueprint, Response, make_response, render_template, request
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from wtforms import BooleanField

from idp.charter import service
from idp.clients import registry
from idp.interaction import store
from idp.sessions import manager
from idp.web.declarations import leads_to_ent
from idp.web.errors import InteractionLostError
from idp.web.forms import Form
from idp.web.redirects import see_other
from idp.web.request_context import remote_ip


class CharterForm(Form):
    """One box, which is never ticked in advance."""

    accept = BooleanField(_l("J’ai lu et j’accepte la charte"), name="accepte")


blueprint = Blueprint("charter", __name__)


@blueprint.route("/charte", methods=["GET", "POST"])
@leads_to_ent
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
    html = render_template(
        "charter/charte.html",
        dest=client,
        version=charter.version.version,
        published_at=charter.version.published_at,
        body=Markup(service.as_html(charter.version.text)),  # noqa: S704 - Markdown rendered without raw HTML
        form=form,
        refuse_url=store.page_url("charter.refused", interaction),
    )
    return make_response(html)


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
