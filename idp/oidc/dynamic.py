"""Clients that register themselves (RFC 7591, OpenID Connect Registration 1.0), and manage that (RFC 7592).

An operator invites (`idp client invite`): the invitation is used up in the transaction that writes the client, and says
which schools it serves, which scopes it may have, and its name if it gives none. What the client does later it proves
by its registration access token, which stays the same as long as the registration (RFC 7592 3 leaves that open): an
answer that was lost shuts nobody out.
"""

import hmac
import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from sqlalchemy import select

from idp import opaque
from idp.accounts import alarm
from idp.audit import log
from idp.audit.events import ClientChangedItself
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db
from idp.oidc import client_names, dynamic_metadata, invites, jose, posting, registration
from idp.oidc.dynamic_metadata import METADATA_FAULT, BadMetadata
from idp.oidc.server import of_app
from idp.oidc.wanted import RegistrationRefused, Wanted
from idp.throttle import guard, limits
from idp.web.errors import TooManyTries
from idp.web.request_context import remote_address

T = TypeVar("T")
_OPTION = re.compile(r"--[a-z-]+")
_FOR_OPERATORS = re.compile(r"; run `[^`]+` first|(?<=cannot be read): .*")
"""Of a fault: what to do about a key, and why a document cannot be read, which would tell of this house's network."""
_REALM = 'Bearer realm="idp"'
_NO_INVITATION = (
    "this invitation is not good here: one counts once and ends after some days; ask the operator for another"
)
"""Whether it was used, taken back or never made is not told."""
_OWN = ("registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at")


class _Refused(Exception):  # noqa: N818 - what happened
    """The answer that refuses a request."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def register() -> Response:
    """Register the client that the metadata describe (RFC 7591 3.1)."""
    try:
        invitation = _invitation()
        metadata = _metadata()
        given = Wanted(name=invitation.label.strip(), redirect_uris=(), uais=invitation.uais)
        wanted = _within(lambda: dynamic_metadata.as_wanted(metadata, invitation.scopes, given))
        _within(lambda: registration.check(of_app().settings, wanted))
        client, secret = _within(lambda: registration.add(wanted))
        db.session.flush()
        _use(invitation, client)
        _within(lambda: _check_name(client))
    except _Refused as refused:
        db.session.rollback()
        return refused.response
    token = opaque.new_value()
    client.registration_digest = opaque.digest(token)
    log.record(ClientChangedItself(client_id=client.id, change="registered"))
    db.session.commit()
    return posting.answer(_told(client, token, secret), 201)


def _invitation() -> ClientInvite:
    invitation = invites.find(_token("the invitation is needed: send its token as Authorization: Bearer"))
    if invitation is None:
        raise _Refused(_unauthorized(_NO_INVITATION))
    return invitation


def _use(invitation: ClientInvite, client: Client) -> None:
    """Use the invitation up; of several requests at once, one goes on."""
    if not invites.use(invitation, client.id):
        raise _Refused(_unauthorized(_NO_INVITATION))


def manage(client_id: str) -> Response:
    """Read, replace or end a registration (RFC 7592 2)."""
    try:
        client, token = _owned(client_id)
        if request.method == "DELETE":
            return _end(client)
        secret = _replaced(client) if request.method == "PUT" else None
    except _Refused as refused:
        db.session.rollback()
        return refused.response
    return posting.answer(_told(client, token, secret))


def _replaced(client: Client) -> str | None:
    """Replace the registration by what the metadata say; return a secret if the client needs one from now on (2.2)."""
    metadata = _metadata()
    if metadata.get("client_id") != client.client_id:
        raise _Refused(posting.refuse(400, "invalid_request", "client_id must be the client's own"))
    if any(name in metadata for name in _OWN):
        raise _Refused(posting.refuse(400, "invalid_request", f"these must be left out: {', '.join(_OWN)}"))
    shown = metadata.get("client_secret")
    if shown is not None and not (isinstance(shown, str) and _is_its_own(client, shown)):
        raise _Refused(posting.refuse(400, "invalid_request", "a client does not choose its secret"))
    scopes = invites.bounds(client) or client.scopes
    wanted = _within(lambda: dynamic_metadata.as_wanted(metadata, scopes, registration.as_wanted(client)))
    secret = _within(lambda: registration.change(of_app().settings, client, wanted))
    _within(lambda: _check_name(client))
    log.record(ClientChangedItself(client_id=client.id, change="changed"))
    db.session.commit()
    db.session.refresh(client)
    return secret


def _check_name(client: Client) -> None:
    """Refuse a name under which parents know another ENT, or this service: they would take the one for the other.

    Raises:
        BadMetadata: it is one, or has letters of another alphabet, many of which look like ours.
    """
    read, settings = client_names.as_read(client.name), of_app().settings
    if read is None:
        raise BadMetadata(METADATA_FAULT, "client_name: letters and digits as French has them")
    others = select(Client.name).where(Client.disabled_at.is_(None), Client.id != client.id)
    taken = (*db.session.scalars(others), settings.service_name, settings.academy)
    if read in map(client_names.as_read, taken):
        raise BadMetadata(METADATA_FAULT, "client_name: another ENT has this name, or this service")


def _end(client: Client) -> Response:
    """Shut the client out for good, with all that was issued to it: no operator lets it in again (2.3)."""
    client.disabled_at = now()
    client.version = Client.version + 1
    client.registration_digest = None
    log.record(ClientChangedItself(client_id=client.id, change="ended"))
    db.session.commit()
    return Response(status=204, headers={"Cache-Control": "no-store"})


def _told(client: Client, token: str, secret: str | None) -> dict[str, Any]:
    told = dynamic_metadata.of_client(client)
    told["registration_access_token"] = token
    told["registration_client_uri"] = f"{of_app().settings.issuer}/register/{client.client_id}"
    if secret is not None:
        told |= {"client_secret": secret, "client_secret_expires_at": 0}
    return told


def _owned(client_id: str) -> tuple[Client, str]:
    """Return the client that the registration access token of this request is of, and the token (3)."""
    token = _token("the registration access token is needed: send it as Authorization: Bearer")
    try:
        client = registration.get(client_id) if client_id.isascii() and client_id.isalnum() else None
    except RegistrationRefused:
        client = None
    digest = client.registration_digest if client and client.disabled_at is None else None
    if client is None or digest is None or not hmac.compare_digest(digest, opaque.digest(token)):
        raise _Refused(_unauthorized("the token is not one that is good here"))
    return client, token


def _is_its_own(client: Client, secret: str) -> bool:
    digest = client.secret_digest
    return digest is not None and hmac.compare_digest(digest, opaque.digest(secret))


def _token(needed: str) -> str:
    """Return the token of the request; one without any is refused by the sentence `needed`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _Refused(_unauthorized(needed, _REALM))
    return token.strip()


def _unauthorized(said: str, challenge: str = f'{_REALM}, error="invalid_token"') -> Response:
    """Return the refusal of RFC 6750 3.1, and count it; a request without any token is not told of an error.

    Raises:
        TooManyTries: there were too many from that address. Right tokens are neither counted nor stopped.
    """
    demand = (limits.CLIENT_PROOF_ADDRESS, remote_address())
    db.session.rollback()
    if seconds := guard.held(demand):
        raise TooManyTries(seconds)
    verdict = guard.take_all(demand)
    if isinstance(verdict, guard.Wait):
        raise TooManyTries(verdict.seconds)
    alarm.count_failure(of_app().settings)
    response = posting.refuse(401, "invalid_token", said)
    response.headers["WWW-Authenticate"] = challenge
    return response


def _metadata() -> dict[str, Any]:
    """Return the JSON object of the body.

    Raises:
        _Refused: it is none, or an assertion about software that nobody here can check (RFC 7591 2.3).
    """
    if request.mimetype != "application/json":
        raise _Refused(posting.refuse(415, "invalid_client_metadata", "the body must be application/json"))
    try:
        metadata = jose.json_object(request.get_data())
    except ValueError as error:
        raise _Refused(posting.refuse(400, "invalid_client_metadata", f"the body is no JSON object: {error}")) from None
    if metadata.get("software_statement") is not None:
        raise _Refused(posting.refuse(400, "unapproved_software_statement", "no software statement is approved here"))
    return metadata


def _within(act: Callable[[], T]) -> T:
    """Run `act`; what it refuses becomes the answer of RFC 7591 3.2.2, its options called by their names here."""
    try:
        return act()
    except BadMetadata as bad:
        raise _Refused(posting.refuse(400, bad.error, bad.description)) from bad
    except RegistrationRefused as refused:
        first = refused.faults[0]
        about_redirects = first.startswith("--redirect-uri")
        error = dynamic_metadata.REDIRECT_FAULT if about_redirects else dynamic_metadata.METADATA_FAULT
        said = "; ".join(_OPTION.sub(_by_its_name, _FOR_OPERATORS.sub("", fault)) for fault in refused.faults)
        raise _Refused(posting.refuse(400, error, said)) from refused


def _by_its_name(option: re.Match[str]) -> str:
    return dynamic_metadata.OPTIONS.get(option[0], option[0].removeprefix("--"))


def add_routes(blueprint: Blueprint) -> None:
    """Register both endpoints."""
    blueprint.add_url_rule("/register", "register", register, methods=["POST"], provide_automatic_options=False)
    blueprint.add_url_rule(
        "/register/<client_id>",
        "manage",
        manage,
        methods=["GET", "PUT", "DELETE"],
        provide_automatic_options=False,
    )
