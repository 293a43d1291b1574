"""`/ent/…/changement` of the desk: the engineer accepts or refuses a change that an ENT operator asked for."""

from uuid import UUID

from flask import Response, make_response, render_template, request, url_for

from idp.clients.models import Client
from idp.desk import access
from idp.desk.access import Right, needs
from idp.desk.ents import acceptance_views, proposals, proposed
from idp.desk.ents.acceptance_views import RefusalForm
from idp.desk.ents.fault_words import sentence
from idp.desk.ents.views import blueprint
from idp.desk.kept_forms import keeps
from idp.registration.faults import RegistrationRefusedError
from idp.services import services
from idp.web.redirects import button_on, see_other


@blueprint.get("/ent/<uuid:key>/changement")
@needs(Right.DECIDE_ENTS, fresh=True)
def read_change(key: UUID) -> Response:
    """Show the engineer a change that waits."""
    return _page(access.client(key), RefusalForm())


@blueprint.post("/ent/<uuid:key>/changement")
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps()
def accept_change(key: UUID) -> Response:
    """Make a change that waits."""
    client, refusal = access.client(key), RefusalForm()
    try:
        acceptance_views.check_version(client)
        proposals.accept(services().settings, client)
    except RegistrationRefusedError as refused:
        refusal.form_errors.extend(map(sentence, refused.faults))
        return _page(client, refusal)
    return see_other(url_for("ents.detail", key=key, fait="change-accepte"))


@blueprint.post("/ent/<uuid:key>/changement/refus")
@needs(Right.DECIDE_ENTS, fresh=True)
@keeps("reason")
def refuse_change(key: UUID) -> Response:
    """Refuse a change that waits, with a reason that its operator reads."""
    client, refusal = access.client(key), RefusalForm()
    reason = refusal.sentence()
    if not reason:
        return _page(client, refusal)
    try:
        acceptance_views.check_version(client)
        proposals.refuse(client, reason)
    except RegistrationRefusedError as refused:
        refusal.form_errors.extend(map(sentence, refused.faults))
        return _page(client, refusal)
    return see_other(url_for("ents.detail", key=key, fait="change-refuse"))


@blueprint.post("/ent/<uuid:key>/changement/retrait")
@button_on("ents.detail")
@needs(Right.MANAGE_ENTS)
@keeps()
def withdraw_change(key: UUID) -> Response:
    """Drop a change that waits, as an operator of the ENT; the engineer refuses it, with a reason."""
    client = access.client(key)
    if access.may(Right.DECIDE_ENTS):
        access.refuse(str(key))
    try:
        proposals.withdraw(client, request.form.get("waiting", ""), access.person().staff.id)
    except RegistrationRefusedError:
        return see_other(url_for("ents.detail", key=key, fait="autre"))
    return see_other(url_for("ents.detail", key=key, fait="retire"))


def _page(client: Client, refusal: RefusalForm) -> Response:
    waiting = proposed.find(client)
    if waiting is None:
        return see_other(url_for("ents.detail", key=client.id, fait="tard"))
    html = render_template("desk/ents/changement.html", client=client, proposed=waiting, refusal=refusal)
    return make_response(html)
