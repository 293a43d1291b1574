"""The authorization endpoint and its dispatcher (OpenID Connect Core 3.1.2, RFC 6749 4.1, RFC 9207).

`/authorize` checks the request. For a live session that owes no step, the token store issues a code at once. Otherwise
`idp.journey` says which step the person owes next. Each step leads back to `/authorize/resume`, which asks again.
"""

import uuid
from datetime import timedelta
from typing import NoReturn

from flask_babel import gettext

from idp import journey, opaque, profile_choice
from idp.audit import chain
from idp.clients import registry
from idp.clients.models import CharterMode
from idp.clients.registry import Registration
from idp.clock import now
from idp.config import Settings
from idp.interaction import store
from idp.interaction.store import AuthorizationRequest, Interaction
from idp.metrics.catalogue import EVENTS
from idp.oidc.authorization import errors, pushed_requests
from idp.oidc.authorization.checks import check, check_again
from idp.oidc.authorization.errors import Cause, RequestRefusedError, UntrustedRequestError
from idp.oidc.claims import release
from idp.oidc.logout import front_channel
from idp.oidc.parameters import as_get
from idp.oidc.store.contract import CodeRequest
from idp.services import services
from idp.sessions import cookies, liveness, manager
from idp.throttle import counters, limits
from idp.web import endpoints
from idp.web.declarations import Trait, declares
from idp.web.errors import InteractionLostError, TooManyRequestsError
from idp.web.http import Request, Response, see_other
from idp.web.request_context import remote_ip, request_id

_MAX_URL_LENGTH = 7800  # in characters; a request line may have 8190 bytes, and later steps add parameters
_LIVE = "live session"
_FAPI2_CODE_LIFETIME = timedelta(seconds=60)


@declares(Trait.ACTS_ON_GET)
def authorize(request: Request) -> Response:
    """Issue a code at once, or redirect to the first step that is owed (`/authorize`)."""
    encoded = request.query_string
    if request.method == "POST":
        if redirect := as_get(request):
            return redirect
        encoded = request.form
    try:
        if "wait" not in request.decided:  # a thread that takes the request over must not count it again
            request.decided["wait"] = _seconds_to_wait()
        if seconds := request.decided["wait"]:
            _refuse_flood(encoded, seconds)
        client, requested = _check(encoded)
        at_once = _issue(request, client, requested) if requested.needs_session_only else None
        return at_once or _begin(request, encoded, client, requested)
    except UntrustedRequestError as untrusted:
        return errors.page(request, untrusted)
    except RequestRefusedError as refused:
        return _refuse(request, encoded, refused)


def _refuse(request: Request, encoded: bytes, refused: RequestRefusedError) -> Response:
    """Send an error to the client, if the registration in the database still has the redirect URI."""
    try:
        check(encoded, fresh=True)
    except UntrustedRequestError as untrusted:
        return errors.page(request, untrusted)
    except RequestRefusedError as present:
        return errors.refuse(present)
    return errors.refuse(refused)


def _check(encoded: bytes) -> tuple[Registration, AuthorizationRequest]:
    """Check the request by the cached registration; before a refusal, by the one in the database."""
    try:
        return check(encoded)
    except (UntrustedRequestError, RequestRefusedError):
        return check(encoded, fresh=True)


def _begin(request: Request, encoded: bytes, client: Registration, requested: AuthorizationRequest) -> Response:
    """Start an interaction, and redirect to the first step that is owed.

    If the client gets a response now, the registration is read from the database. Otherwise it may be that of a minute
    ago, since `resume` reads it before the client gets anything.
    """
    if manager.cookie_value() or cookies.is_device_sent() or "none" in requested.prompt:
        client, requested = check(encoded, fresh=True)
    hint = profile_choice.from_hint(requested.login_hint)
    profile = hint or client.default_profile or profile_choice.remembered()
    return _dispatch(request, Interaction(request=requested, profile=profile), client)


@declares(Trait.ACTS_ON_GET)
def resume(request: Request) -> Response:
    """Redirect to the next step that is owed, or issue the code (`/authorize/resume`)."""
    if seconds := _seconds_to_wait():
        _stop(seconds)
    interaction = store.current()
    if response := _at_once(request, interaction):
        return response
    client = store.client_of(interaction, fresh=True)
    if interaction is None or client is None:
        raise InteractionLostError
    try:
        if store.has_answer(interaction) and manager.current() is not None:
            return _enter(client)
        if interaction.request is not None and interaction.request.redirect_uri in client.redirect_uris:
            check_again(client, interaction.request)
        return _dispatch(request, interaction, client)
    except UntrustedRequestError as untrusted:
        return errors.page(request, untrusted)
    except RequestRefusedError as refused:
        return errors.refuse(refused)


def _at_once(request: Request, interaction: Interaction | None) -> Response | None:
    """Issue a code if the session that a sign-in just opened owes no further step; otherwise return None."""
    requested = interaction.request if interaction else None
    if interaction is None or requested is None or store.has_answer(interaction):
        return None
    client = registry.find(requested.client_id)
    if client is None or not requested.needs_session_only or not _is_allowed(client, requested):
        return None
    response = _issue(request, client, requested)
    if response:
        store.note_answer(interaction)
    return response


def _is_allowed(client: Registration, requested: AuthorizationRequest) -> bool:
    """Return whether a registration still allows the request; the statement checks that it is the present one."""
    try:
        check_again(client, requested)
    except RequestRefusedError:
        return False
    return requested.redirect_uri in client.redirect_uris


def _enter(client: Registration) -> Response:
    """Redirect to the ENT's entrance: the response was sent before, and the ENT accepts its `state` once."""
    if client.home:
        return see_other(client.entrance(services().settings.issuer))
    return endpoints.render("oidc/deja_connecte.html", dest=client)


@declares(Trait.ACTS_ON_GET)
def deny(_request: Request) -> Response:
    """Send `access_denied` to the client, because the person declined a step or turned back (`/authorize/refus`).

    Another tab may have completed the step: if the step that is owed now cannot be declined, redirect to it.
    """
    interaction = store.current()
    client = store.client_of(interaction, fresh=True)
    requested = interaction.request if interaction else None
    if interaction is None or requested is None or client is None or requested.redirect_uri not in client.redirect_uris:
        raise InteractionLostError(client)
    state = _state(interaction, requested, client)
    step = journey.next_step(state)
    if step is None or not step.declined_text:
        return see_other(store.page_url("oidc.resume", interaction))
    return errors.refuse(RequestRefusedError("access_denied", step.declined_text, requested))


def _dispatch(request: Request, interaction: Interaction, client: Registration) -> Response:
    requested = interaction.request
    if requested is None or requested.redirect_uri not in client.redirect_uris:
        raise InteractionLostError
    state = _state(interaction, requested, client)
    if journey.is_acr_unmet(state):
        description = "the sign-in has not the acr that is essential"
        raise RequestRefusedError("unmet_authentication_requirements", description, requested)
    step = journey.next_step(state)
    if step is not None:
        if "none" in state.prompts:
            raise RequestRefusedError(step.oauth_error, "", requested)
        return _lead_to(step, interaction.without_person() if state.session else interaction, requested)
    if requested.subject is not None and state.account is not None:
        subject = release.subject(client, state.account.id, state.account.join_key)
        if subject not in requested.subject.split("\n"):
            raise RequestRefusedError("login_required", "another person is signed in", requested)
    response = _issue(request, client, requested)
    if response:
        store.note_answer(interaction)
        return response
    if requested.pushed and pushed_requests.is_used(requested.pushed):
        raise UntrustedRequestError("invalid request_uri", Cause.EXPIRED)
    # the session ended, or the registration changed, between the two statements: a retry will show which
    raise RequestRefusedError("temporarily_unavailable", "", requested)


def _lead_to(step: journey.Step, interaction: Interaction, requested: AuthorizationRequest) -> Response:
    url = store.page_url(step.endpoint, interaction)
    if len(url) > _MAX_URL_LENGTH:
        raise RequestRefusedError("invalid_request", "the request is too long", requested)
    return see_other(url)


def _state(interaction: Interaction, requested: AuthorizationRequest, client: Registration) -> journey.State:
    signed_in = manager.current()
    if signed_in:
        _note_live_session()
    return journey.State(
        client=client,
        session=signed_in[0] if signed_in else None,
        account=signed_in[1] if signed_in else None,
        profile=interaction.profile,
        prompts=frozenset(requested.prompt.split()),
        max_age=requested.max_age,
        acr=requested.acr,
        agreed=signed_in is not None and interaction.agreed == signed_in[0].sid,
        may_be_another=requested.is_from_letter
        and signed_in is not None
        and interaction.recognised != signed_in[0].sid,
        started_at=interaction.started_at,
        now=now(),
        mail_required=services().settings.mail_required,
        is_activating=interaction.person is not None and signed_in is None,
    )


def _issue(request: Request, client: Registration, requested: AuthorizationRequest) -> Response | None:
    """Return the response with a code, or None if the token store issues none.

    Then a step is owed, the session ended, the client changed, or the pushed request was used.
    """
    cookie = manager.cookie_value()
    if cookie is None:
        return None
    code = opaque.new_value()
    sid = services().server.store.issue_code(_code_request(request, client, requested, cookie, code))
    if sid is None:
        return None
    EVENTS.count(chain.ISSUED, "ok")  # the statement has written it
    _note_live_session()
    state = cookies.browser_state(sid)
    pairs = [
        ("code", code),
        ("session_state", front_channel.session_state_of(state, client.client_id, requested.redirect_uri)),
    ]
    response = errors.send(requested, pairs)
    cookies.keep_browser_state(response, state)
    return response


def _code_request(
    request: Request, client: Registration, requested: AuthorizationRequest, cookie: str, code: str
) -> CodeRequest:
    settings, moment, salt = services().settings, now(), chain.new_salt()
    ip, id_of_request = request.remote_ip, request_id()
    return CodeRequest(
        cookie_digest=opaque.digest(cookie),
        code_digest=opaque.digest(code),
        family=uuid.uuid4(),
        client=client.key,
        client_version=client.version,
        redirect_uri=requested.redirect_uri,
        scope=requested.scope,
        nonce=requested.nonce,
        challenge=requested.code_challenge,
        claims=requested.claims,
        jkt=requested.jkt,
        pushed_digest=opaque.digest(requested.pushed) if requested.pushed else None,
        charter=client.charter_mode is CharterMode.PROVIDER and client.charter_version_id is not None,
        mail_required=settings.mail_required,
        now=moment,
        idle_since=liveness.idle_since(settings, moment),
        touch_before=liveness.touch_before(moment),
        expires_at=moment + _code_lifetime(settings, client),
        ip=ip,
        request_id=id_of_request,
        # they protect the audit entry of the code until the worker seals it
        journal_salt=salt,
        journal_key=chain.issued_key(settings.secrets, salt, moment, client.key, ip, id_of_request),
    )


def _code_lifetime(settings: Settings, client: Registration) -> timedelta:
    """Return the lifetime of a code: at most a minute for FAPI 2.0 (5.3.2.1), whatever the operator set."""
    lifetime = settings.lifetime("code_lifetime")
    return min(lifetime, _FAPI2_CODE_LIFETIME) if client.fapi2 else lifetime


def _seconds_to_wait() -> int:
    """Count this request in the memory of the process; return 0, or the seconds to wait if it exceeds a limit.

    An ENT that sends the browser back after each response makes a redirect loop, and each request of a live session
    stores a code. Requests are counted before they are checked, so one machine behind a school's IP address can exhaust
    the limit of the network. This must not stop parents who are signed in there. A session has a limit of its own: once
    the database has confirmed that a cookie belongs to a live session, the process remembers the cookie, and the limit
    of the network does not apply to it. Nobody can make such a cookie without signing in. An unknown cookie counts for
    the network: looking it up would cost the statement that the limit saves.
    """
    cookie = manager.cookie_value()
    session = [(limits.AUTHORIZE_SESSION, cookie)] if cookie else []
    if cookie and counters.is_marked_in_memory(_LIVE, cookie):
        return counters.take_in_memory(*session)
    return counters.take_in_memory((limits.AUTHORIZE_NETWORK, remote_ip()), *session)


def _note_live_session() -> None:
    if cookie := manager.cookie_value():
        counters.mark_in_memory(_LIVE, cookie)


def _refuse_flood(encoded: bytes, seconds: int) -> NoReturn:
    """Refuse a request that exceeds a limit.

    A page ends a redirect loop and says when to retry. With `prompt=none`, a script waits for the response in a hidden
    frame, so the error is sent to the client.

    Raises:
        RequestRefusedError: `temporarily_unavailable` (RFC 6749 4.1.2.1), for `prompt=none`.
        TooManyRequestsError: Otherwise.
    """
    if b"none" in encoded or b"request_uri" in encoded:
        try:
            _, requested = check(encoded)
        except (UntrustedRequestError, RequestRefusedError):
            _stop(seconds)
        if requested.prompt == "none":
            description = f"too many requests, retry after {seconds} seconds"
            raise RequestRefusedError("temporarily_unavailable", description, requested)
    _stop(seconds)


def _stop(seconds: int) -> NoReturn:
    raise TooManyRequestsError(
        seconds,
        sentence=gettext("Il y a eu trop de demandes de connexion en peu de temps. Attendez, puis revenez à l’ENT."),
    )


ENDPOINTS = (
    endpoints.Endpoint("/authorize", "authorize", authorize, ("GET", "POST"), is_in_memory=True),
    endpoints.Endpoint("/authorize/resume", "resume", resume, ("GET",)),
    endpoints.Endpoint("/authorize/refus", "deny", deny, ("GET",)),
)
