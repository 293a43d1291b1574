"""Clients that register themselves (RFC 7591, OpenID Connect Registration 1.0), and manage that (RFC 7592).

An engineer invites the client (`idp client invite`). The transaction that writes the client also counts the use of the
invitation, which gives its schools, what it may ask for, and its name if it gives none. Later requests of the client
carry its registration access token, which each update replaces (`access_tokens`). New hosts of its URIs wait for an
engineer (`approvals`).
"""

import hmac
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from flask import Blueprint, request
from sqlalchemy import select

from idp import opaque
from idp.accounts.passwords import alarm
from idp.audit import changes, log
from idp.audit.registry_events import ClientChangedItself, ClientTokenExpired
from idp.clients import names
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.client_auth import client as clients
from idp.oidc.keys import jose
from idp.registration import access_tokens, approvals, invitations, json_metadata, registrations, rows, sectors
from idp.registration.faults import RegistrationRefusedError
from idp.registration.metadata import ClientMetadata
from idp.services import services
from idp.throttle import guard, limits
from idp.web.declarations import Trait, declares
from idp.web.errors import TooManyRequestsError
from idp.web.http import Response
from idp.web.request_context import remote_ip

# The errors of RFC 7591, 3.2.2 by the field of a fault; that of all other fields is `_METADATA_ERROR`.
_ERRORS = {"redirect_uris": "invalid_redirect_uri"}
_METADATA_ERROR = "invalid_client_metadata"
_REALM = 'Bearer realm="idp"'
_INVALID_TOKEN = f'{_REALM}, error="invalid_token"'
# The same text for an invitation that was used, revoked or never made: it must not tell which tokens existed.
_NO_INVITATION = (
    "this invitation is not valid: each one serves once, or as often as the engineer said, and expires after some "
    "days; ask the engineer of this service for another"
)
_NOT_VALID = "this registration access token is not valid"
_EXPIRED = (
    "this registration access token was not used for a year and expired; ask the engineer of this service for another"
)
_SERVER_MEMBERS = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)


class _UnauthorizedError(Exception):
    """The request has no valid token: the arguments are those of `_unauthorized`."""


class _RefusedError(Exception):
    """The request is refused: the arguments are status, error of RFC 7591, and text."""


def _answers_refusals(view: Callable[..., Response]) -> Callable[..., Response]:
    """Return a view that answers what `view` raises as RFC 7591, 3.2.2 and RFC 6750, 3.1 say."""

    @wraps(view)
    def answered(**arguments: str) -> Response:
        try:
            return view(**arguments)
        except _RefusedError as refused:
            return clients.refuse(*refused.args)
        except RegistrationRefusedError as refused:  # the hints of its faults are the engineer's
            error = _ERRORS.get(refused.faults[0].field, _METADATA_ERROR)
            text = "; ".join(f"{json_metadata.label(fault.field)} {fault.text}".strip() for fault in refused.faults)
            return clients.refuse(400, error, text)
        except _UnauthorizedError as refused:
            return _unauthorized(*refused.args)
        except access_tokens.TokenExpiredError as expired:
            response = _unauthorized(_EXPIRED)
            with unit_of_work():
                log.record(ClientTokenExpired(client_id=expired.client.id))
            return response

    return answered


@declares(Trait.FOR_PROGRAMS)
@_answers_refusals
def register() -> Response:
    """Register the client that the JSON describes (RFC 7591, 3.1)."""
    invitation = _invitation()
    members = _members()
    name = _free_name(invitation)
    metadata = _checked(invitation, members, name)
    sector = sectors.find(metadata)
    if metadata.name == name:
        metadata = replace(metadata, name="")
    client, token, secret = _add(invitation, metadata, sector)
    return clients.answer(_answer(client, token, secret), 201)


@unit_of_work()
def _add(invitation: ClientInvite, metadata: ClientMetadata, sector: str) -> tuple[Client, str, str | None]:
    """Use the invitation and add the client; return it, its registration access token, and its secret if any.

    A client without a name gets a free one here: a concurrent request with the same invitation may have taken another.
    The lock on the invitation makes the name of the other visible.
    """
    db.session.execute(select(ClientInvite.id).where(ClientInvite.id == invitation.id).with_for_update())
    name = _free_name(invitation)
    metadata = replace(metadata, name=metadata.name or name)
    client, secret = registrations.add(metadata, sector)
    db.session.flush()
    # concurrent requests may have had the last use
    if not invitations.use(invitation, client):
        raise _UnauthorizedError(_NO_INVITATION)
    approvals.check_name(services().settings, client.name, client, accepted=name)
    token = opaque.new_value()
    access_tokens.give(client, token)
    registered = changes.made(registrations.audited(client))
    log.record(ClientChangedItself(client_id=client.id, change="registered", after=registered))
    return client, token, secret


def _free_name(invitation: ClientInvite) -> str:
    return names.free_name(invitation.label.strip() or "ENT")


def _invitation() -> ClientInvite:
    invitation = invitations.find(_token("the invitation is needed: send its token as Authorization: Bearer"))
    if invitation is None:
        raise _UnauthorizedError(_NO_INVITATION)
    return invitation


def _checked(invitation: ClientInvite, members: dict[str, Any], name: str) -> ClientMetadata:
    bounds = invitations.bounds_of(invitation)
    given = ClientMetadata(
        name=name,
        uais=invitation.uais,
        pkce_required=invitation.pkce_required is not False,
        release_username=invitation.release_username,
    )
    metadata = json_metadata.read(members, bounds, given)
    registrations.check(services().settings, metadata)
    bounds.check_hosts(metadata)
    return metadata


@declares(Trait.FOR_PROGRAMS)
@_answers_refusals
def manage(client_id: str) -> Response:
    """Read, replace or end a registration (RFC 7592 2)."""
    client, token = _owned(client_id)
    if request.method == "DELETE":
        return _end(client, token)
    secret = None
    if request.method == "PUT":
        token, secret = _replaced(client, token)
    return clients.answer(_answer(client, token, secret))


def _replaced(client: Client, token: str) -> tuple[str, str | None]:
    """Replace the registration by the JSON (2.2); return a new access token, and a secret if the client needs one."""
    members = _members()
    if members.get("client_id") != client.client_id:
        raise _RefusedError(400, "invalid_request", "client_id must be the client's own")
    if any(name in members for name in _SERVER_MEMBERS):
        raise _RefusedError(400, "invalid_request", f"these must be left out: {', '.join(_SERVER_MEMBERS)}")
    shown = members.get("client_secret")
    if shown is not None and not (isinstance(shown, str) and _is_own_secret(client, shown)):
        raise _RefusedError(400, "invalid_request", "a client does not choose its secret")
    bounds = invitations.bounds(client)
    metadata = json_metadata.read(members, bounds, rows.read(client))
    waits = bool(approvals.hosts_to_approve(client, metadata, bounds))
    registrations.check_change(services().settings, client, metadata, approved=waits)
    following, secret = _write(client, token, metadata, waits=waits)
    db.session.refresh(client)
    return following, secret


@unit_of_work()
def _write(client: Client, token: str, metadata: ClientMetadata, *, waits: bool) -> tuple[str, str | None]:
    secret = None
    if waits:
        approvals.wait(services().settings, client, metadata)
    else:
        secret = _change(client, metadata)
    following = access_tokens.replace(client, token)
    if following is None:
        raise _UnauthorizedError(_NOT_VALID)
    return following, secret


def _change(client: Client, metadata: ClientMetadata) -> str | None:
    settings = services().settings
    former_name = client.name
    with registrations.journaled(client, "changed", ClientChangedItself):
        secret = registrations.change(client, metadata)
        approvals.check_name(settings, client.name, client, accepted=former_name)
        approvals.withdraw(client)
    return secret


@unit_of_work()
def _end(client: Client, token: str) -> Response:
    """End the registration for good, with all that was issued to the client: no engineer enables it again (2.3)."""
    if not access_tokens.lock(client, token):
        raise _UnauthorizedError(_NOT_VALID)
    with registrations.journaled(client, "ended", ClientChangedItself):
        client.disabled_at = now()
    client.version = Client.version + 1
    client.pending_metadata = client.registration_digest = client.former_registration_digest = None
    return Response(status=204, headers=[("Cache-Control", "no-store")])


def _answer(client: Client, token: str, secret: str | None) -> dict[str, Any]:
    members = json_metadata.of_client(client)
    members["registration_access_token"] = token
    members["registration_client_uri"] = f"{services().settings.issuer}/register/{client.client_id}"
    if secret is not None:
        members |= {"client_secret": secret, "client_secret_expires_at": 0}
    return members | approvals.pending(client)


def _owned(client_id: str) -> tuple[Client, str]:
    """Return the client whose registration access token the request carries, and the token (3)."""
    token = _token("the registration access token is needed: send it as Authorization: Bearer")
    try:
        client = registrations.get(client_id) if client_id.isascii() and client_id.isalnum() else None
    except RegistrationRefusedError:
        client = None
    if client is None or not access_tokens.verify(client, token):
        raise _UnauthorizedError(_NOT_VALID)
    return client, token


def _is_own_secret(client: Client, secret: str) -> bool:
    digest = client.secret_digest
    return digest is not None and hmac.compare_digest(digest, opaque.digest(secret))


def _token(needed: str) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _UnauthorizedError(needed, _REALM)
    return token.strip()


def _unauthorized(text: str, challenge: str = _INVALID_TOKEN) -> Response:
    """Return the refusal of RFC 6750, 3.1, and count it in the rate limit of the IP."""
    if seconds := guard.take_or_wait((limits.CLIENT_PROOF_IP, remote_ip())):
        raise TooManyRequestsError(seconds)
    alarm.count_failure(services().settings)
    response = clients.refuse(401, "invalid_token", text)
    response.headers.append(("WWW-Authenticate", challenge))
    return response


def _members() -> dict[str, Any]:
    if request.mimetype != "application/json":
        raise _RefusedError(415, _METADATA_ERROR, "the body must be application/json")
    try:
        members = jose.json_object(request.get_data())
    except ValueError as error:
        raise _RefusedError(400, _METADATA_ERROR, f"the body is no JSON object: {error}") from None
    if members.get("software_statement") is not None:
        raise _RefusedError(400, "unapproved_software_statement", "no software statement is approved here")
    return members


blueprint = Blueprint("registration", __name__)
blueprint.add_url_rule("/register", view_func=register, methods=["POST"], provide_automatic_options=False)
blueprint.add_url_rule(
    "/register/<client_id>", view_func=manage, methods=["GET", "PUT", "DELETE"], provide_automatic_options=False
)
