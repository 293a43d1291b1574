"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): at once for a good hint, else after a question.

The browser goes back to an ENT only by an address that the ENT registered: for a hint that is an ID token of this very
session, or when the browser has no session; once the person has confirmed, also for a former ID token of theirs, or for
the `client_id` alone. A session that was left alone too long to open anything is signed out of like any other, and so
is that of a hint where the browser was closed and has forgotten it: the ENTs are still in it.

A hint with an address that is not registered asks first: the request is not what the ENT was set up to send. The pages
then carry a phrase for its technical team.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, render_template, request
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.db import db, unit_of_work
from idp.oidc.claims import release
from idp.oidc.logout import front_channel
from idp.oidc.models import AuthorizationCode
from idp.oidc.parameters import ParameterError, as_get, parse, posted
from idp.oidc.tokens import issued
from idp.oidc.tokens.id_token_hint import read_id_token
from idp.services import services
from idp.sessions import devices, manager
from idp.sessions.models import Session
from idp.web.declarations import acts_on_get, leads_to_ent
from idp.web.redirects import see_other
from idp.web.security import csrf

_KEPT = ("client_id", "id_token_hint", "post_logout_redirect_uri", "state")
"""What the question hands on to its answer."""

_Found = tuple[Session, Account] | None
"""The session of this browser that is to end, and its account."""


@dataclass(frozen=True)
class _Asked:
    """A logout request.

    Attributes:
        found: the session that is to end, and its account.
        client: the ENT that it names.
        own_session: its hint is an ID token of that session.
        target: where the browser may go afterwards; empty for nowhere.
        fault: what the technical team of the ENT must know; empty if the request has no fault.
        fields: what came, for the question's form.
    """

    found: _Found = None
    client: Registration | None = None
    own_session: bool = False
    target: str = ""
    fault: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@acts_on_get
@leads_to_ent
def logout() -> Response:
    """End the session: at once when the hint is its own ID token, after a confirmation otherwise."""
    confirmed = request.method == "POST" and "csrf_token" in request.form
    if confirmed:
        csrf.protect()
    elif request.method == "POST" and (again := as_get(posted())):
        return again
    asked = _read(manager.unended(), confirmed=confirmed)
    found = asked.found
    # a post that is too long for an address may have left its cookies behind: the form of the question brings them
    if not confirmed and (request.method == "POST" or (found and (asked.fault or not asked.own_session))):
        return _question(asked)
    ent = asked.client or (_ent_of(*found) if found else None)
    told = front_channel.frames(found[0]) if found else []
    if found:
        with unit_of_work():
            manager.end(found[0], by=asked.client.client_id if asked.client else "page")
    if told:
        response = front_channel.page(told, asked.target, ent, fault=asked.fault)
    else:
        response = see_other(asked.target) if asked.target else _signed_out(ent, asked.fault)
    manager.clear_cookie(response)
    return response


def _read(found: _Found, *, confirmed: bool) -> _Asked:
    encoded = request.get_data() if request.method == "POST" and request.form else request.query_string
    try:
        parameters = parse(encoded)
    except ParameterError:
        return _Asked(found)
    fields = {name: parameters[name] for name in _KEPT if name in parameters}
    if "id_token_hint" in parameters:
        return _hinted(found, parameters, fields, confirmed=confirmed)
    client = _named(parameters.get("client_id", ""))
    # whoever made the link, it names the ENT, and the person said yes: that is what a hint would prove (3)
    target = _target(client, parameters) if client and confirmed else ""
    return _Asked(found, client, target=target, fault=_fault(client, parameters), fields=fields)


def _hinted(found: _Found, parameters: Mapping[str, str], fields: Mapping[str, str], *, confirmed: bool) -> _Asked:
    """Return what a request with a hint asks for. One whose hint is not certain leads nowhere (4).

    A browser that was closed has forgotten its session, and the ENT may not have: the hint says which one it was. It
    counts from a browser that the account signed in on alone: an ENT's server and a stolen hint end nothing from afar.
    """
    identity = read_id_token(services().settings, services().server.ring, parameters["id_token_hint"])
    if identity is None:
        return _Asked(found, _named(parameters.get("client_id", "")), fields=fields)
    client = _named(str(identity.get("aud")))
    if client is None or parameters.get("client_id", client.client_id) != client.client_id:
        return _Asked(found, fields=fields)
    fault = _fault(client, parameters)
    if found is None:
        left = issued.session_of(identity, client)
        if left and devices.known(left[1].username) is None:
            left = None
        return _Asked(left, client, own_session=True, target=_target(client, parameters), fault=fault, fields=fields)
    own_person = identity["sub"] == release.subject(client, found[1].id, found[1].join_key)
    own = own_person and identity["sid"] == release.session_id(client.subject_salt, found[0].sid)
    certain = own or (confirmed and own_person)
    return _Asked(found, client, own, _target(client, parameters) if certain else "", fault, fields)


def _named(client_id: str) -> Registration | None:
    """Return the client as the database has it."""
    return registry.find(client_id, fresh=True) if client_id else None


def _target(client: Registration, parameters: Mapping[str, str]) -> str:
    """Return the registered address to go back to, with the state that came; empty unless it is registered so."""
    uri, state = parameters.get("post_logout_redirect_uri", ""), parameters.get("state")
    if uri not in client.post_logout_redirect_uris:
        return ""
    if state is None:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': state})}"


def _fault(client: Registration | None, parameters: Mapping[str, str]) -> str:
    """Return a stable phrase for an address that the client did not register; empty if there is no such address."""
    uri = parameters.get("post_logout_redirect_uri", "")
    return "invalid post_logout_redirect_uri" if client and uri and uri not in client.post_logout_redirect_uris else ""


def _ent_of(session: Session, account: Account) -> Registration | None:
    """Return the ENT to lead back to when none is named: the last one entered, else one of the person's schools.

    A session that went on under another row keeps its `sid`. Codes live about equally long: the last to die is the
    last that was given.
    """
    entered = db.session.scalar(
        select(AuthorizationCode.client_id)
        .join(Session, Session.id == AuthorizationCode.session_id)
        .where(Session.account_id == account.id, Session.sid == session.sid)
        .order_by(AuthorizationCode.expires_at.desc())
        .limit(1)
    )
    return registry.find_by_key(entered) or audience.first_ent(account)


def _question(asked: _Asked) -> Response:
    return make_response(
        render_template("oidc/deconnexion.html", dest=asked.client, fields=asked.fields, code=asked.fault)
    )


def _signed_out(client: Registration | None, fault: str) -> Response:
    return make_response(render_template("oidc/deconnecte.html", dest=client, code=fault))


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint."""
    blueprint.add_url_rule("/logout", "logout", logout, methods=["GET", "POST"])
