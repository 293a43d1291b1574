"""The closed vocabulary of the journal: one frozen dataclass for each kind of event, whose fields are stored.

No field may hold a secret. An identifier that matches no account is stored as a keyed digest only, since people type
passwords into that field.

Operators read the docstrings in docs/reference/events.md: first what happened, then what the fields hold.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any, ClassVar

from idp.metrics.catalogue import EVENT


@dataclass(frozen=True, kw_only=True)
class Event:
    """The common fields of events: the kind, the result, the account and the client."""

    kind: ClassVar[str]
    result: ClassVar[str] = "ok"
    account_id: uuid.UUID | None = None
    client_id: uuid.UUID | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        EVENT.allow([cls.kind])


@dataclass(frozen=True, kw_only=True)
class SignInSucceeded(Event):
    """A person signed in."""

    kind = "sign_in"
    sid: str
    amr: list[str] = field(default_factory=list)
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class SignInFailed(Event):
    """A sign-in was refused.

    `reason`: `unknown` (no such identifier), `wrong` (the password), `disabled` or `suspended` (the account),
    `no_secret` (it has no password), `expired` (the letter), `changed` (the password, meanwhile), `shut` (right, after
    too many wrong ones).
    """

    kind = "sign_in"
    result = "refused"
    reason: str
    username_digest: str
    door: str = "sign_in"
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class SignInThrottled(Event):
    """A password was refused without a check, because of a rate limit; noted once an hour for each counter."""

    kind = "sign_in"
    result = "throttled"
    username_digest: str
    door: str = "sign_in"


@dataclass(frozen=True, kw_only=True)
class FailuresAlarm(Event):
    """Many secrets were wrong within a minute, over all accounts, clients and nodes; `most` is the number."""

    kind = "failures.alarm"
    most: int


@dataclass(frozen=True, kw_only=True)
class ForwardedIgnored(Event):
    """A request had forwarded headers although `IDP_TRUSTED_PROXIES` is 0: all parents may seem to have one IP."""

    kind = "proxy.ignored"


@dataclass(frozen=True, kw_only=True)
class ActivationOpened(Event):
    """A person typed the identifier and the provisional password of a letter, and began the activation."""

    kind = "activation.opened"


@dataclass(frozen=True, kw_only=True)
class ActivationCompleted(Event):
    """A person chose a password; the email is not confirmed yet."""

    kind = "activation.completed"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class GuardianshipDisputed(Event):
    """A person, maybe `by_telephone`, said not to be the guardian of `children`: the account closed, schools told.

    `reason` is who called and what they said.
    """

    kind = "guardianship.disputed"
    children: list[str]
    uais: list[str]
    by_telephone: bool = False
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class DisputeSettled(Event):
    """An operator settled a dispute about guardianship or about the email.

    `dispute` is the kind of notice. `outcome` is `confirm` if the dispute was right, else `reject`. `before` and
    `after` are the states of the tie or of the email, of which only the domain is stored.
    """

    kind = "dispute.settled"
    dispute: str
    outcome: str
    before: str
    after: str
    reason: str
    children: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ActivationReported(Event):
    """The mailbox of the school's file reported that somebody else activated the account; the schools are told."""

    kind = "activation.reported"
    uais: list[str]


@dataclass(frozen=True, kw_only=True)
class UsernameRequested(Event):
    """Somebody asked for the identifiers of a mailbox; a mail to it named `count` accounts."""

    kind = "recovery.username"
    count: int


@dataclass(frozen=True, kw_only=True)
class UsernameTold(Event):
    """The account's identifier was mailed to its confirmed email, on request."""

    kind = "recovery.username_told"


@dataclass(frozen=True, kw_only=True)
class RecoveryThrottled(Event):
    """A request for an identifier or a password was refused without a check; `form` is `username` or `password`.

    There is one entry an hour for each counter that refuses, however many requests there are.
    """

    kind = "recovery.throttled"
    result = "throttled"
    form: str


@dataclass(frozen=True, kw_only=True)
class ResetRequested(Event):
    """Somebody asked for a new password, or typed the right one of a closed account; `answer` is the decision.

    A mail was sent: `link` (to choose one), `never_activated` (reminds of the letter), `unconfirmed` (a link to confirm
    the email, unless one works), `by_letter` (only a new letter helps), `suspended` (says so; no mail if the account
    has no email, or if the right secret was typed). None was sent: `unknown` (no such account), `disabled`, `merged`,
    `disputed`, `no_address` (the account has no email), `capped` (too many mails), `late` (the request is too old).
    `blocked`: the right password is blocked; if the account has an email, a second entry says which mail was sent.
    """

    kind = "recovery.password"
    answer: str


@dataclass(frozen=True, kw_only=True)
class PasswordBreached(Event):
    """The right password of an account is in the list of stolen passwords, and is refused from now on."""

    kind = "password.breached"


@dataclass(frozen=True, kw_only=True)
class BreachedPasswordsLoaded(Event):
    """An operator put a list of stolen passwords into use; `passwords` is their number."""

    kind = "password.list_loaded"
    passwords: int


@dataclass(frozen=True, kw_only=True)
class PasswordReset(Event):
    """A person chose a new password with a link sent by mail; all sessions ended."""

    kind = "password.reset"


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event):
    """A signed-in person changed the password; the other sessions ended."""

    kind = "password.changed"


@dataclass(frozen=True, kw_only=True)
class Reauthenticated(Event):
    """A signed-in person typed the password again, before an act that requires it."""

    kind = "reauthenticated"
    sid: str


@dataclass(frozen=True, kw_only=True)
class SessionsEnded(Event):
    """Sessions ended without a sign-out; `count` is their number and `by` the cause.

    `by`: `breached` (the password is in a list), `contested` (the email), `disputed` (guardianship), `letter` (a new
    one), `operator`, `password_changed`, `password_reset`, `person` (from the list of connections, or with
    the confirmation of the email), `replaced` (another person signed in on the browser, or there were
    too many sessions), `roster` (a school file).
    """

    kind = "sessions.ended"
    count: int
    by: str


@dataclass(frozen=True, kw_only=True)
class LetterLinked(Event):
    """The children of a second letter's account (`other`) were moved to this account.

    A parent added the letter, or a school answered its `notice` that both accounts are that parent's.
    """

    kind = "letter.linked"
    other: str
    uais: list[str]
    notice: str = ""


@dataclass(frozen=True, kw_only=True)
class LetterLinkDoubted(Event):
    """A parent added a second letter, maybe a namesake's; the school decides. `other` is the account of that letter."""

    kind = "letter.link_doubted"
    result = "refused"
    other: str


@dataclass(frozen=True, kw_only=True)
class LetterUnlinked(Event):
    """An added letter is another person's: its account (`other`) has its children again, and this one has not."""

    kind = "letter.unlinked"
    other: str
    uais: list[str]
    reason: str


@dataclass(frozen=True, kw_only=True)
class LetterReissued(Event):
    """An operator made a new letter for an account that has been active: its password and sessions ended."""

    kind = "letter.reissued"
    reason: str


@dataclass(frozen=True, kw_only=True)
class AccountChanged(Event):
    """An operator or a school file changed the state or the claims of an account.

    `change`: `unlocked`, `disabled`, `enabled`, `password_blocked`, `letter_voided` (others may hold the letter),
    `mailbox_released` (the email serves another account), `left` (no child is left), `returned` (a child is back),
    `replaced` (another person has the file's key), or `claims` with the names of set (`+`) and removed (`-`) claims.
    """

    kind = "account.changed"
    change: str


@dataclass(frozen=True, kw_only=True)
class AccountRead(Event):
    """An operator looked at an account; `school` is the school in whose name, if any."""

    kind = "account.read"
    school: str = ""


@dataclass(frozen=True, kw_only=True)
class AccountHidden(Event):
    """An operator who acts for `school` asked for an account of another school, and was told that there is none."""

    kind = "account.read"
    result = "refused"
    school: str


@dataclass(frozen=True, kw_only=True)
class AccountPurged(Event):
    """The purge removed an account; `why` is the rule: `inactive`, `left` or `disabled`."""

    kind = "account.purged"
    why: str


@dataclass(frozen=True, kw_only=True)
class InactivityWarned(Event):
    """A mail told a person that the account will be removed unless they sign in."""

    kind = "account.inactivity_warned"


@dataclass(frozen=True, kw_only=True)
class CharterAccepted(Event):
    """A person accepted a version of a charter, shown by the ENT or by this service (`shown_by`: `ent`, `provider`)."""

    kind = "charter.accepted"
    version: str
    shown_by: str


@dataclass(frozen=True, kw_only=True)
class CharterRefused(Event):
    """A person declined a version of a charter that this service showed."""

    kind = "charter.refused"
    result = "refused"
    version: str


@dataclass(frozen=True, kw_only=True)
class CharterPublished(Event):
    """An operator published a version of a charter; `former` was current before, `sha256` is of the new text."""

    kind = "charter.published"
    version: str
    former: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class SignedOut(Event):
    """A person signed out; `by` is the `client_id` of the ENT that asked, or `page`."""

    kind = "sign_out"
    sid: str
    by: str


@dataclass(frozen=True, kw_only=True)
class CodeIssued(Event):
    """A person entered an ENT: the ENT got an authorization code."""

    kind = "code.issued"
    sid: str


@dataclass(frozen=True, kw_only=True)
class CodeReused(Event):
    """An authorization code was presented again; all tokens that it gave were revoked (RFC 9700 4.5).

    Further replays, which find them revoked, are recorded once an hour.
    """

    kind = "code.reused"
    result = "refused"


@dataclass(frozen=True, kw_only=True)
class RefreshReused(Event):
    """A rotated refresh token was presented again; its whole family was revoked (RFC 9700 4.14).

    Further replays, which find the family revoked, are recorded once an hour.
    """

    kind = "refresh.reused"
    result = "refused"


@dataclass(frozen=True, kw_only=True)
class LetterDrawn(Event):
    """A new provisional password was made for a letter."""

    kind = "letter.drawn"
