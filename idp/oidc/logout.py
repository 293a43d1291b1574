"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): at once for a good hint, else after a question.

The browser goes back to an ENT only by a registered address, for a hint that is an ID token of this very session, or
when there is no session.
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, render_template, request

from idp.accounts import directory
from idp.accounts.models import Account
from idp.clients import registry
from idp.clients.registry import Registration
from idp.db import db
from idp.oidc import claims, frontchannel
from idp.oidc.hints import read_id_token
from idp.oidc.parameters import ParameterError, as_get, parse, posted
from idp.oidc.server import of_app
from idp.sessions import manager
from idp.web.redirects import see_other
from idp.web.security import csrf


@dataclass(frozen=True)
class _Asked:
    """A logout request: the client that is certain (by its hint), whether the hint is this session's, where to go."""

    client: Registration | None
    own_session: bool
    target: str


def logout() -> Response:
    """End the session: at once when the hint is its own ID token, after a confirmation otherwise."""
    confirmed = request.method == "POST" and "csrf_token" in request.form
    if confirmed:
        csrf.protect()
    elif request.method == "POST" and (again := as_get(posted())):
        return again
    asked = _read()
    found = manager.current()
    if found and not confirmed and not asked.own_session:
        fields = {"client_id": asked.client.client_id} if asked.client else {}
        return make_response(render_template("oidc/deconnexion.html", dest=asked.client, fields=fields))
    ent = asked.client or (_ent_of(found[1]) if found else None)
    told = frontchannel.frames(found[0]) if found else []
    if found:
        manager.end(found[0], by=asked.client.client_id if asked.client else "page")
        db.session.commit()
    if told:
        response = frontchannel.page(told, asked.target, ent)
    else:
        response = see_other(asked.target) if asked.target else _signed_out(ent)
    manager.clear_cookie(response)
    return response


def _read() -> _Asked:
    server = of_app()
    encoded = request.get_data() if request.method == "POST" and request.form else request.query_string
    try:
        parameters = parse(encoded)
    except ParameterError:
        return _Asked(None, own_session=False, target="")
    hint = parameters.get("id_token_hint", "")
    identity = read_id_token(server.settings, server.ring, hint) if hint else None
    if identity is None:
        return _Asked(_named(parameters.get("client_id", "")), own_session=False, target="")
    client = _named(str(identity.get("aud")))
    if client is None or parameters.get("client_id", client.client_id) != client.client_id:
        return _Asked(None, own_session=False, target="")
    found = manager.current()
    own = found is not None and identity["sid"] == found[0].sid
    if found and own:
        own = identity["sub"] == claims.subject(client, found[1].id, found[1].join_key)
    target = ""
    if own or found is None:
        target = _target(client, parameters.get("post_logout_redirect_uri", ""), parameters.get("state"))
    return _Asked(client, own_session=own, target=target)


def _named(client_id: str) -> Registration | None:
    """Return the client as the database has it. Named without a hint, it is good for a link, not for a redirect."""
    return registry.find(client_id, fresh=True) if client_id else None


def _target(client: Registration, uri: str, state: str | None) -> str:
    """Return the registered address to go back to, with the state that came; empty unless it is registered so."""
    if uri not in client.post_logout_redirect_uris:
        return ""
    if state is None:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': state})}"


def _ent_of(account: Account) -> Registration | None:
    return registry.serving(school.uai for school in directory.schools(account))


def _signed_out(client: Registration | None) -> Response:
    return make_response(render_template("oidc/deconnecte.html", dest=client))


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/logout", "logout", logout, methods=["GET", "POST"])
