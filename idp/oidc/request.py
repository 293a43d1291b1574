"""The checks of an authorization request (OpenID Connect Core 3.1.2.1, RFC 6749 4.1.1, RFC 7636, RFC 9700).

One `check_*` for one sentence of a specification. Until client and redirect URI are certain, a fault is shown on a page
of ours; after that it goes back to the client. Authlib validates client, redirect URI and response type; the rest it
leaves open.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from idp.clients.registry import Registration
from idp.config import Settings
from idp.interaction.store import AuthorizationRequest
from idp.oidc import clients
from idp.oidc.claims import ACR_VALUES, SCOPES
from idp.oidc.errors import RequestRefused, RequestUntrusted
from idp.oidc.hints import read_id_token
from idp.oidc.keys import KeyRing
from idp.oidc.parameters import ParameterError, parse

PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
_MUST_BE_CERTAIN = frozenset({"client_id", "redirect_uri", "parameters", "parameter"})
_LONGEST_ACR = 100


class Checked:
    """A request that passed: its client, and what matters of it afterwards."""

    def __init__(self, client: Registration, request: AuthorizationRequest) -> None:
        self.client = client
        self.request = request

    @property
    def plain(self) -> bool:
        """Whether a live session answers it at once: nothing in it asks more than a session that owes nothing."""
        request = self.request
        return request.prompt in {"", "none", "consent"} and request.max_age is None and request.subject is None


def check(settings: Settings, ring: KeyRing, encoded: bytes, *, fresh: bool = False) -> Checked:
    """Check an authorization request, against the registration in memory unless `fresh`.

    Raises:
        RequestUntrusted: client or redirect URI are wrong.
        RequestRefused: something else is.
    """
    parameters, fault = _parse_once(encoded)
    client = check_client(parameters, fresh=fresh)
    redirect_uri = check_redirect_uri(client, parameters)
    state = parameters.get("state")
    if fault:
        raise RequestRefused("invalid_request", fault, redirect_uri, state)
    try:
        request = _check_rest(settings, ring, client, parameters)
    except _Refusal as refusal:
        raise RequestRefused(refusal.error, refusal.description, redirect_uri, state) from refusal
    return Checked(client, request)


class _Refusal(Exception):  # noqa: N818 - internal
    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


def _parse_once(encoded: bytes) -> tuple[dict[str, str], str]:
    """Return the parameters, and the fault that is told to the client once it is certain who it is."""
    try:
        return parse(encoded), ""
    except ParameterError as error:
        if error.name in _MUST_BE_CERTAIN or error.name == "state":
            raise RequestUntrusted(f"{error.problem} {error.name}") from error
        certain: dict[str, str] = {}
        for name in ("client_id", "redirect_uri", "state"):
            certain |= _only(encoded, name)
        return certain, str(error)


def _only(encoded: bytes, name: str) -> dict[str, str]:
    prefix = name.encode() + b"="
    parts = [part for part in encoded.split(b"&") if part.startswith(prefix)]
    try:
        return parse(b"&".join(parts))
    except ParameterError as error:
        raise RequestUntrusted(f"{error.problem} {name}") from error


def check_client(parameters: Mapping[str, str], *, fresh: bool = False) -> Registration:
    """The client must be registered and enabled; a page says the same of an unknown and of a disabled one."""
    client = clients.find(parameters.get("client_id"), fresh=fresh)
    if client is None:
        raise RequestUntrusted("invalid client_id")
    return client.registration


def check_redirect_uri(client: Registration, parameters: Mapping[str, str]) -> str:
    """The redirect URI must be one that was registered, letter by letter (RFC 9700 2.1); it may not be left out."""
    uri = parameters.get("redirect_uri", "")
    if uri not in client.redirect_uris:
        raise RequestUntrusted("invalid redirect_uri")
    return uri


def _check_rest(
    settings: Settings, ring: KeyRing, client: Registration, parameters: Mapping[str, str]
) -> AuthorizationRequest:
    check_no_request_object(parameters)
    check_response_type(parameters)
    check_response_mode(parameters)
    hinted = check_id_token_hint(settings, ring, client, parameters)
    demanded = check_claims(parameters)
    if hinted and demanded and hinted != demanded:
        raise _Refusal("invalid_request", "id_token_hint and claims name different subjects")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        scope=check_scope(client, parameters),
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        code_challenge=check_pkce(client, parameters),
        acr=check_acr_values(parameters),
        prompt=check_prompt(parameters),
        max_age=check_max_age(parameters),
        login_hint=parameters.get("login_hint", "")[:100],
        subject=hinted or demanded,
    )


def check_no_request_object(parameters: Mapping[str, str]) -> None:
    """Request objects are not served (Core 6.1); nothing is fetched for them."""
    for name, error in (
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ):
        if parameters.get(name):
            raise _Refusal(error, "")


def check_response_type(parameters: Mapping[str, str]) -> None:
    """Only the code flow is served."""
    kind = parameters.get("response_type")
    if not kind:
        raise _Refusal("invalid_request", "response_type is missing")
    if kind != "code":
        raise _Refusal("unsupported_response_type", "only the code flow is served")


def check_response_mode(parameters: Mapping[str, str]) -> None:
    """Answers travel in the query."""
    if parameters.get("response_mode", "query") != "query":
        raise _Refusal("invalid_request", "response_mode must be query")


def check_scope(client: Registration, parameters: Mapping[str, str]) -> str:
    """`openid` must be there; a scope that is unknown or not assigned to the client is refused, never just dropped."""
    asked = list(dict.fromkeys(parameters.get("scope", "").split()))
    if "openid" not in asked:
        raise _Refusal("invalid_scope", "scope must contain openid")
    allowed = client.scopes & set(SCOPES) | {"openid"}
    if not allowed.issuperset(asked):
        raise _Refusal("invalid_scope", "a scope is not assigned to this client")
    return " ".join(asked)


def check_pkce(client: Registration, parameters: Mapping[str, str]) -> str | None:
    """RFC 7636 with S256 alone; compulsory unless the client was registered otherwise, enforced whenever it is sent."""
    challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
    if challenge is None and method is None:
        if client.pkce_required:
            raise _Refusal("invalid_request", "code_challenge is missing")
        return None
    if method != "S256":
        raise _Refusal("invalid_request", "code_challenge_method must be S256")
    if not _CHALLENGE.fullmatch(challenge or ""):
        raise _Refusal("invalid_request", "code_challenge must be 43 base64url characters")
    return challenge


def check_prompt(parameters: Mapping[str, str]) -> str:
    """`none` stands alone; values that are not defined are refused."""
    prompts = parameters.get("prompt", "").split()
    if set(prompts) - PROMPTS:
        raise _Refusal("invalid_request", "prompt has an unknown value")
    if "none" in prompts and len(prompts) > 1:
        raise _Refusal("invalid_request", "prompt none must stand alone")
    return " ".join(prompts)


def check_max_age(parameters: Mapping[str, str]) -> int | None:
    """Seconds, not negative."""
    value = parameters.get("max_age")
    if value is None:
        return None
    if not _MAX_AGE.fullmatch(value):
        raise _Refusal("invalid_request", "max_age must be a number of seconds")
    return int(value)


def check_acr_values(parameters: Mapping[str, str]) -> str | None:
    """A wish, never an error (Core 3.1.2.1): the first value that we can satisfy."""
    return next((value for value in parameters.get("acr_values", "").split() if value in ACR_VALUES), None)


def check_claims(parameters: Mapping[str, str]) -> str | None:
    """The claims parameter is not served, but for the subject that it insists on (Core 5.5.1), and nobody else."""
    text = parameters.get("claims")
    if text is None:
        return None
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError):
        raise _Refusal("invalid_request", "claims is not JSON") from None
    member: Any = asked
    for name in ("id_token", "sub", "value"):
        member = member.get(name) if isinstance(member, dict) else None
    return member if isinstance(member, str) else None


def check_id_token_hint(
    settings: Settings, ring: KeyRing, client: Registration, parameters: Mapping[str, str]
) -> str | None:
    """The hint must be an ID token of ours for this client; it may have expired (Core 3.1.2.1)."""
    hint = parameters.get("id_token_hint")
    if not hint:
        return None
    claims = read_id_token(settings, ring, hint)
    if claims is None or claims.get("aud") != client.client_id:
        raise _Refusal("invalid_request", "id_token_hint is not an ID token of this client")
    return str(claims["sub"])
