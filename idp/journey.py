"""The order of the steps: the pages that a person must complete before the client gets its code.

The dispatcher of `/authorize` computes the next step from stored state and the signed request at every return, so that
no URL skips a step. A step ends with a redirect to `idp.interaction.store.resume_url` or `decline_url`. It does not
know other steps; the exceptions and their reasons are in `tests/architecture/test_home_of_routes.py`
(`LEADS_ELSEWHERE`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from idp.accounts.models import Account
from idp.charter import service as charters
from idp.clients import audience
from idp.clients.models import CharterMode
from idp.clients.registry import Registration
from idp.sessions import liveness
from idp.sessions.models import Session


@dataclass(frozen=True)
class State:
    """The state that decides on the next step.

    Attributes:
        acr: the class (`Session.acr`) that an essential `acr` requires; None for any.
        agreed: whether the person agreed to this request (`prompt=consent`).
        may_be_another: whether the person comes from a letter, and has not said that the account that is signed in is
            the right one.
        is_activating: whether a letter's password was entered for this request, and nobody signed in yet.
    """

    client: Registration
    session: Session | None
    account: Account | None
    profile: str
    prompts: frozenset[str]
    max_age: int | None
    acr: str | None
    agreed: bool
    may_be_another: bool
    started_at: datetime
    now: datetime
    mail_required: bool
    is_activating: bool


@dataclass(frozen=True)
class Step:
    """A step of the journey.

    Attributes:
        endpoint: the Flask endpoint of its page.
        needed: returns whether the step is needed.
        oauth_error: the error for `prompt=none` (OpenID Connect Core 3.1.2.6).
        declined_text: the `error_description` when the person declines; empty if the step cannot be declined.
    """

    endpoint: str
    needed: Callable[[State], bool]
    oauth_error: str
    declined_text: str


def _authentication_is_needed(state: State) -> bool:
    """Return whether there is no session, or the request needs a newer one (`prompt`, `max_age`; Core 3.1.2.1)."""
    return state.session is None or not liveness.is_fresh_enough(
        state.session,
        prompts=state.prompts,
        max_age=state.max_age,
        acr=state.acr,
        started_at=state.started_at,
        now=state.now,
    )


def _person_may_be_another(state: State) -> bool:
    """Return whether the letter's person may be another one than that of the session, which began before."""
    return state.may_be_another and state.session is not None and state.session.auth_time < state.started_at


def _charter_is_needed(state: State) -> bool:
    if state.client.charter_mode is not CharterMode.PROVIDER or state.account is None:
        return False
    charter = charters.current(state.client.key, state.account.id)
    return charter is not None and charter.accepted_at is None


def _agreement_is_needed(state: State) -> bool:
    """Return whether `prompt=consent` requires an agreement to this request (Core 3.1.2.1)."""
    return "consent" in state.prompts and not state.agreed


_NOT_SIGNED_IN = "the person did not sign in"
STEPS = (
    # before every other: nobody is signed in until the activation ends
    Step("activation.activate", lambda state: state.is_activating, "login_required", ""),
    # before the sign-in: people of other profiles sign in elsewhere
    Step(
        "profile_choice.choose",
        lambda state: _authentication_is_needed(state) and not state.profile,
        "login_required",
        _NOT_SIGNED_IN,
    ),
    Step(
        "profile_choice.elsewhere",
        lambda state: _authentication_is_needed(state) and state.profile != "parent",
        "login_required",
        _NOT_SIGNED_IN,
    ),
    # before the steps of an account: another person may sign in
    Step("login.sign_in", _authentication_is_needed, "login_required", _NOT_SIGNED_IN),
    # before the steps of an account too; after the sign-in, since who signed in for this request is known
    Step("oidc.is_it_you", _person_may_be_another, "account_selection_required", ""),
    # before the steps of a client: the person owes it to every ENT
    Step(
        "email_confirmation.waiting",
        lambda state: state.mail_required and state.account is not None and state.account.email is None,
        "interaction_required",
        "",
    ),
    # before the charter: nobody accepts that of an ENT that cannot be entered
    Step(
        "oidc.not_this_ent",
        lambda state: state.account is not None and not audience.may_know(state.client.key, state.account.id),
        "access_denied",
        "the person turned back",
    ),
    # before the agreement: the charter's acceptance is among the claims that it is about
    Step("charter.show", _charter_is_needed, "consent_required", "the charter is not accepted"),
    # last: it is about this request alone
    Step("oidc.agree", _agreement_is_needed, "consent_required", "the person did not agree"),
)
"""The first step that is needed is next; `tests/protocol/test_turning_back.py` holds the order."""


def next_step(state: State) -> Step | None:
    """Return the first step that is needed; None if the code may be issued."""
    return next((step for step in STEPS if step.needed(state)), None)


def is_acr_unmet(state: State) -> bool:
    """Return whether the person signed in for this request without its essential `acr` (Core 5.5.1.1)."""
    session = state.session
    return session is not None and liveness.lacks_acr(session, state.acr) and not _authentication_is_needed(state)
