"""The page `/authorize/est-ce-vous`: it asks whose account is open when a letter's QR code meets a session.

A family shares a phone: the code of one parent's letter must not open the ENT with the other parent's account. The page
says whose account it is; « Ce n’est pas vous ? » signs out, and leads to the sign-in of the same request.
"""

from flask import Blueprint, Response, make_response, render_template, request

from idp.clients import registry
from idp.db import unit_of_work
from idp.interaction import store
from idp.interaction.store import Interaction
from idp.oidc.logout import front_channel
from idp.sessions import manager
from idp.sessions.models import Session
from idp.web.declarations import leads_to_ent
from idp.web.errors import InteractionLostError
from idp.web.http import current_request
from idp.web.redirects import see_other
from idp.web.security import check_form_token


@leads_to_ent
def show() -> Response:
    """Ask whether the account is the right one; on a POST, note the answer and resume, or sign out."""
    if request.method == "POST":
        check_form_token(current_request())
    interaction, signed_in = store.current(), manager.current()
    if interaction is None or interaction.request is None:
        raise InteractionLostError
    if signed_in is None:  # signed out in another tab
        return see_other(store.resume_url(interaction))
    session, account = signed_in
    if request.method == "POST":
        if "autre" in request.form:
            return _sign_out(interaction, session)
        return see_other(store.resume_url(interaction.with_recognised(session.sid)))
    html = render_template(
        "oidc/est_ce_vous.html",
        dest=registry.find(interaction.request.client_id),
        name=account.short_name,
    )
    return make_response(html)


def _sign_out(interaction: Interaction, session: Session) -> Response:
    """End the browser's session, have the ENTs told, and continue the request."""
    target, frames = store.resume_url(interaction.without_person()), front_channel.frames(session)
    with unit_of_work():
        manager.end(session, by="page")
    response = front_channel.page(frames, target, None) if frames else see_other(target)
    manager.clear_cookie(response)
    return response


def add_routes(blueprint: Blueprint) -> None:
    """Register the page."""
    blueprint.add_url_rule("/authorize/est-ce-vous", "is_it_you", show, methods=["GET", "POST"])
