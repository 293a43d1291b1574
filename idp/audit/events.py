"""The closed vocabulary of the journal: one frozen dataclass for each kind of event, whose fields are stored.

No field may hold a secret. An identifier that matches no account is stored as a keyed digest only, since people type
passwords into that field.
"""

import uuid
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Event:
    """The common fields of events: the kind, the result, the account and the client."""

    kind: ClassVar[str]
    result: ClassVar[str] = "ok"
    account_id: uuid.UUID | None = None
    client_id: uuid.UUID | None = None


@dataclass(frozen=True, kw_only=True)
class SignInSucceeded(Event):
    """A session was opened."""

    kind = "sign_in"
    sid: str
    amr: list[str] = field(default_factory=list)
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class SignInFailed(Event):
    """Wrong identifier or password, disabled account, expired letter: `reason` says which, to operators only.

    `door` is the page: of the sign-in, of a re-authentication, or of a second letter.
    """

    kind = "sign_in"
    result = "refused"
    reason: str
    username_digest: str
    door: str = "sign_in"
    device: str = ""


@dataclass(frozen=True, kw_only=True)
class SignInThrottled(Event):
    """A try was refused without a check, because of a rate limit.

    One entry an hour for each counter that refuses, however many tries there are.
    """

    kind = "sign_in"
    result = "throttled"
    username_digest: str
    door: str = "sign_in"


@dataclass(frozen=True, kw_only=True)
class FailuresAlarm(Event):
    """`most` secrets were wrong within a minute, over all accounts, clients and nodes."""

    kind = "failures.alarm"
    most: int


@dataclass(frozen=True, kw_only=True)
class ForwardedIgnored(Event):
    """A request had forwarded headers although no proxy is declared: all parents may seem to have one IP."""

    kind = "proxy.ignored"


@dataclass(frozen=True, kw_only=True)
class ActivationOpened(Event):
    """The letter's secret was right: the activation may continue."""

    kind = "activation.opened"


@dataclass(frozen=True, kw_only=True)
class ActivationCompleted(Event):
    """The person chose a password; the address is not confirmed yet. Only its domain is stored."""

    kind = "activation.completed"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class GuardianshipDisputed(Event):
    """The holder of a letter is not the guardian of `children`; the account is closed and the school is told."""

    kind = "guardianship.disputed"
    children: list[str]
    uais: list[str]


@dataclass(frozen=True, kw_only=True)
class DisputeSettled(Event):
    """A dispute about ties or about the address ended: `dispute` says which, `outcome` how (`reject`, `confirm`, …).

    `children` are the keys of the children whose ties were settled. `before` and `after` are the states of what was
    settled; of a mail address only the domain is stored.
    """

    kind = "dispute.settled"
    dispute: str
    outcome: str
    before: str
    after: str
    reason: str
    children: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EmailLinkSent(Event):
    """A link to confirm an address was put in the outbox."""

    kind = "email.link_sent"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailConfirmed(Event):
    """An address was confirmed by its link."""

    kind = "email.confirmed"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailChangeAsked(Event):
    """Another address was requested in place of the confirmed one, which stays until the new one is confirmed."""

    kind = "email.change_asked"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailChangeCancelled(Event):
    """The signed-in person keeps the former address."""

    kind = "email.change_cancelled"


@dataclass(frozen=True, kw_only=True)
class EmailChangeContested(Event):
    """« Ce n’était pas moi »: a change was stopped or, if it had been `applied`, the account was closed."""

    kind = "email.change_contested"
    applied: bool
    uais: list[str]


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
    """The account's identifier was mailed to its confirmed mailbox, on request."""

    kind = "recovery.username_told"


@dataclass(frozen=True, kw_only=True)
class RecoveryThrottled(Event):
    """A request for an identifier or a password was refused without a check; `form` says which.

    One entry an hour for each counter that refuses, however many requests there are.
    """

    kind = "recovery.throttled"
    result = "throttled"
    form: str


@dataclass(frozen=True, kw_only=True)
class ResetRequested(Event):
    """Somebody asked for a new password; `answer` says which mail was sent, if any."""

    kind = "recovery.password"
    answer: str


@dataclass(frozen=True, kw_only=True)
class PasswordBreached(Event):
    """The right password of an account is in a list of stolen ones: it is refused from now on."""

    kind = "password.breached"


@dataclass(frozen=True, kw_only=True)
class BreachedPasswordsLoaded(Event):
    """An operator put a list of stolen passwords into use; `passwords` is their number."""

    kind = "password.list_loaded"
    passwords: int


@dataclass(frozen=True, kw_only=True)
class PasswordReset(Event):
    """A new password was chosen with a link of the confirmed mailbox; all sessions ended."""

    kind = "password.reset"


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(Event):
    """The signed-in person changed the password; the other sessions ended."""

    kind = "password.changed"


@dataclass(frozen=True, kw_only=True)
class Reauthenticated(Event):
    """The signed-in person typed the password again, before an act that requires it."""

    kind = "reauthenticated"
    sid: str


@dataclass(frozen=True, kw_only=True)
class SessionsEnded(Event):
    """`count` sessions ended without a sign-out of their own: `by` is the cause."""

    kind = "sessions.ended"
    count: int
    by: str


@dataclass(frozen=True, kw_only=True)
class LetterLinked(Event):
    """The children of another letter's account (`other`) were moved to this account."""

    kind = "letter.linked"
    other: str
    uais: list[str]


@dataclass(frozen=True, kw_only=True)
class LetterLinkDoubted(Event):
    """A second letter's secret was right, but its names are not this account's: the school decides."""

    kind = "letter.link_doubted"
    result = "refused"
    other: str


@dataclass(frozen=True, kw_only=True)
class LetterReissued(Event):
    """An operator drew a new letter for an active account; `reason` is the operator's."""

    kind = "letter.reissued"
    reason: str


@dataclass(frozen=True, kw_only=True)
class AccountChanged(Event):
    """An operator or a school file changed the state of an account, or its claims: `change` says how."""

    kind = "account.changed"
    change: str


@dataclass(frozen=True, kw_only=True)
class AccountRead(Event):
    """An operator looked at an account; `school` is the school whose right they used, if any."""

    kind = "account.read"
    school: str = ""


@dataclass(frozen=True, kw_only=True)
class AccountHidden(Event):
    """An operator who acts for `school` asked for an account of other schools and was told that there is none."""

    kind = "account.read"
    result = "refused"
    school: str


@dataclass(frozen=True, kw_only=True)
class AccountPurged(Event):
    """An account was removed; `why` names the rule."""

    kind = "account.purged"
    why: str


@dataclass(frozen=True, kw_only=True)
class InactivityWarned(Event):
    """A person was told that the account will be removed unless they sign in."""

    kind = "account.inactivity_warned"


@dataclass(frozen=True, kw_only=True)
class CharterAccepted(Event):
    """A version of a charter was accepted; `shown_by` is `ent` or `provider`."""

    kind = "charter.accepted"
    version: str
    shown_by: str


@dataclass(frozen=True, kw_only=True)
class CharterRefused(Event):
    """A person declined a charter that this service showed."""

    kind = "charter.refused"
    result = "refused"
    version: str


@dataclass(frozen=True, kw_only=True)
class CharterPublished(Event):
    """An operator published a version of a charter, whose text has `sha256`; `former` was current before."""

    kind = "charter.published"
    version: str
    former: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True)
class SignedOut(Event):
    """The owner ended a session; `by` says whether an ENT or this service's page asked."""

    kind = "sign_out"
    sid: str
    by: str


@dataclass(frozen=True, kw_only=True)
class CodeReused(Event):
    """A code was presented a second time: all tokens that it gave are revoked (RFC 9700 4.5)."""

    kind = "code.reused"
    result = "refused"


@dataclass(frozen=True, kw_only=True)
class RefreshReused(Event):
    """A rotated refresh token was presented again: its whole family is revoked (RFC 9700 4.14)."""

    kind = "refresh.reused"
    result = "refused"


@dataclass(frozen=True, kw_only=True)
class LetterDrawn(Event):
    """A fresh provisional password was drawn for a letter."""

    kind = "letter.drawn"
