"""The académie's OpenID provider: the authorization request and its completion (OpenID Connect Core 3.1, RFC 7636).

Authlib's client is not used: it sends requests by a library that has neither the guard against internal hosts nor the
deadline of `idp.http_client`.
"""

import base64
import enum
import hashlib
import json
import secrets
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from idp import encrypted
from idp.config import LOOPBACK, Settings
from idp.db import unit_of_work
from idp.desk.sign_in import id_token
from idp.desk.sign_in.id_token import AcademyError, Fault, Identity
from idp.desk.staff import ceremonies
from idp.desk.staff.ceremonies import Purpose
from idp.encrypted import UndecryptableError
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.keys import jose

CALLBACK = "/connexion/academie/retour"
_SEALED = "academy sign-in"
_OK = 200
_LONGEST = 2000


class Intent(enum.Enum):
    """What a person wants from the académie: to sign in, to enrol by an invitation, or to prove who they are."""

    SIGN_IN = "sign_in"
    ENROL = "enrol"
    PROVE = "prove"


@dataclass(frozen=True)
class Begun:
    """What the browser began.

    Attributes:
        onward: the path to lead to after success.
        invitation: the token of the invitation of an enrolment.
        session: the session for which the person proves who they are.
    """

    intent: Intent
    onward: str = "/"
    invitation: str = ""
    session: uuid.UUID | None = None


@dataclass(frozen=True)
class Completed:
    """The académie vouches for a person."""

    begun: Begun
    identity: Identity


def start(settings: Settings, outgoing: Outgoing, begun: Begun) -> str:
    """Begin a ceremony, and return the URL of the authorization request.

    Raises:
        AcademyError: the provider is unreachable, or its metadata cannot be used.
    """
    endpoints = _discover(settings, outgoing)
    nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    with unit_of_work():
        ceremony = ceremonies.start(Purpose.ACADEMY)
        hidden = json.dumps([nonce, verifier, begun.invitation]).encode()
        ceremony.secret = encrypted.encrypt(settings.secrets, _SEALED, hidden, ceremony.challenge.hex())
        ceremony.values = {
            "intent": begun.intent.value,
            "onward": begun.onward,
            "session": str(begun.session or ""),
            "token": endpoints["token_endpoint"],
            "jwks": endpoints["jwks_uri"],
            "iss": bool(endpoints.get("authorization_response_iss_parameter_supported")),
        }
        state = _base64url(ceremony.challenge)
    return _authorization_url(settings, begun.intent, endpoints["authorization_endpoint"], state, nonce, verifier)


def complete(settings: Settings, outgoing: Outgoing, answer: dict[str, str]) -> Completed:
    """Complete a ceremony with the parameters of the authorization response.

    The ceremony is used first, so that no response works twice, whatever comes of it.

    Raises:
        AcademyError: the response is not of this browser, late or replayed, or the provider does not vouch.
    """
    with unit_of_work():
        ceremony = ceremonies.use(Purpose.ACADEMY, _challenge(answer.get("state", "")))
        if ceremony is None:
            raise AcademyError(Fault.LATE)
        values, sealed, challenge = dict(ceremony.values), ceremony.secret or b"", ceremony.challenge
        begun_at = ceremony.created_at
    try:
        opened = encrypted.decrypt(settings.secrets, _SEALED, sealed, challenge.hex())
    except UndecryptableError as error:
        raise AcademyError(Fault.LATE) from error
    nonce, verifier, invitation = json.loads(opened)
    _check_issuer(settings, answer, is_required=values["iss"])
    code = answer.get("code", "")
    if "error" in answer or not 0 < len(code) <= _LONGEST:
        raise AcademyError(Fault.REFUSED, "the provider answered with an error instead of a code")
    begun = Begun(
        Intent(values["intent"]),
        values["onward"],
        invitation,
        uuid.UUID(values["session"]) if values["session"] else None,
    )
    token = _exchange(settings, outgoing, values["token"], code, verifier)
    keys = _json(lambda: outgoing.get(values["jwks"]), "keys")
    identity = id_token.verify(settings, token, keys, nonce)
    if begun.intent is not Intent.SIGN_IN:
        id_token.check_fresh(identity, begun_at)
    return Completed(begun, identity)


def proved_at(identity: Identity, moment: datetime) -> datetime:
    """Return since when the person's proof is fresh: the académie may vouch for a sign-in of hours ago."""
    return min(identity.authenticated_at or datetime.min.replace(tzinfo=UTC) + timedelta(days=1), moment)


def _authorization_url(settings: Settings, intent: Intent, endpoint: str, state: str, nonce: str, verifier: str) -> str:
    """Return the authorization request; only a sign-in may be that of another service a while ago."""
    parameters = {
        "response_type": "code",
        "client_id": settings.desk_oidc_client_id,
        "redirect_uri": _callback(settings),
        "scope": "openid",
        "state": state,
        "nonce": nonce,
        "acr_values": settings.desk_oidc_acr,
        "code_challenge": _base64url(hashlib.sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
        **({} if intent is Intent.SIGN_IN else {"prompt": "login", "max_age": "0"}),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _callback(settings: Settings) -> str:
    return f"{settings.desk_url}{CALLBACK}"


def _challenge(state: str) -> bytes:
    """Return the challenge of a state; any text is accepted."""
    try:
        return base64.urlsafe_b64decode(state[:100] + "=" * (-len(state[:100]) % 4))
    except ValueError:
        return b""


def _discover(settings: Settings, outgoing: Outgoing) -> dict[str, Any]:
    """Return the metadata of the provider (OpenID Connect Discovery 4)."""
    issuer = settings.desk_oidc_issuer
    url = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
    metadata = _json(lambda: outgoing.get(url), "metadata")
    if metadata.get("issuer") != issuer:
        raise AcademyError(Fault.UNREACHABLE, "the metadata name another issuer")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        if not _is_usable(settings, metadata.get(name)):
            raise AcademyError(Fault.UNREACHABLE, f"the metadata have no usable {name}")
    return metadata


def _is_usable(settings: Settings, url: object) -> bool:
    """Return whether a URL may be requested and shown as a link."""
    if not isinstance(url, str) or len(url) > _LONGEST or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_local = settings.development and parts.scheme == "http" and parts.hostname in LOOPBACK
    return bool(parts.hostname) and not parts.fragment and (parts.scheme == "https" or is_local)


def _check_issuer(settings: Settings, answer: dict[str, str], *, is_required: bool) -> None:
    """Refuse the response of another provider (RFC 9207 2.4)."""
    named = answer.get("iss")
    if (named is None and is_required) or named not in {None, settings.desk_oidc_issuer}:
        raise AcademyError(Fault.INVALID, "the response is of another issuer")


def _exchange(settings: Settings, outgoing: Outgoing, url: str, code: str, verifier: str) -> str:
    """Exchange the code; return the ID token. The client authenticates by `client_secret_basic` (RFC 6749 2.3.1)."""
    pair = (
        f"{quote_plus(settings.desk_oidc_client_id)}:{quote_plus(settings.desk_oidc_client_secret.get_secret_value())}"
    )
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _callback(settings),
        "code_verifier": verifier,
    }
    authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    token = _json(lambda: outgoing.exchange_form(url, fields, authorization), "token response").get("id_token")
    if not isinstance(token, str):
        raise AcademyError(Fault.INVALID, "the token response has no ID token")
    return token


def _json(ask: Any, what: str) -> dict[str, Any]:
    try:
        answer: Answer = ask()
    except OutgoingError as error:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: {error.reason}") from error
    if answer.status != _OK:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: status {answer.status}")
    try:
        return jose.json_object(answer.body)
    except ValueError as error:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: not a JSON object") from error
