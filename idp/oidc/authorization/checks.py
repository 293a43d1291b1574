"""The checks of an authorization request (OpenID Connect Core 3.1.2.1, RFC 6749 4.1.1, RFC 7636, RFC 9126, RFC 9700).

One `check_*` for one sentence of a specification. Until client and redirect URI are certain, a fault is shown on a page
of ours; after that it goes back to the client. Authlib validates client, redirect URI and response type; the rest it
leaves open.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from idp.clients.registry import Registration
from idp.config import Settings
from idp.interaction.store import AuthorizationRequest
from idp.oidc.authorization import pushed_requests, request_object
from idp.oidc.authorization.errors import Cause, RequestRefused, RequestUntrusted
from idp.oidc.authorization.responses import FORM_POST, RESPONSE_MODES
from idp.oidc.claims import parameter, release
from idp.oidc.claims.parameter import ClaimsRequest, ClaimsRequestError, UnknownAcrError
from idp.oidc.client_auth import client as clients
from idp.oidc.keys.ring import KeyRing
from idp.oidc.parameters import ParameterError, parse
from idp.oidc.tokens.id_token_hint import read_id_token
from idp.web import i18n

PROMPTS = frozenset({"none", "login", "consent", "select_account"})
READ = frozenset(
    {
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt"),
        *("code_challenge", "code_challenge_method", "dpop_jkt", "claims", "acr_values", "id_token_hint"),
        *("max_age", "login_hint", "ui_locales", "request", "request_uri", "registration"),
    }
)
"""The parameters of a request that are looked at; others are ignored (RFC 6749 3.1)."""
_SHA256 = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MOST_SCOPES = 50
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
_MUST_BE_CERTAIN = frozenset({"client_id", "redirect_uri", "parameters", "parameter"})


class Checked:
    """A request that passed: its client, and what matters of it afterwards."""

    def __init__(self, client: Registration, request: AuthorizationRequest) -> None:
        self.client = client
        self.request = request

    @property
    def plain(self) -> bool:
        """Whether a live session answers it at once: nothing in it asks more than a session that owes nothing."""
        request = self.request
        demands = (request.max_age, request.subject, request.acr)
        return request.prompt in {"", "none"} and all(demand is None for demand in demands)


def check(settings: Settings, ring: KeyRing, encoded: bytes, *, fresh: bool = False) -> Checked:
    """Check an authorization request, against the registration in memory unless `fresh`.

    Raises:
        RequestUntrusted: client or redirect URI are wrong.
        RequestRefused: something else is.
    """
    parameters, fault = _parse_once(encoded)
    client = check_client(parameters, fresh=fresh)
    request_uri = parameters.get("request_uri", "")
    if request_uri.startswith(pushed_requests.PREFIX):
        request = check_parameters(settings, ring, client, check_pushed(client, request_uri))
        return Checked(client, replace(request, pushed=request_uri))
    if client.par_required or client.fapi2:
        fault = fault or "this client must push its requests"
    return Checked(client, check_parameters(settings, ring, client, parameters, fault))


def check_parameters(
    settings: Settings, ring: KeyRing, client: Registration, parameters: Mapping[str, str], fault: str = ""
) -> AuthorizationRequest:
    """Check what a client asks for, wherever it came from; `fault` is one that is known and not told yet.

    Raises:
        RequestUntrusted: the redirect URI is wrong, or the way to answer is not served.
        RequestRefused: something else is.
    """
    redirect_uri = check_redirect_uri(client, parameters)
    check_response_mode(parameters)
    state, mode = parameters.get("state"), _answer_mode(parameters)
    refused = partial(
        RequestRefused, client_id=client.client_id, redirect_uri=redirect_uri, state=state, response_mode=mode
    )
    if mode == FORM_POST and state and ("\n" in state or "\r" in state):
        raise RequestUntrusted("unreadable state")  # browsers write line ends anew: it would come back as another one
    if fault:
        raise refused("invalid_request", fault)
    try:
        return _check_rest(settings, ring, client, parameters)
    except _Refusal as refusal:
        raise refused(refusal.error, refusal.description) from refusal


def check_again(client: Registration, request: AuthorizationRequest) -> None:
    """Hold a request that was checked some pages ago to the registration of now.

    Raises:
        RequestRefused: the client may no longer ask for that, or not in that way.
    """
    pkce = {"code_challenge": request.code_challenge, "code_challenge_method": "S256"} if request.code_challenge else {}
    try:
        check_scope(client, {"scope": request.scope})
        check_pkce(client, pkce)
        if (client.par_required or client.fapi2) and not request.pushed:
            raise _Refusal("invalid_request", "this client must push its requests")  # noqa: TRY301 - one way out
    except _Refusal as refusal:
        raise RequestRefused(
            refusal.error,
            refusal.description,
            client_id=client.client_id,
            redirect_uri=request.redirect_uri,
            state=request.state,
            response_mode=request.response_mode,
        ) from refusal


def _answer_mode(parameters: Mapping[str, str]) -> str:
    """Return how answers and errors travel, if not in the query."""
    mode = request_object.response_mode(parameters.get("request", "")) or parameters.get("response_mode")
    return FORM_POST if mode == FORM_POST else ""


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
        for name in ("client_id", "redirect_uri", "state", "request_uri"):
            certain |= _only(encoded, name)
        with suppress(RequestUntrusted):
            certain |= _only(encoded, "response_mode")
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
        raise RequestUntrusted("invalid client_id", Cause.CLIENT)
    return client.registration


def check_redirect_uri(client: Registration, parameters: Mapping[str, str]) -> str:
    """The redirect URI must be one that was registered, letter by letter (RFC 9700 2.1); it may not be left out."""
    uri = parameters.get("redirect_uri", "")
    if uri not in client.redirect_uris:
        raise RequestUntrusted("invalid redirect_uri", Cause.REDIRECT_URI if uri else Cause.NO_REDIRECT_URI)
    return uri


def check_pushed(client: Registration, request_uri: str) -> Mapping[str, str]:
    """A pushed request is the client's own, unused and not expired (RFC 9126 4); whatever came beside it is ignored.

    It is checked once more: the registration may have changed since.
    """
    parameters = pushed_requests.find(client, request_uri)
    if parameters is None:
        raise RequestUntrusted("invalid request_uri", Cause.EXPIRED)
    return parameters


def _check_rest(
    settings: Settings, ring: KeyRing, client: Registration, parameters: Mapping[str, str]
) -> AuthorizationRequest:
    check_no_request_object(parameters)
    check_response_type(parameters)
    asked = check_claims(client, parameters)
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        scope=check_scope(client, parameters),
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        code_challenge=check_pkce(client, parameters),
        acr=release.required_session_class(asked.acr) if asked.acr_is_essential else None,
        prompt=check_prompt(parameters),
        max_age=check_max_age(client, parameters),
        login_hint=parameters.get("login_hint", "")[:100],
        subject=check_subject(asked, check_id_token_hint(settings, ring, client, parameters)),
        claims=asked.serialize(),
        response_mode=_answer_mode(parameters),
        jkt=check_dpop_jkt(parameters),
        ui_locales=i18n.served(parameters.get("ui_locales", "")),
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
    """Answers travel in the query, or by the browser's post (Form Post Response Mode 1.0); never in a fragment.

    Who asks for another way could not read an answer: it is told on a page of ours (Core 3.1.2.6).
    """
    if parameters.get("response_mode", RESPONSE_MODES[0]) not in RESPONSE_MODES:
        raise RequestUntrusted(f"response_mode must be one of: {', '.join(RESPONSE_MODES)}")


def check_scope(client: Registration, parameters: Mapping[str, str]) -> str:
    """`openid` must be there; a scope that is not assigned to the client is refused, never just dropped.

    One that means nothing here is ignored (Core 3.1.2.1), and is not in the `scope` of the answer (RFC 6749 3.3).
    """
    asked = list(dict.fromkeys(parameters.get("scope", "").split()))
    if "openid" not in asked:
        raise _Refusal("invalid_scope", "scope must contain openid")
    if len(asked) > _MOST_SCOPES:
        raise _Refusal("invalid_scope", f"scope has more than {_MOST_SCOPES} values")
    understood = [scope for scope in asked if scope in release.SCOPES]
    if not (client.scopes | {"openid"}).issuperset(understood):
        raise _Refusal("invalid_scope", "a scope is not assigned to this client")
    return " ".join(understood)


def check_pkce(client: Registration, parameters: Mapping[str, str]) -> str | None:
    """RFC 7636 with S256 alone; compulsory unless the client was registered otherwise, enforced whenever it is sent."""
    challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
    if challenge is None and method is None:
        if client.pkce_required or client.fapi2:
            raise _Refusal("invalid_request", "code_challenge is missing")
        return None
    if method != "S256":
        raise _Refusal("invalid_request", "code_challenge_method must be S256")
    if not _SHA256.fullmatch(challenge or ""):
        raise _Refusal("invalid_request", "code_challenge must be 43 base64url characters")
    return challenge


def check_dpop_jkt(parameters: Mapping[str, str]) -> str | None:
    """The thumbprint of the key that the code will be bound to (RFC 9449 10)."""
    jkt = parameters.get("dpop_jkt")
    if jkt is not None and not _SHA256.fullmatch(jkt):
        raise _Refusal("invalid_request", "dpop_jkt must be 43 base64url characters")
    return jkt


def check_prompt(parameters: Mapping[str, str]) -> str:
    """`none` stands alone; values that are not defined are refused."""
    prompts = parameters.get("prompt", "").split()
    if set(prompts) - PROMPTS:
        raise _Refusal("invalid_request", "prompt has an unknown value")
    if "none" in prompts and len(prompts) > 1:
        raise _Refusal("invalid_request", "prompt none must stand alone")
    return " ".join(prompts)


def check_max_age(client: Registration, parameters: Mapping[str, str]) -> int | None:
    """Seconds, not negative; what the client registered when it says nothing (Registration 2, `default_max_age`)."""
    value = parameters.get("max_age")
    if value is None:
        return client.default_max_age
    if not _MAX_AGE.fullmatch(value):
        raise _Refusal("invalid_request", "max_age must be a number of seconds")
    return int(value)


def check_claims(client: Registration, parameters: Mapping[str, str]) -> ClaimsRequest:
    """The claims request (Core 5.5), and `acr_values`, which is a wish and never an error (3.1.2.1).

    Who says nothing wishes what the client registered (Registration 2, `default_acr_values`). An essential
    `acr` that no sign-in here can have is told at once (Unmet Authentication Requirements 1.0).
    """
    try:
        return parameter.read(
            parameters.get("claims"),
            parameters.get("acr_values") or client.default_acr_values,
            releasable=release.releasable_claims(client),
            classes=release.ACR_VALUES,
        )
    except ClaimsRequestError as malformed:
        raise _Refusal("invalid_request", str(malformed)) from malformed
    except UnknownAcrError:
        raise _Refusal("unmet_authentication_requirements", "no sign-in here has one of those acr") from None


def check_subject(asked: ClaimsRequest, hinted: str | None) -> str | None:
    """Whom the code may be for, if the hint or the claims request say so; both must hold (Core 3.1.2.2)."""
    if hinted is None:
        return "\n".join(sorted(asked.subjects)) or None
    if asked.subjects and hinted not in asked.subjects:
        raise _Refusal("invalid_request", "id_token_hint and claims name different subjects")
    return hinted


def check_id_token_hint(
    settings: Settings, ring: KeyRing, client: Registration, parameters: Mapping[str, str]
) -> str | None:
    """The hint must be an ID token of ours for this client; it may have expired (Core 3.1.2.1)."""
    hint = parameters.get("id_token_hint")
    if not hint:
        return None
    identity = read_id_token(settings, ring, hint)
    if identity is None or identity.get("aud") != client.client_id:
        raise _Refusal("invalid_request", "id_token_hint is not an ID token of this client")
    return str(identity["sub"])
