"""`/authorize/autre-ent`: the page for a person whom the client of the request may not know (`idp.clients.audience`).

It names the schools of the person's children and leads to their ENTs. The client is told nothing, unless the person
goes back to it: then it is told `access_denied`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Blueprint, Response, make_response, render_template, url_for

from idp.accounts import directory
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
    """Show where the person's children are; go on if the client may know the person after all."""
    interaction, found = store.current(), manager.current()
    wanted = interaction.request if interaction else None
    client = registry.find(wanted.client_id) if wanted else None
    if interaction is None or wanted is None or client is None:
        raise InteractionLostError
    if found is None or audience.may_know(client.key, found[1].id):
        return see_other(store.resume_url(interaction))
    account = found[1]
    schools = directory.schools(account)
    html = render_template(
        "oidc/autre_ent.html",
        dest=client,
        account=account,
        served=[_ServedSchool(school, registry.all_serving([school.uai])) for school in schools],
        told_school=None if schools else _school_of_letter(account),
        back_url=store.decline_url(interaction),
        other_account_url=_other_account_url(interaction, wanted),
        sign_out_url=url_for("oidc.logout"),
    )
    return make_response(html)


def _school_of_letter(account: Account) -> School | None:
    """Return the school that printed the last letter of a person who has no child here.

    The present school of a former child is not named: it is not this person's affair any more.
    """
    return db.session.get(School, account.letter_school_id) if account.letter_school_id else None


def _other_account_url(interaction: Interaction, wanted: AuthorizationRequest) -> str:
    """Return the sign-in page for the same request, which the person who is signed in now has to pass again."""
    prompts = dict.fromkeys([*wanted.prompt.split(), "login"])
    again = replace(interaction, request=replace(wanted, prompt=" ".join(prompts)), started_at=now())
    return store.page_url("login.sign_in", again)


def add_routes(blueprint: Blueprint) -> None:
    """Register the page."""
    blueprint.add_url_rule("/authorize/autre-ent", "not_this_ent", show, methods=["GET"])
