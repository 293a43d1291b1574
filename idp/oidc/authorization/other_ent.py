"""The page `/authorize/autre-ent`, for a person whom the client may not know (`idp.clients.audience`).

It names the schools of the person's children and links to their ENTs. The client gets no response, or `access_denied`
if the person goes back to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Response, make_response, render_template, url_for

from idp.accounts import closings, directory
from idp.accounts.models import Account, School
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.clock import now
from idp.db import db
from idp.interaction import store
from idp.interaction.store import AuthorizationRequest, Interaction
from idp.sessions import manager
from idp.web.errors import InteractionLostError
from idp.web.redirects import see_other


@dataclass(frozen=True)
class _ServedSchool:
    """A school, and the ENTs that serve it."""

    school: School
    ents: Sequence[Registration]


def show() -> Response:
    """Show the schools of the person's children; resume if the client may know the person now."""
    interaction, signed_in = store.current(), manager.current()
    requested = interaction.request if interaction else None
    client = registry.find(requested.client_id) if requested else None
    if interaction is None or requested is None or client is None:
        raise InteractionLostError
    if signed_in is None or audience.may_know(client.key, signed_in[1].id):
        return see_other(store.resume_url(interaction))
    account = signed_in[1]
    schools = directory.schools(account)
    html = render_template(
        "oidc/autre_ent.html",
        dest=client,
        account=account,
        served=[_ServedSchool(school, registry.all_serving([school.uai])) for school in schools],
        closed_ties=closings.of_ties(account),
        told_school=None if schools else _school_of_letter(account),
        back_url=store.decline_url(interaction),
        other_account_url=_other_account_url(interaction, requested),
        sign_out_url=url_for("oidc.logout"),
    )
    return make_response(html)


def _school_of_letter(account: Account) -> School | None:
    """Return the school that printed the last letter of a person without children.

    The present school of a former child is not named: the person may not learn it.
    """
    return db.session.get(School, account.letter_school_id) if account.letter_school_id else None


def _other_account_url(interaction: Interaction, requested: AuthorizationRequest) -> str:
    """Return the URL of the sign-in page for the same request, with `prompt=login`."""
    prompts = dict.fromkeys([*requested.prompt.split(), "login"])
    again = replace(interaction, request=replace(requested, prompt=" ".join(prompts)), started_at=now())
    return store.page_url("login.sign_in", again)


def add_routes(blueprint: Blueprint) -> None:
    """Register the page."""
    blueprint.add_url_rule("/authorize/autre-ent", "not_this_ent", show, methods=["GET"])
