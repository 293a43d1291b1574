"""`/authorize/accord`: the question that `prompt=consent` asks for (OpenID Connect Core 3.1.2.1, 3.1.2.4).

Schools decide which ENT serves them, so nobody is asked for a consent in general. A client that wants its visitors
asked gets this page each time: it says what the ENT will be told, and the person goes on or declines.
"""

from flask import Blueprint, Response, make_response, render_template, request

from idp.clients import audience, registry, released
from idp.interaction import store
from idp.oidc.claims import release
from idp.sessions import manager
from idp.web.declarations import leads_to_ent
from idp.web.errors import InteractionLostError
from idp.web.redirects import see_other
from idp.web.security import csrf


@leads_to_ent
def agree() -> Response:
    """Show what the ENT will be told; on a POST note that this session's person agreed, and go on."""
    if request.method == "POST":
        csrf.protect()
    interaction, found = store.current(), manager.current()
    wanted = interaction.request if interaction else None
    client = registry.find(wanted.client_id) if wanted else None
    if interaction is None or wanted is None or client is None:
        raise InteractionLostError
    if found is None:  # signed out meanwhile, in another tab: the sign-in comes first, then this page again
        return see_other(store.resume_url(interaction))
    session, account = found
    if request.method == "POST":
        return see_other(store.resume_url(interaction.with_agreement(session.sid)))
    html = render_template(
        "oidc/accord.html",
        dest=client,
        account=account,
        told=released.told(
            release.scopes_told(client, wanted.scope, wanted.claims),
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
