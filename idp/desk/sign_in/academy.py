"""The académie's OpenID provider: authorization request, completion and ID token (OpenID Connect Core 3.1, RFC 7636).

Authlib's client is not used: it sends requests by a library that has neither the guard against internal hosts nor the
deadline of `idp.http_client`.
"""

import base64
import enum
import hashlib
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from itsdangerous.encoding import base64_encode
from joserfc.errors import JoseError
from joserfc.jwt import JWTClaimsRegistry

from idp import opaque
from idp.clock import now
from idp.config import LOOPBACK, Settings
from idp.db import unit_of_work
from idp.desk.staff import authenticators
from idp.http_client.outgoing import Answer, Outgoing, OutgoingError
from idp.oidc.keys import jose

CALLBACK = "/connexion/academie/retour"
_SEALED = "academy sign-in"
_OK = 200
_LONGEST = 2000
LEEWAY = timedelta(seconds=30)  # how far the clocks of the two services may differ
_MOST_KEYS = 20
_LONGEST_SUBJECT = 255


class Fault(enum.Enum):
    """Why the académie's provider does not open the desk."""

    LATE = enum.auto()  # or replayed, or of another browser
    REFUSED = enum.auto()
    UNREACHABLE = enum.auto()
    INVALID = enum.auto()
    WEAK = enum.auto()  # the `acr` does not prove two factors
    OLD = enum.auto()  # a fresh proof was asked for, and the person signed in earlier


class AcademyError(Exception):
    """The académie's provider does not open the desk; `reason` is for operators."""

    def __init__(self, fault: Fault, reason: str = "") -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """A person at the académie's provider. `authenticated_at` is when the person signed in there, if it says so."""

    issuer: str
    subject: str
    authenticated_at: datetime | None


class Intent(enum.Enum):
    """What a person wants from the académie: to sign in, to enrol by an invitation, or to prove who they are."""

    SIGN_IN = "sign_in"
    ENROL = "enrol"
    PROVE = "prove"


@dataclass(frozen=True)
class Begun:
    """What the browser began: the path to lead to, the token of an invitation, the session of a proof."""

    intent: Intent
    next_page: str = "/"
    invitation: str = ""
    session: uuid.UUID | None = None


def start(settings: Settings, outgoing: Outgoing, begun: Begun) -> str:
    """Begin a ceremony, and return the URL of the authorization request.

    Raises:
        AcademyError: the provider is unreachable, or its metadata cannot be used.
    """
    endpoints = _discover(settings, outgoing)
    nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    with unit_of_work():
        ceremony = authenticators.start_ceremony(authenticators.Purpose.ACADEMY)
        hidden = json.dumps([nonce, verifier, begun.invitation]).encode()
        ceremony.secret = opaque.encrypt(settings.secrets, _SEALED, hidden, ceremony.challenge.hex())
        ceremony.values = {
            "intent": begun.intent.value,
            "onward": begun.next_page,
            "session": str(begun.session or ""),
            "token": endpoints["token_endpoint"],
            "jwks": endpoints["jwks_uri"],
            "iss": bool(endpoints.get("authorization_response_iss_parameter_supported")),
        }
        state = base64_encode(ceremony.challenge).decode()
    return _authorization_url(settings, begun.intent, endpoints["authorization_endpoint"], state, nonce, verifier)


def complete(settings: Settings, outgoing: Outgoing, answer: dict[str, str]) -> tuple[Begun, Identity]:
    """Complete a ceremony with the parameters of the authorization response; return what it began, and its person.

    The ceremony is used first, so that no response works twice, whatever comes of it.

    Raises:
        AcademyError: the response is not of this browser, late or replayed, or the provider does not vouch.
    """
    with unit_of_work():
        ceremony = authenticators.use_ceremony(authenticators.Purpose.ACADEMY, _challenge(answer.get("state", "")))
        if ceremony is None:
            raise AcademyError(Fault.LATE)
        values, sealed, challenge = dict(ceremony.values), ceremony.secret or b"", ceremony.challenge
        begun_at = ceremony.created_at
    try:
        opened = opaque.decrypt(settings.secrets, _SEALED, sealed, challenge.hex())
    except opaque.UndecryptableError as error:
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
    identity = verify_id_token(settings, token, keys, nonce)
    proved = identity.authenticated_at
    if begun.intent is not Intent.SIGN_IN and (proved is None or proved < begun_at - LEEWAY):
        raise AcademyError(Fault.OLD, "ID token: its auth_time is missing or before the request")
    return begun, identity


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
        "code_challenge": base64_encode(hashlib.sha256(verifier.encode()).digest()).decode(),
        "code_challenge_method": "S256",
        **({} if intent is Intent.SIGN_IN else {"prompt": "login", "max_age": "0"}),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def _callback(settings: Settings) -> str:
    return f"{settings.desk_url}{CALLBACK}"


def _challenge(state: str) -> bytes:
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


def _json(ask: Callable[[], Answer], what: str) -> dict[str, Any]:
    try:
        answer = ask()
    except OutgoingError as error:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: {error.reason}") from error
    if answer.status != _OK:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: status {answer.status}")
    try:
        return jose.json_object(answer.body)
    except ValueError as error:
        raise AcademyError(Fault.UNREACHABLE, f"{what}: not a JSON object") from error


def verify_id_token(settings: Settings, token: str, keys: dict[str, Any], nonce: str) -> Identity:
    """Return the person of an ID token, which is of the configured issuer, for this client and this request.

    Raises:
        AcademyError: it is not, or its `acr` is not the configured value.
    """
    try:
        header, claims = jose.parts(token)
        algorithm = jose.algorithm(header)
    except jose.InvalidTokenError as error:
        raise AcademyError(Fault.INVALID, f"ID token: {error}") from error
    _check_signature(token, algorithm, header, keys)
    _check_claims(settings, claims, nonce)
    acr = claims.get("acr")
    if not isinstance(acr, str) or acr != settings.desk_oidc_acr:
        raise AcademyError(Fault.WEAK, "ID token: its acr is not IDP_DESK_OIDC_ACR")
    return Identity(claims["iss"], claims["sub"], _instant(claims.get("auth_time")))


def _check_signature(token: str, algorithm: str, header: dict[str, Any], keys: dict[str, Any]) -> None:
    for jwk in _candidates(header, keys):
        try:
            jose.check_signature(token, algorithm, jose.public_key(jwk, algorithm))
        except jose.InvalidTokenError:
            continue
        return
    raise AcademyError(Fault.INVALID, "ID token: no key of the provider verifies its signature")


def _candidates(header: dict[str, Any], keys: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the keys that may have signed: the key that the header names, or all keys if it names none."""
    listed = keys.get("keys")
    for jwk in listed[:_MOST_KEYS] if isinstance(listed, list) else []:
        is_named = isinstance(jwk, dict) and ("kid" not in header or jwk.get("kid") == header["kid"])
        if is_named and jwk.get("use", "sig") == "sig":
            yield jwk


def _check_claims(settings: Settings, claims: dict[str, Any], nonce: str) -> None:
    client_id = settings.desk_oidc_client_id
    registry = JWTClaimsRegistry(
        now=lambda: int(now().timestamp()),
        leeway=int(LEEWAY.total_seconds()),
        iss={"essential": True, "value": settings.desk_oidc_issuer},
        aud={"essential": True, "value": client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        registry.validate(claims)
    except JoseError as error:
        raise AcademyError(Fault.INVALID, f"ID token: {error}") from error
    has_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", "" if has_others else client_id) != client_id:
        raise AcademyError(Fault.INVALID, "ID token: its azp is another client")
    subject = claims["sub"]
    if not (len(subject) <= _LONGEST_SUBJECT and subject.isascii() and subject.isprintable()):
        raise AcademyError(Fault.INVALID, "ID token: its sub cannot be stored")


def _instant(seconds: object) -> datetime | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool):
        return None
    try:
        instant = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return instant if instant <= now() + LEEWAY else None
