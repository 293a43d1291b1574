"""The pages of the dispatcher that ask about a request: the agreement, the account, the school.

`/authorize/accord` of `prompt=consent` (OpenID Connect Core 3.1.2.1, 3.1.2.4): schools decide which ENT serves them, so
there is no consent otherwise. With `prompt=consent` the page is shown each time: it lists the data that the ENT
receives, and the person accepts or declines.

`/authorize/est-ce-vous`, when a letter's QR code meets a session: a family shares a phone, and the code of one parent's
letter must not open the ENT with the other parent's account. The page says whose account it is; « Ce n’est pas vous ? »
signs out, and leads to the sign-in of the same request.

`/authorize/autre-ent`, for a person whom the client may not know (`idp.clients.audience`): it names the schools of the
person's children and links to their ENTs. The client gets no response, or `access_denied` if the person goes back.
"""

from dataclasses import replace

from flask import Response, request, url_for

from idp.accounts import account_state, directory
from idp.accounts.models import School
from idp.clients import audience, registry, released
from idp.clock import now
from idp.db import db, unit_of_work
from idp.interaction import store
from idp.interaction.store import AuthorizationRequest, Interaction
from idp.login import known_accounts
from idp.oidc.claims import release
from idp.oidc.logout import front_channel
from idp.sessions import manager
from idp.sessions.models import Session
from idp.web.declarations import Trait, declares
from idp.web.errors import InteractionLostError
from idp.web.http import current_request
from idp.web.redirects import render_page, see_other
from idp.web.security import check_form_token


def _request() -> tuple[Interaction, AuthorizationRequest, registry.Registration]:
    interaction = store.current()
    requested = interaction.request if interaction else None
    client = registry.find(requested.client_id) if requested else None
    if interaction is None or requested is None or client is None:
        raise InteractionLostError
    return interaction, requested, client


def not_this_ent() -> Response:
    """Show the schools of the person's children; resume if the client may know the person now."""
    interaction, requested, client = _request()
    signed_in = manager.current()
    if signed_in is None or audience.may_know(client.key, signed_in[1].id):
        return see_other(store.resume_url(interaction))
    account = signed_in[1]
    schools = directory.schools(account)
    # the present school of a former child is not named: the person may not learn it
    of_letter = db.session.get(School, account.letter_school_id) if account.letter_school_id and not schools else None
    return render_page(
        "oidc/autre_ent.html",
        dest=client,
        account=account,
        served=[(school, registry.all_serving([school.uai])) for school in schools],
        closed_ties=account_state.of_ties(account),
        told_school=of_letter,
        back_url=store.decline_url(interaction),
        other_account_url=_other_account_url(interaction, requested),
        sign_out_url=url_for("oidc.logout"),
    )


def _other_account_url(interaction: Interaction, requested: AuthorizationRequest) -> str:
    prompts = dict.fromkeys([*requested.prompt.split(), "login"])
    again = replace(interaction, request=replace(requested, prompt=" ".join(prompts)), started_at=now())
    return store.page_url("login.sign_in", again)


@declares(Trait.LEADS_TO_ENT)
def is_it_you() -> Response:
    """Ask whether the account is the right one; on a POST, note the answer and resume, or sign out."""
    if request.method == "POST":
        check_form_token(current_request())
    interaction, _, client = _request()
    signed_in = manager.current()
    if signed_in is None:  # signed out in another tab
        return see_other(store.resume_url(interaction))
    session, account = signed_in
    if request.method == "POST":
        if "autre" in request.form:
            return _sign_out(interaction, session)
        return see_other(store.resume_url(replace(interaction, recognised=session.sid)))
    return render_page("oidc/est_ce_vous.html", dest=client, name=account.short_name)


def _sign_out(interaction: Interaction, session: Session) -> Response:
    target, frames = store.resume_url(interaction.without_person()), front_channel.frames(session)
    with unit_of_work():
        manager.end(session, by="page")
    response = front_channel.page(frames, target, None) if frames else see_other(target)
    manager.clear_cookie(response)
    return response


@declares(Trait.LEADS_TO_ENT)
def agree() -> Response:
    """Show the data that the ENT receives; on a POST, note the agreement of this session's person and resume."""
    if request.method == "POST":
        check_form_token(current_request())
    interaction, requested, client = _request()
    signed_in = manager.current()
    if signed_in is None:  # signed out in another tab: the person signs in first, then sees this page again
        return see_other(store.resume_url(interaction))
    session, account = signed_in
    if request.method == "POST":
        return see_other(store.resume_url(replace(interaction, agreed=session.sid)))
    return render_page(
        "oidc/accord.html",
        dest=client,
        account=account,
        other_url=known_accounts.url(interaction),
        told=released.sentences_of(
            release.released_scopes(client, requested.scope, requested.claims),
            username=client.release_username,
            child=audience.knows_child(client.key, account.id),
        ),
        policy_uri=client.policy_uri,
        refuse_url=store.decline_url(interaction),
    )
