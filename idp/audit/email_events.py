"""The events of mail addresses: first ones and changes.

Part of the closed vocabulary of `idp.audit.events`; the same rules hold.
"""

from dataclasses import dataclass

from idp.audit.events import Event


@dataclass(frozen=True, kw_only=True)
class EmailLinkSent(Event):
    """A link to confirm an email was put in the outbox."""

    kind = "email.link_sent"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailConfirmed(Event):
    """A person confirmed an email with the link or the code of its mail."""

    kind = "email.confirmed"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailCodeSpent(Event):
    """The code of a mail was refused for good after five wrong ones; its link still works."""

    kind = "email.code_spent"
    result = "refused"


@dataclass(frozen=True, kw_only=True)
class EmailChangeAsked(Event):
    """A person asked for another email; the present one stays until the new one is confirmed."""

    kind = "email.change_asked"
    mail_domain: str


@dataclass(frozen=True, kw_only=True)
class EmailChangeCancelled(Event):
    """A person cancelled the change of email, and keeps the present one."""

    kind = "email.change_cancelled"


@dataclass(frozen=True, kw_only=True)
class EmailChangeContested(Event):
    """The link « Ce n’était pas moi » stopped a change of email or, if it had been `applied`, closed the account."""

    kind = "email.change_contested"
    applied: bool
    uais: list[str]
