"""The accounts that signed in on this browser, as the sign-in page offers them: « Noémie L. », never by family name."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import select

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_username
from idp.db import db
from idp.interaction import store
from idp.sessions import devices

ANOTHER = "autre"  # the value of the parameter `compte` of a person who is not the one whose session is open
PARAMETER = "compte"
_MOST = 4


@dataclass(frozen=True)
class KnownAccount:
    """An account that this browser knows: the browser's own number for it, and the given name and initial."""

    number: str
    name: str


@dataclass(frozen=True)
class Choice:
    """The choice that the sign-in page offers: the name of each account, and the URL of the page for it.

    `other_url` is the page for a person who is not the `chosen` one.
    """

    people: Sequence[tuple[str, str]] = ()
    chosen: KnownAccount | None = None
    other_url: str = ""


def are_several() -> bool:
    """Return whether several parents signed in on this browser, so that its sign-in page offers a choice."""
    return len(devices.parents()) > 1


def may_be_first(username: str) -> bool:
    """Return whether the password of the person who types `username`, or nothing yet, may be that of a letter.

    Before an identifier is typed, anybody may be in front of the browser, also of one that knows a person. An account
    that signed in here may have got a new letter since then.
    """
    folded = fold_username(username)
    if not username or folded not in devices.parents().values():
        return True
    return not db.session.scalar(select(Account.activated_at.is_not(None)).where(Account.username == folded))


def url(interaction: store.Interaction | None, number: str = ANOTHER) -> str:
    """Return the URL of the sign-in page in the same authorization request, for an account or for another person."""
    page = store.page_url("login.sign_in", interaction)
    return f"{page}{'&' if '?' in page else '?'}{urlencode({PARAMETER: number})}"


def choice(interaction: store.Interaction | None, present: Account | None, asked: str) -> Choice:
    """Return the choice for a browser whose session is that of `present`.

    `asked` is the number of an account, `ANOTHER`, or empty. If the browser knows two accounts and one is signed in,
    the other person is chosen at once.
    """
    if not asked and not are_several():
        return Choice()
    known = offered(present)
    chosen = next((account for account in known if account.number == asked), None)
    if asked == ANOTHER and present is not None and len(known) == 1:
        chosen = known[0]
    people = [] if chosen else [(account.name, url(interaction, account.number)) for account in known]
    return Choice(people, chosen, url(interaction))


def offered(present: Account | None) -> list[KnownAccount]:
    """Return the accounts to choose from, the last used first: at most four, without that of the session."""
    numbers = devices.parents()
    people = select(Account).where(Account.username.in_(numbers.values()), Account.activated_at.is_not(None))
    names = {account.username: account.short_name for account in db.session.scalars(people)}
    known = [
        KnownAccount(number, names[username])
        for number, username in numbers.items()
        if username in names and (present is None or username != present.username)
    ]
    return known[:_MOST]
