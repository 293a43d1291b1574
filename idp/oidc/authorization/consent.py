"""The page `/authorize/accord` of `prompt=consent` (OpenID Connect Core 3.1.2.1, 3.1.2.4).

Schools decide which ENT serves them, so there is no consent otherwise. With `prompt=consent` the page is shown each
time: it lists the data that the ENT receives, and the person accepts or declines.
"""

from flask import Blueprint, Response, make_response, render_template, request

from idp.clients import audience, registry, released
from idp.interaction import store
from idp.login import known_accounts
from idp.oidc.claims import release
from idp.sessions import manager
from idp.web.declarations import leads_to_ent
from idp.web.errors import InteractionLostError
from idp.web.http import current_request
from idp.web.redirects import see_other
from idp.web.security import check_form_token


@leads_to_ent
def agree() -> Response:
    """Show the data that the ENT receives; on a POST, note the agreement of this session's person and resume."""
    if request.method == "POST":
        check_form_token(current_request())
    interaction, signed_in = store.current(), manager.current()
    requested = interaction.request if interaction else None
    client = registry.find(requested.client_id) if requested else None
    if interaction is None or requested is None or client is None:
        raise InteractionLostError
    if signed_in is None:  # signed out in another tab: the person signs in first, then sees this page again
        return see_other(store.resume_url(interaction))
    session, account = signed_in
    if request.method == "POST":
        return see_other(store.resume_url(interaction.with_agreement(session.sid)))
    html = render_template(
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
    return make_response(html)


def add_routes(blueprint: Blueprint) -> None:
    """Register the page."""
    blueprint.add_url_rule("/authorize/accord", "agree", agree, methods=["GET", "POST"])
