"""The authorization endpoint, and the dispatcher behind it (OpenID Connect Core 3.1.2, RFC 6749 4.1, RFC 9207).

`/authorize` checks the request and asks `idp.journey` which step the person owes next. With a live session that owes
nothing it answers at once, by one statement and without writing anything but the code. Each step leads back to
`/authorize/resume`, which asks again.
"""

import uuid
from datetime import datetime, timedelta
from typing import cast

from authlib.oauth2.rfc6749 import OAuth2Error
from flask import Blueprint, Response, make_response, render_template, request

from idp import journey, opaque
from idp.audit import chain
from idp.clients import registry
from idp.clients.models import CharterMode
from idp.clients.registry import Registration
from idp.clock import now
from idp.config import Settings
from idp.interaction import store
from idp.interaction.store import AuthorizationRequest, Interaction
from idp.oidc.authorization import errors, pushed_requests, rate_limits, responses
from idp.oidc.authorization.checks import check, check_again
from idp.oidc.authorization.errors import Cause, RequestRefused, RequestUntrusted
from idp.oidc.claims import release
from idp.oidc.logout import session_state
from idp.oidc.parameters import ParsedRequest, as_get, posted
from idp.oidc.store.contract import CodeRequest
from idp.oidc.tokens.grants import CodeGrant, StepOwed
from idp.profile_choice import profiles
from idp.services import services
from idp.sessions import browser_state, liveness, manager
from idp.web.declarations import acts_on_get
from idp.web.errors import InteractionLost
from idp.web.redirects import see_other
from idp.web.request_context import remote_address, request_id

_LONGEST_ADDRESS = 7800
"""What is left of the 8190 bytes of a request line for what later steps add."""
_FAPI2_CODE = timedelta(seconds=60)


@acts_on_get
def authorize() -> Response:
    """`/authorize`: answer at once, or lead to the first step that is owed."""
    encoded = request.query_string
    if request.method == "POST":
        encoded = posted()
        again = as_get(encoded)
        if again:
            return again
    try:
        if seconds := rate_limits.seconds_to_wait():
            rate_limits.refuse(encoded, seconds)
        return _at_once(encoded) or _after_steps(encoded)
    except RequestUntrusted as untrusted:
        return errors.page(untrusted)
    except RequestRefused as refused:
        return errors.refuse(refused)


def _at_once(encoded: bytes) -> Response | None:
    """Answer a plain request of a session that owes nothing; a None is followed by the whole story, on fresh data."""
    try:
        checked = check(services().settings, services().server.ring, encoded)
    except (RequestUntrusted, RequestRefused):
        return None
    return _issue(checked.client, checked.request) if checked.plain else None


def _after_steps(encoded: bytes) -> Response:
    """Check the request against the registration as the database has it, and lead to the first step that is owed."""
    checked = check(services().settings, services().server.ring, encoded, fresh=True)
    hint = profiles.from_hint(checked.request.login_hint)
    profile = hint or checked.client.default_profile or profiles.remembered()
    return _dispatch(Interaction(request=checked.request, profile=profile), checked.client)


@acts_on_get
def resume() -> Response:
    """`/authorize/resume`: a step is done; ask again which is owed."""
    if seconds := rate_limits.seconds_to_wait():
        rate_limits.stop(seconds)
    interaction = store.current()
    client = _client(interaction)
    if interaction is None or client is None:
        raise InteractionLost
    try:
        if store.has_answer(interaction) and manager.current() is not None:
            return _enter(client)
        if interaction.request is not None and interaction.request.redirect_uri in client.redirect_uris:
            check_again(client, interaction.request)
        return _dispatch(interaction, client)
    except RequestUntrusted as untrusted:
        return errors.page(untrusted)
    except RequestRefused as refused:
        return errors.refuse(refused)


def _enter(client: Registration) -> Response:
    """Lead whoever came back after the answer to the ENT's entrance: it would refuse a state that has served."""
    if client.home:
        return see_other(client.entrance(services().settings.issuer))
    return make_response(render_template("oidc/deja_connecte.html", dest=client))


@acts_on_get
def deny() -> Response:
    """`/authorize/refus`: tell the client that the person declined the step that is owed, or turned back.

    Another tab may have gone on meanwhile: if the step that is owed now cannot be declined, lead to it instead.
    """
    interaction = store.current()
    client = _client(interaction)
    wanted = interaction.request if interaction else None
    if interaction is None or wanted is None or client is None or wanted.redirect_uri not in client.redirect_uris:
        raise InteractionLost(client)
    state = _state(interaction, wanted, client)
    step = journey.next_step(state)
    if step is None or not step.declined_text:
        return see_other(store.page_url("oidc.resume", interaction))
    return errors.refuse(_refusal(wanted, "access_denied", step.declined_text))


def _dispatch(interaction: Interaction, client: Registration) -> Response:
    """Lead to the first step that is owed; owe nothing, and the code is issued."""
    wanted = interaction.request
    if wanted is None or wanted.redirect_uri not in client.redirect_uris:
        raise InteractionLost
    state = _state(interaction, wanted, client)
    if journey.is_out_of_reach(state):
        raise _refusal(wanted, "unmet_authentication_requirements", "the sign-in has not the acr that is essential")
    step = journey.next_step(state)
    if step is not None:
        if "none" in state.prompts:
            raise _refusal(wanted, step.oauth_error, "")
        return _lead_to(step, interaction.without_person() if state.session else interaction, wanted)
    if wanted.subject is not None and state.account is not None:
        subject = release.subject(client, state.account.id, state.account.join_key)
        if subject not in wanted.subject.split("\n"):
            raise _refusal(wanted, "login_required", "another person is signed in")
    response = _issue(client, wanted)
    if response:
        store.note_answer(interaction)
        return response
    if wanted.pushed and pushed_requests.is_used(wanted.pushed):
        raise RequestUntrusted("invalid request_uri", Cause.EXPIRED)
    # the session ended, or the client's registration changed, between the two questions: the next request finds out
    raise _refusal(wanted, "temporarily_unavailable", "")


def _lead_to(step: journey.Step, interaction: Interaction, wanted: AuthorizationRequest) -> Response:
    """Lead to a page, whose address carries the request on; one that no address can carry is refused (RFC 9110 4.1)."""
    address = store.page_url(step.endpoint, interaction)
    if len(address) > _LONGEST_ADDRESS:
        raise _refusal(wanted, "invalid_request", "the request is too long")
    return see_other(address)


def _state(interaction: Interaction, wanted: AuthorizationRequest, client: Registration) -> journey.State:
    found = manager.current()
    if found:
        rate_limits.note_live_session()
    return journey.State(
        client=client,
        session=found[0] if found else None,
        account=found[1] if found else None,
        profile=interaction.profile,
        prompts=frozenset(wanted.prompt.split()),
        max_age=wanted.max_age,
        acr=wanted.acr,
        agreed=found is not None and interaction.agreed == found[0].sid,
        started_at=interaction.started_at,
        now=now(),
        mail_required=services().settings.mail_required,
        is_activating=interaction.person is not None and found is None,
    )


def _journal_proof(settings: Settings, client: Registration, moment: datetime) -> dict[str, bytes]:
    """Return what protects the journal's entry of a code until the worker seals the entry."""
    salt = chain.new_salt()
    key = chain.issued_key(settings.secrets, salt, moment, client.key, remote_address(), request_id())
    return {"journal_salt": salt, "journal_key": key}


def _issue(client: Registration, wanted: AuthorizationRequest) -> Response | None:
    """Answer with a code, by the one statement that checks the session too; None when something is owed."""
    cookie = manager.cookie_value()
    if cookie is None:
        return None
    settings, moment = services().settings, now()

    def bind(code_digest: bytes) -> CodeRequest:
        return CodeRequest(
            cookie_digest=opaque.digest(cookie),
            code_digest=code_digest,
            family=uuid.uuid4(),
            client=client.key,
            client_version=client.version,
            redirect_uri=wanted.redirect_uri,
            scope=wanted.scope,
            nonce=wanted.nonce,
            challenge=wanted.code_challenge,
            claims=wanted.claims,
            jkt=wanted.jkt,
            pushed_digest=opaque.digest(wanted.pushed) if wanted.pushed else None,
            charter=client.charter_mode is CharterMode.PROVIDER and client.charter_version_id is not None,
            mail_required=settings.mail_required,
            now=moment,
            idle_since=liveness.idle_since(settings, moment),
            touch_before=liveness.touch_before(moment),
            expires_at=moment + _code_lifetime(settings, client),
            address=remote_address(),
            request_id=request_id(),
            **_journal_proof(settings, client, moment),
        )

    parsed = ParsedRequest(request, _as_parameters(client, wanted))
    try:
        grant = cast("CodeGrant", services().server.get_authorization_grant(parsed))
        redirect_uri = grant.validate_authorization_request()
        code = grant.generate_authorization_code()
        parsed.user = bind
        grant.save_authorization_code(code, parsed)
    except (StepOwed, OAuth2Error):  # the second when the client was shut out since the request was checked
        return None
    rate_limits.note_live_session()
    state = browser_state.value(grant.sid)
    pairs = [("code", code), ("session_state", session_state.of(state, client.client_id, redirect_uri))]
    response = responses.send(redirect_uri, pairs, wanted.state, wanted.response_mode)
    browser_state.keep(response, state)
    return response


def _as_parameters(client: Registration, wanted: AuthorizationRequest) -> dict[str, str]:
    """Return what Authlib needs to know of the request."""
    return {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": wanted.redirect_uri,
        "scope": wanted.scope,
    }


def _code_lifetime(settings: Settings, client: Registration) -> timedelta:
    """Return how long a code lives: a minute at most for FAPI 2.0 (5.3.2.1), whatever the operator decided."""
    lifetime = settings.lifetime("code_lifetime")
    return min(lifetime, _FAPI2_CODE) if client.fapi2 else lifetime


def _refusal(wanted: AuthorizationRequest, error: str, description: str) -> RequestRefused:
    return RequestRefused(
        error,
        description,
        client_id=wanted.client_id,
        redirect_uri=wanted.redirect_uri,
        state=wanted.state,
        response_mode=wanted.response_mode,
    )


def _client(interaction: Interaction | None) -> Registration | None:
    """Return the client as the database has it: who comes back from a step may find it shut out."""
    return registry.find(interaction.request.client_id, fresh=True) if interaction and interaction.request else None


def add_routes(blueprint: Blueprint) -> None:
    """Register the endpoint and the dispatcher."""
    blueprint.add_url_rule("/authorize", "authorize", authorize, methods=["GET", "POST"])
    blueprint.add_url_rule("/authorize/resume", "resume", resume, methods=["GET"])
    blueprint.add_url_rule("/authorize/refus", "deny", deny, methods=["GET"])
