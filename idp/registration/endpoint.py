"""Clients that register themselves (RFC 7591, OpenID Connect Registration 1.0), and manage that (RFC 7592).

An operator invites (`idp client invite`): the invitation is used up in the transaction that writes the client, and says
which schools it serves, what it may ask for, and its name if it gives none. What the client does later it proves by its
registration access token, which each update replaces (`idp.registration.access_tokens`). New hosts of its addresses
wait for an operator (`idp.registration.approvals`).
"""

import hmac
import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Blueprint, Response, request

from idp import opaque
from idp.accounts import alarm
from idp.audit import changes, log
from idp.audit.registry_events import ClientChangedItself
from idp.clients.models import Client, ClientInvite
from idp.clock import now
from idp.db import db, unit_of_work
from idp.oidc.client_auth import client_request
from idp.oidc.keys import jose
from idp.registration import access_tokens, approvals, invitations, json_metadata, sectors
from idp.registration import changes as registration
from idp.registration.access_tokens import TokenExpiredError
from idp.registration.json_metadata import BadMetadata
from idp.registration.wanted import RegistrationRefused, Wanted
from idp.services import services
from idp.throttle import guard, limits
from idp.web.declarations import for_programs
from idp.web.errors import TooManyTries
from idp.web.request_context import remote_address

T = TypeVar("T")
_OPTION = re.compile(r"--[a-z-]+")
_FOR_OPERATORS = re.compile(r"; run `[^`]+` first|(?<=cannot be read): .*")
"""Of a fault: what to do about a key, and why a document cannot be read, which would tell of this house's network."""
_REALM = 'Bearer realm="idp"'
_NO_INVITATION = (
    "this invitation is not good here: it counts once, or as often as the operator said, and ends after some days; "
    "ask the operator for another"
)
"""Whether it was used, taken back or never made is not told."""
_NOT_GOOD = "the token is not one that is good here"
_EXPIRED = (
    "this registration access token was not used for a year and is good no more; "
    "ask the operator for another (idp client renew-registration-token)"
)
_OWN = ("registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at")


_BAD_TOKEN = f'{_REALM}, error="invalid_token"'


class _UnauthorizedError(Exception):
    """No good token was shown: `text` says why, `challenge` is the answer's `WWW-Authenticate`."""

    def __init__(self, text: str, challenge: str = _BAD_TOKEN) -> None:
        super().__init__(text)
        self.text = text
        self.challenge = challenge


class _Refused(Exception):  # noqa: N818 - what happened
    """The answer that refuses a request."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


@for_programs
def register() -> Response:
    """Register the client that the metadata describe (RFC 7591 3.1)."""
    try:
        invitation = _invitation()
        metadata = _metadata()
        given = json_metadata.free_name(invitation.label.strip() or "ENT")
        wanted = _wanted(invitation, metadata, given)
        sector = _within(lambda: sectors.find(wanted))
        client, token, secret = _within(lambda: _add(invitation, wanted, sector, given))
    except _Refused as refused:
        return refused.response
    except _UnauthorizedError as refused:
        return _unauthorized(refused.text, refused.challenge)
    return client_request.answer(_told(client, token, secret), 201)


@unit_of_work()
def _add(invitation: ClientInvite, wanted: Wanted, sector: str, given: str) -> tuple[Client, str, str | None]:
    """Use the invitation and write the client; return it, its registration access token, and its secret if any."""
    client, secret = registration.add(wanted, sector)
    db.session.flush()
    # of several requests at once, as many succeed as the invitation has uses left
    if not invitations.use(invitation, client):
        raise _UnauthorizedError(_NO_INVITATION)
    json_metadata.check_name(services().settings, client.name, client, given=given)
    token = opaque.new_value()
    access_tokens.give(client, token)
    registered = changes.made(registration.told(client))
    log.record(ClientChangedItself(client_id=client.id, change="registered", after=registered))
    return client, token, secret


def _invitation() -> ClientInvite:
    invitation = invitations.find(_token("the invitation is needed: send its token as Authorization: Bearer"))
    if invitation is None:
        raise _UnauthorizedError(_NO_INVITATION)
    return invitation


def _wanted(invitation: ClientInvite, metadata: dict[str, Any], name: str) -> Wanted:
    """Return the checked registration that the metadata ask for; `name` is the client's if it gives itself none."""
    bounds = invitations.given(invitation)
    given = Wanted(
        name=name,
        redirect_uris=(),
        uais=invitation.uais,
        pkce=invitation.pkce_required is not False,
    )
    wanted = _within(lambda: json_metadata.as_wanted(metadata, bounds, given))
    _within(lambda: registration.check(services().settings, wanted))
    _within(lambda: json_metadata.check_hosts(wanted, bounds))
    return wanted


@for_programs
def manage(client_id: str) -> Response:
    """Read, replace or end a registration (RFC 7592 2)."""
    try:
        client, token = _owned(client_id)
        if request.method == "DELETE":
            return _end(client)
        secret = None
        if request.method == "PUT":
            token, secret = _replaced(client, token)
    except _Refused as refused:
        return refused.response
    except _UnauthorizedError as refused:
        return _unauthorized(refused.text, refused.challenge)
    return client_request.answer(_told(client, token, secret))


def _replaced(client: Client, token: str) -> tuple[str, str | None]:
    """Replace the registration by what the metadata say (2.2); return a new token in place of the one that was shown.

    With it comes a secret if the client needs one from now on.
    """
    metadata = _metadata()
    if metadata.get("client_id") != client.client_id:
        raise _Refused(client_request.refuse(400, "invalid_request", "client_id must be the client's own"))
    if any(name in metadata for name in _OWN):
        raise _Refused(client_request.refuse(400, "invalid_request", f"these must be left out: {', '.join(_OWN)}"))
    shown = metadata.get("client_secret")
    if shown is not None and not (isinstance(shown, str) and _is_its_own(client, shown)):
        raise _Refused(client_request.refuse(400, "invalid_request", "a client does not choose its secret"))
    wanted, hosts = _within(lambda: _checked(client, metadata))
    following, secret = _within(lambda: _write(client, token, metadata, wanted, hosts))
    db.session.refresh(client)
    return following, secret


def _checked(client: Client, metadata: dict[str, Any]) -> tuple[Wanted, set[str]]:
    """Return the registration that the metadata ask for, and the hosts that an operator must approve before."""
    bounds = invitations.bounds(client)
    wanted = json_metadata.as_wanted(metadata, bounds, registration.as_wanted(client))
    hosts = json_metadata.hosts_to_approve(client, wanted, bounds)
    registration.check_change(services().settings, client, wanted, approved=bool(hosts))
    return wanted, hosts


@unit_of_work()
def _write(
    client: Client, token: str, metadata: dict[str, Any], wanted: Wanted, hosts: set[str]
) -> tuple[str, str | None]:
    """Make the change, or keep it for an operator to approve; return the next token, and a secret if one is needed."""
    secret = None
    if hosts:
        approvals.wait(services().settings, client, wanted, metadata, hosts)
    else:
        secret = _change(client, wanted)
    following = access_tokens.replace(client, token)
    if following is None:
        raise _UnauthorizedError(_NOT_GOOD)
    return following, secret


def _change(client: Client, wanted: Wanted) -> str | None:
    settings = services().settings
    before, former_name = registration.told(client), client.name
    secret = registration.change(client, wanted)
    json_metadata.check_name(settings, client.name, client, given=former_name)
    approvals.withdraw(client)
    changed = changes.difference(before, registration.told(client))
    log.record(ClientChangedItself(client_id=client.id, change="changed", **changed))
    return secret


@unit_of_work()
def _end(client: Client) -> Response:
    """Shut the client out for good, with all that was issued to it: no operator lets it in again (2.3)."""
    before = registration.told(client)
    client.disabled_at = now()
    changed = changes.difference(before, registration.told(client))
    client.version = Client.version + 1
    client.pending_metadata = None
    access_tokens.take(client)
    log.record(ClientChangedItself(client_id=client.id, change="ended", **changed))
    return Response(status=204, headers={"Cache-Control": "no-store"})


def _told(client: Client, token: str, secret: str | None) -> dict[str, Any]:
    told = json_metadata.of_client(client)
    told["registration_access_token"] = token
    told["registration_client_uri"] = f"{services().settings.issuer}/register/{client.client_id}"
    if secret is not None:
        told |= {"client_secret": secret, "client_secret_expires_at": 0}
    return told | approvals.told(client)


def _owned(client_id: str) -> tuple[Client, str]:
    """Return the client that the registration access token of this request is of, and the token (3)."""
    token = _token("the registration access token is needed: send it as Authorization: Bearer")
    try:
        client = registration.get(client_id) if client_id.isascii() and client_id.isalnum() else None
    except RegistrationRefused:
        client = None
    try:
        is_own = client is not None and access_tokens.prove(client, token)
    except TokenExpiredError as expired:
        response = _unauthorized(_EXPIRED)
        with unit_of_work():
            access_tokens.note_expired(expired.client)
        raise _Refused(response) from expired
    if client is None or not is_own:
        raise _UnauthorizedError(_NOT_GOOD)
    return client, token


def _is_its_own(client: Client, secret: str) -> bool:
    digest = client.secret_digest
    return digest is not None and hmac.compare_digest(digest, opaque.digest(secret))


def _token(needed: str) -> str:
    """Return the token of the request; one without any is refused by the sentence `needed`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _UnauthorizedError(needed, _REALM)
    return token.strip()


def _unauthorized(said: str, challenge: str = _BAD_TOKEN) -> Response:
    """Return the refusal of RFC 6750 3.1, and count it; a request without any token is not told of an error.

    Raises:
        TooManyTries: there were too many from that address. Right tokens are neither counted nor stopped.
    """
    demand = (limits.CLIENT_PROOF_ADDRESS, remote_address())
    if seconds := guard.held(demand):
        raise TooManyTries(seconds)
    verdict = guard.take_all(demand)
    if isinstance(verdict, guard.Wait):
        raise TooManyTries(verdict.seconds)
    alarm.count_failure(services().settings)
    response = client_request.refuse(401, "invalid_token", said)
    response.headers["WWW-Authenticate"] = challenge
    return response


def _metadata() -> dict[str, Any]:
    """Return the JSON object of the body.

    Raises:
        _Refused: it is none, or an assertion about software that nobody here can check (RFC 7591 2.3).
    """
    if request.mimetype != "application/json":
        raise _Refused(client_request.refuse(415, "invalid_client_metadata", "the body must be application/json"))
    try:
        metadata = jose.json_object(request.get_data())
    except ValueError as error:
        raise _Refused(
            client_request.refuse(400, "invalid_client_metadata", f"the body is no JSON object: {error}")
        ) from None
    if metadata.get("software_statement") is not None:
        raise _Refused(
            client_request.refuse(400, "unapproved_software_statement", "no software statement is approved here")
        )
    return metadata


def _within(act: Callable[[], T]) -> T:
    """Run `act`; what it refuses becomes the answer of RFC 7591 3.2.2, its options called by their names here."""
    try:
        return act()
    except BadMetadata as bad:
        raise _Refused(client_request.refuse(400, bad.error, bad.description)) from bad
    except RegistrationRefused as refused:
        first = refused.faults[0]
        about_redirects = first.startswith("--redirect-uri")
        error = json_metadata.REDIRECT_FAULT if about_redirects else json_metadata.METADATA_FAULT
        said = "; ".join(_OPTION.sub(_by_its_name, _FOR_OPERATORS.sub("", fault)) for fault in refused.faults)
        raise _Refused(client_request.refuse(400, error, said)) from refused


def _by_its_name(option: re.Match[str]) -> str:
    return json_metadata.OPTIONS.get(option[0], option[0].removeprefix("--"))


blueprint = Blueprint("registration", __name__)
blueprint.add_url_rule("/register", view_func=register, methods=["POST"], provide_automatic_options=False)
blueprint.add_url_rule(
    "/register/<client_id>", view_func=manage, methods=["GET", "PUT", "DELETE"], provide_automatic_options=False
)
