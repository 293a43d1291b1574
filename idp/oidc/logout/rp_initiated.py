"""RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0): at once for a valid hint, else after a confirmation.

The browser is redirected to registered URLs only. This needs a hint that is an ID token of this session, or a browser
without a session; after a confirmation, a former ID token of the person or the `client_id` is enough.

A session that is idle or expired is ended like any other, because the ENTs may still have theirs. If the browser was
closed and lost its session cookie, the hint names the session.

A hint with a URL that is not registered needs a confirmation, and the pages show a phrase for the ENT's technical team.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from flask import Response, make_response, request
from sqlalchemy import select

from idp.accounts.models import Account
from idp.clients import audience, registry
from idp.clients.registry import Registration
from idp.db import db, unit_of_work
from idp.oidc.claims import release
from idp.oidc.logout import front_channel
from idp.oidc.models import AuthorizationCode
from idp.oidc.parameters import ParameterError, as_get, parse
from idp.oidc.tokens import issued
from idp.services import services
from idp.sessions import devices, manager
from idp.sessions.models import Session
from idp.web.declarations import Trait, declares
from idp.web.http import current_request
from idp.web.redirects import render_page, see_other
from idp.web.security import check_form_token

# The parameters that the form of the confirmation repeats.
_FORM_FIELDS = ("client_id", "id_token_hint", "post_logout_redirect_uri", "state")

_Current = tuple[Session, Account] | None  # the session of this browser and its account


@dataclass(frozen=True)
class _LogoutPlan:
    """What a logout request leads to: the session that ends, the ENT that it names, and the URL that follows, if any.

    `own_session` says that the hint is an ID token of that session, `fault` is a phrase for the ENT's technical team,
    and `fields` are for the form of the confirmation.
    """

    current: _Current = None
    client: Registration | None = None
    own_session: bool = False
    target: str = ""
    fault: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)


@declares(Trait.ACTS_ON_GET, Trait.LEADS_TO_ENT)
def logout() -> Response:
    """End the session: at once if the hint is its own ID token, after a confirmation otherwise."""
    confirmed = request.method == "POST" and "csrf_token" in request.form
    if confirmed:
        check_form_token(current_request())
    elif request.method == "POST" and (redirect := as_get(current_request())):
        return make_response(redirect)
    plan = _read(manager.unended() or manager.current(), confirmed=confirmed)
    current = plan.current
    # A POST that is too long for a redirect comes without cookies from another site; the confirmation's form has them.
    if not confirmed and (request.method == "POST" or (current and (plan.fault or not plan.own_session))):
        return render_page("oidc/deconnexion.html", dest=plan.client, fields=plan.fields, code=plan.fault)
    ent = plan.client or (_ent_of(*current) if current else None)
    frames = front_channel.frames(current[0]) if current else []
    if current:
        with unit_of_work():
            manager.end(current[0], by=plan.client.client_id if plan.client else "page")
    if frames:
        response = front_channel.page(frames, plan.target, ent, fault=plan.fault)
    elif plan.target:
        response = see_other(plan.target)
    else:
        response = render_page("oidc/deconnecte.html", dest=ent, code=plan.fault)
    manager.clear_cookie(response)
    return response


def _read(current: _Current, *, confirmed: bool) -> _LogoutPlan:
    encoded = current_request().form or request.query_string
    try:
        parameters = parse(encoded)
    except ParameterError:
        return _LogoutPlan(current)
    fields = {name: parameters[name] for name in _FORM_FIELDS if name in parameters}
    if "id_token_hint" in parameters:
        return _hinted(current, parameters, fields, confirmed=confirmed)
    client = _find_client(parameters.get("client_id", ""))
    # the person's confirmation replaces the proof by a hint (3)
    target = _target(client, parameters) if client and confirmed else ""
    return _LogoutPlan(current, client, target=target, fault=_fault(client, parameters), fields=fields)


def _hinted(
    current: _Current, parameters: Mapping[str, str], fields: Mapping[str, str], *, confirmed: bool
) -> _LogoutPlan:
    """Return the plan for a request with a hint. An invalid hint allows no redirect (4).

    If the browser was closed and lost its session cookie, the hint names the session. That is accepted only from a
    browser on which the account has signed in before, so that nobody ends a session with a stolen hint.
    """
    identity = issued.read_id_token(services().settings, services().server.ring, parameters["id_token_hint"])
    if identity is None:
        return _LogoutPlan(current, _find_client(parameters.get("client_id", "")), fields=fields)
    client = _find_client(str(identity.get("aud")))
    if client is None or parameters.get("client_id", client.client_id) != client.client_id:
        return _LogoutPlan(current, fields=fields)
    fault = _fault(client, parameters)
    if current is None:
        hinted = issued.session_of(identity, client)
        if hinted and devices.known(hinted[1].username) is None:
            hinted = None
        return _LogoutPlan(
            hinted, client, own_session=True, target=_target(client, parameters), fault=fault, fields=fields
        )
    own_person = identity["sub"] == release.subject(client, current[1].id, current[1].join_key)
    own_session = own_person and identity["sid"] == release.session_id(client.subject_salt, current[0].sid)
    may_redirect = own_session or (confirmed and own_person)
    target = _target(client, parameters) if may_redirect else ""
    return _LogoutPlan(current, client, own_session, target, fault, fields)


def _find_client(client_id: str) -> Registration | None:
    return registry.find(client_id, fresh=True) if client_id else None


def _target(client: Registration, parameters: Mapping[str, str]) -> str:
    uri, state = parameters.get("post_logout_redirect_uri", ""), parameters.get("state")
    if uri not in client.post_logout_redirect_uris:
        return ""
    if state is None:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode({'state': state})}"


def _fault(client: Registration | None, parameters: Mapping[str, str]) -> str:
    uri = parameters.get("post_logout_redirect_uri", "")
    return "invalid post_logout_redirect_uri" if client and uri and uri not in client.post_logout_redirect_uris else ""


def _ent_of(session: Session, account: Account) -> Registration | None:
    """Return the ENT that the session entered last, else an ENT of the person's schools.

    Codes have about the same lifetime, so the code that expires last was issued last.
    """
    last = db.session.scalar(
        select(AuthorizationCode.client_id)
        .join(Session, Session.id == AuthorizationCode.session_id)
        .where(Session.account_id == account.id, Session.sid == session.sid)
        .order_by(AuthorizationCode.expires_at.desc())
        .limit(1)
    )
    return registry.find_by_key(last) or audience.first_ent(account)
