"""Starts, seals, opens and resumes interactions.

A sealed interaction is signed under `IDP_SECRET_KEY` and holds the digest of the browser's own cookie: the address,
sent to somebody else, opens nothing there (security rows A-22, V-03). It tells which ENT to go back to, and no more.
"""

import hashlib
import hmac
import uuid
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from flask import request, url_for
from itsdangerous import BadData, URLSafeSerializer

from idp import opaque
from idp.clients import registry
from idp.clock import now
from idp.services import services
from idp.web import i18n
from idp.web.browser import binding, note_answered, was_answered
from idp.web.errors import InteractionLostError

PARAMETER = "demande"
_LONGEST = 12_000
_NAME_LENGTH = 11
"""Characters of an id that tell the requests of one browser apart."""


@dataclass(frozen=True)
class AuthorizationRequest:
    """The parameters of OpenID Connect Core 3.1.2.1 that matter after the request was checked."""

    client_id: str
    redirect_uri: str
    scope: str
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    acr: str | None = None
    """The class that the session must have (`Session.acr`), when one is essential; a wish is in `claims`."""
    prompt: str = ""
    max_age: int | None = None
    login_hint: str = ""
    subject: str | None = None
    """The `sub` that an ID token hint or a claims request insists on, or several, one a line; nobody else's code."""
    claims: str | None = None
    """The claims request (Core 5.5), reduced to what this service knows."""
    response_mode: str = ""
    """`form_post`, or nothing for the query."""
    jkt: str | None = None
    """The thumbprint of the DPoP key that alone may exchange the code (RFC 9449 10)."""
    pushed: str | None = None
    """The `request_uri` of the pushed request that the code will use up (RFC 9126)."""
    ui_locales: str = ""
    """The language that the client wished for and the pages have, or nothing."""


@dataclass(frozen=True)
class Person:
    """Whose account a right provisional password opened, for the activation alone, and at which generation."""

    account_id: uuid.UUID
    generation: int
    since: datetime


@dataclass(frozen=True)
class Interaction:
    """What a browser is in the middle of: for which client, since when, with which profile, activating whom.

    `agreed` is the `sid` of the session whose person said that the client may be told (`prompt=consent`).
    """

    request: AuthorizationRequest | None = None
    id: str = field(default_factory=opaque.new_value)
    started_at: datetime = field(default_factory=now)
    profile: str = ""
    person: Person | None = None
    agreed: str = ""

    def with_profile(self, profile: str) -> "Interaction":
        """Return this interaction after the choice of a profile."""
        return replace(self, profile=profile)

    def with_person(self, account_id: uuid.UUID, generation: int) -> "Interaction":
        """Return this interaction after a right provisional password."""
        return replace(self, person=Person(account_id, generation, now()))

    def with_agreement(self, sid: str) -> "Interaction":
        """Return this interaction after the person of session `sid` agreed."""
        return replace(self, agreed=sid)

    def without_person(self) -> "Interaction":
        """Return this interaction after a sign-in: from here on the session says who it is."""
        return replace(self, person=None)


def seal(interaction: Interaction) -> str:
    """Return `interaction` as a value for an address, readable by this browser only."""
    data: dict[str, Any] = {"i": interaction.id, "t": interaction.started_at.timestamp(), "b": _this_browser()}
    if interaction.request:
        data["r"] = {k: v for k, v in asdict(interaction.request).items() if v not in {None, ""}}
    if interaction.profile:
        data["p"] = interaction.profile
    if interaction.agreed:
        data["c"] = interaction.agreed
    if interaction.person:
        who = interaction.person
        data["a"] = [str(who.account_id), who.generation, who.since.timestamp()]
    sealed: str | bytes = _serializer().dumps(data)  # itsdangerous calls it either, for all serializers alike
    return sealed if isinstance(sealed, str) else sealed.decode()


def current() -> Interaction | None:
    """Return the interaction of this request's address; None when the address carries none.

    Raises:
        InteractionLostError: it expired, was changed, or is of another browser. All but a changed one name the ENT.
    """
    sealed = request.args.get(PARAMETER)
    if sealed is None:
        return None
    opened = _open(sealed)
    if opened is None:
        raise InteractionLostError
    interaction, browser = opened
    if not hmac.compare_digest(browser, _this_browser()) or _is_over(interaction):
        raise InteractionLostError(registry.find(interaction.request.client_id) if interaction.request else None)
    return interaction


def note_answer(interaction: Interaction) -> None:
    """Remember in this browser that the client got a code for `interaction`: it would refuse another one."""
    note_answered(interaction.id[:_NAME_LENGTH])


def has_answer(interaction: Interaction) -> bool:
    """Return whether the client got a code for `interaction` already, as this browser remembers."""
    return was_answered(interaction.id[:_NAME_LENGTH])


def page_url(endpoint: str, interaction: Interaction | None) -> str:
    """Return the address of a page of this service, carrying `interaction` and the language that it is shown in."""
    if interaction is None:
        return url_for(endpoint)
    values: dict[str, Any] = {PARAMETER: seal(interaction)}
    wished = interaction.request.ui_locales if interaction.request else ""
    if language := i18n.served(request.args.get("ui_locales", "")) or wished:
        values["ui_locales"] = language
    return url_for(endpoint, **values)


def resume_url(interaction: Interaction | None) -> str:
    """Return where a finished step leads: to the activation that a letter opened, or back to the dispatcher.

    Without a request of a client, that is the account's page.
    """
    if interaction is not None and interaction.person is not None:
        return page_url("activation.activate", interaction)
    if interaction is None or interaction.request is None:
        return url_for("my_account.show")
    return page_url("oidc.resume", interaction)


def decline_url(interaction: Interaction | None) -> str:
    """Return where a person who declines a step, or who turns back to the ENT, is led."""
    return page_url("oidc.deny", interaction and interaction.without_person())


def _open(sealed: str) -> tuple[Interaction, str] | None:
    """Return what we sealed, and for which browser: to be compared before anything else is done with it."""
    if len(sealed) > _LONGEST:
        return None
    try:
        data = _serializer().loads(sealed)
        browser: str = data["b"]
        started_at = datetime.fromtimestamp(data["t"], UTC)
        person = data.get("a")
        interaction = Interaction(
            request=AuthorizationRequest(**data["r"]) if "r" in data else None,
            id=data["i"],
            started_at=started_at,
            profile=data.get("p", ""),
            agreed=data.get("c", ""),
            person=Person(uuid.UUID(person[0]), person[1], datetime.fromtimestamp(person[2], UTC)) if person else None,
        )
    except (BadData, KeyError, TypeError, ValueError):
        return None
    return interaction, browser


def _this_browser() -> str:
    return opaque.digest(binding()).hex()[:32]


def _is_over(interaction: Interaction) -> bool:
    age = now() - interaction.started_at
    settings = services().settings
    longest = settings.interaction_lifetime + (settings.activation_lifetime if interaction.person else 0)
    return age.total_seconds() > longest


def _serializer() -> URLSafeSerializer:
    keys = [opaque.derive_key(secret, "interaction") for secret in reversed(services().settings.secrets)]
    return URLSafeSerializer(keys, salt="interaction", signer_kwargs={"digest_method": hashlib.sha256})
