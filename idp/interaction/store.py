"""Starts, signs, opens and resumes interactions.

An interaction is signed under `IDP_SECRET_KEY`, not encrypted. It holds the digest of the browser's own cookie: the URL
does not work in another browser (security rows A-22, V-03). Another browser only learns which ENT to go back to.
"""

import hmac
import re
import uuid
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from idp import opaque
from idp.clients import registry
from idp.clock import ACTIVATION_LIFETIME, INTERACTION_LIFETIME, now
from idp.languages import first_offered
from idp.services import services
from idp.web import declarations
from idp.web.browser import binding, note_answered, was_answered
from idp.web.errors import InteractionLostError
from idp.web.http import current_request

PARAMETER = "demande"
_LONGEST = 12_000
# The characters of a signed value. Base64 would ignore others, and a page repeats the value.
_SIGNED = re.compile(r"[\w.-]+", re.ASCII)
_NAME_LENGTH = 11  # the number of characters of an id that tell the requests of one browser apart


@dataclass(frozen=True)
class AuthorizationRequest:
    """The parameters of a checked request (OpenID Connect Core 3.1.2.1)."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    acr: str | None = None
    """The class that the session must have (`Session.acr`), if one is essential; voluntary ones are in `claims`."""
    prompt: str = ""
    max_age: int | None = None
    login_hint: str = ""
    subject: str | None = None
    """The only `sub` values that may get the code, from an ID token hint or a claims request; one a line."""
    claims: str | None = None  # the claims request (Core 5.5), reduced to the claims that this service knows
    response_mode: str = ""  # `form_post`, or empty for the query
    jkt: str | None = None  # the thumbprint of the only DPoP key that may exchange the code (RFC 9449 10)
    pushed: str | None = None  # the `request_uri` of the pushed request that the code will consume (RFC 9126)
    ui_locales: str = ""  # the language that the client asked for and the pages have, or empty

    @property
    def is_from_letter(self) -> bool:
        """Whether the person comes from a letter, which may not be that of the person who is signed in."""
        return self.login_hint == registry.LETTER_HINT

    @property
    def needs_session_only(self) -> bool:
        """Whether any live session that owes no step can answer the request."""
        is_of_anybody = self.max_age is None and self.subject is None and self.acr is None
        return is_of_anybody and self.prompt in {"", "none"} and not self.is_from_letter


_KEPT = {"p": "profile", "c": "agreed", "w": "recognised"}  # in the signed value
_PARAMETERS = tuple(parameter.name for parameter in fields(AuthorizationRequest))


@dataclass(frozen=True)
class Person:
    """The account that a correct provisional password opened for activation, and its generation then."""

    account_id: uuid.UUID
    generation: int
    since: datetime


@dataclass(frozen=True)
class Interaction:
    """A browser's state in an authorization request: the client, the start, the profile, the account to activate.

    `agreed` is the `sid` of the session whose person agreed that the client may be told (`prompt=consent`), and
    `recognised` that of the session whose person said that the account is the right one.
    """

    request: AuthorizationRequest | None = None
    id: str = field(default_factory=opaque.new_value)
    started_at: datetime = field(default_factory=now)
    profile: str = ""
    person: Person | None = None
    agreed: str = ""
    recognised: str = ""

    def with_person(self, account_id: uuid.UUID, generation: int) -> "Interaction":
        """Return this interaction after a correct provisional password."""
        return replace(self, person=Person(account_id, generation, now()))

    def without_person(self) -> "Interaction":
        """Return this interaction after a sign-in: the session now says who the person is."""
        return replace(self, person=None)


def sign(interaction: Interaction) -> str:
    """Return `interaction` as a value for a URL, valid in this browser only."""
    data: dict[str, Any] = {"i": interaction.id, "t": interaction.started_at.timestamp(), "b": _this_browser()}
    if interaction.request:
        given = ((name, getattr(interaction.request, name)) for name in _PARAMETERS)
        data["r"] = {name: value for name, value in given if value not in {None, ""}}
    data |= {key: value for key, name in _KEPT.items() if (value := getattr(interaction, name))}
    if interaction.person:
        person = interaction.person
        data["a"] = [str(person.account_id), person.generation, person.since.timestamp()]
    return _signer().dumps(data)


def current() -> Interaction | None:
    """Return the interaction of this request's URL; None if the URL has none.

    Raises:
        InteractionLostError: it expired, was changed, or belongs to another browser. The error names the ENT, unless
            the value was changed.
    """
    value = current_request().arguments.get(PARAMETER)
    if value is None:
        return None
    opened = _open(value)
    if opened is None:
        raise InteractionLostError
    interaction, browser = opened
    if not hmac.compare_digest(browser.encode(), _this_browser().encode()) or _is_over(interaction):
        raise InteractionLostError(client_of(interaction))
    return interaction


def client_of(interaction: Interaction | None, *, fresh: bool = False) -> registry.Registration | None:
    """Return the client whose request is in progress, or None.

    `fresh` reads it from the database, since it may have been disabled while the person took a step.
    """
    requested = interaction.request if interaction else None
    return registry.find(requested.client_id, fresh=fresh) if requested else None


def note_answer(interaction: Interaction) -> None:
    """Remember in this browser that the client got a code for `interaction`, since the client would refuse another."""
    note_answered(interaction.id[:_NAME_LENGTH])


def has_answer(interaction: Interaction) -> bool:
    """Return whether the client already got a code for `interaction`, by this browser's memory."""
    return was_answered(interaction.id[:_NAME_LENGTH])


def page_url(endpoint: str, interaction: Interaction | None) -> str:
    """Return the URL of a page of this service, with `interaction` and the language that it is shown in."""
    if interaction is None:
        return declarations.url(endpoint)
    values: dict[str, str] = {PARAMETER: sign(interaction)}
    wished = interaction.request.ui_locales if interaction.request else ""
    if language := first_offered(current_request().arguments.get("ui_locales", "")) or wished:
        values["ui_locales"] = language
    return declarations.url(endpoint, **values)


def resume_url(interaction: Interaction | None) -> str:
    """Return the URL that a page redirects to when its person has completed it.

    It is the activation if the password of a letter was entered, the account's page if no client asked, and otherwise
    the dispatcher.
    """
    if interaction is not None and interaction.person is not None:
        return page_url("activation.activate", interaction)
    if interaction is None or interaction.request is None:
        return declarations.url("my_account.show")
    return page_url("oidc.resume", interaction)


def decline_url(interaction: Interaction | None) -> str:
    """Return the URL for a person who declines a step or goes back to the ENT."""
    return page_url("oidc.deny", interaction and interaction.without_person())


def _open(value: str) -> tuple[Interaction, str] | None:
    """Return the signed interaction and the digest of its browser, which the caller compares before anything else."""
    if len(value) > _LONGEST or not _SIGNED.fullmatch(value):
        return None
    try:
        data, _ = _signer().loads(value)
        browser = str(data["b"])
        started_at = datetime.fromtimestamp(data["t"], UTC)
        person = data.get("a")
        interaction = Interaction(
            request=AuthorizationRequest(**data["r"]) if "r" in data else None,
            id=data["i"],
            started_at=started_at,
            **{name: data.get(key, "") for key, name in _KEPT.items()},
            person=Person(uuid.UUID(person[0]), person[1], datetime.fromtimestamp(person[2], UTC)) if person else None,
        )
    except (opaque.InvalidValueError, KeyError, TypeError, ValueError, OverflowError):
        return None
    return interaction, browser


def _this_browser() -> str:
    return opaque.digest(binding()).hex()[:32]


def _is_over(interaction: Interaction) -> bool:
    longest = INTERACTION_LIFETIME + (ACTIVATION_LIFETIME if interaction.person else timedelta(0))
    return now() - interaction.started_at > longest


def _signer() -> opaque.Signer:
    return opaque.signer(services().settings.secrets, "interaction")
