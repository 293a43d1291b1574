"""The filters of the journal: who acted, act, days, the account concerned."""

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import ColumnElement, select

from idp import encrypted
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_username
from idp.audit.catalogue import WORDS
from idp.audit.models import AuditEntry
from idp.clock import end_of_day, start_of_day
from idp.db import db
from idp.desk import access, typed
from idp.desk.access import Right
from idp.desk.journal import authors
from idp.desk.journal.authors import TooManyError
from idp.encrypted import UndecryptableError
from idp.services import services
from idp.web import i18n

_LONGEST = 80
_PURPOSE = "journal cursor"
_MOST_OF_CURSOR = 200
_FIRST_DAY = date(1970, 1, 2)
"""The journal has no earlier entry, and the databases compare no much earlier instant."""


@dataclass
class Filters:
    """What a person asked for, as it was typed, and a sentence for each fault.

    Attributes:
        account_id: the account that was found for `account`.
        account_name: the name of its person.
        before: the last entry of the page above: its instant and its id.
        conditions: all of them hold for the entries that are asked for.
        people: one of them holds, for each person whose acts are asked for; None for everybody.
    """

    who: str = ""
    act: str = ""
    first: str = ""
    last: str = ""
    account: str = ""
    account_id: uuid.UUID | None = None
    account_name: str = ""
    before: tuple[datetime, int] | None = None
    faults: dict[str, str] = field(default_factory=dict)
    conditions: list[ColumnElement[bool]] = field(default_factory=list)
    people: list[ColumnElement[bool]] | None = None

    @property
    def typed(self) -> dict[str, Any]:
        """The filters as parameters of a URL, or as fields of a form."""
        values = {"qui": self.who, "acte": self.act, "du": self.first, "au": self.last, "compte": self.account}
        return {name: value for name, value in values.items() if value}

    def in_words(self) -> list[str]:
        """Return the filters that hold, as a person reads them; those with a fault do not hold."""
        words = {
            "who": gettext("par « %(name)s »", name=self.who),
            "act": gettext("acte « %(act)s »", act=WORDS.get(self.act, "")),
            "first": gettext("du %(day)s", day=_shown(self.first)),
            "last": gettext("au %(day)s", day=_shown(self.last)),
            "account": gettext("compte de %(name)s", name=self.account_name),
        }
        return [text for name, text in words.items() if getattr(self, name) and name not in self.faults]


def read(values: Mapping[str, str]) -> Filters:
    """Return the filters of a request. A filter with a fault is not applied, and its sentence says so."""
    who, act, first_day, last_day, account = (typed.one_line(values.get(name, "")[:_LONGEST]) for name in NAMES)
    filters = Filters(who, act, first_day, last_day, account, before=_cursor(values.get("avant", "")))
    if filters.act and filters.act not in WORDS:
        filters.act = ""
    _by_person(filters)
    if filters.act:
        filters.conditions.append(AuditEntry.where_kind(filters.act))
    if first := _day(filters, "first"):
        filters.conditions.append(AuditEntry.at >= start_of_day(max(first, _FIRST_DAY)))
    if last := _day(filters, "last"):
        filters.conditions.append(AuditEntry.at < end_of_day(max(last, _FIRST_DAY)))
    if first and last and last < first:
        filters.faults["last"] = gettext("Le dernier jour est avant le premier.")
    _by_account(filters)
    return filters


NAMES = ("qui", "acte", "du", "au", "compte")


def _by_person(filters: Filters) -> None:
    if filters.who:
        try:
            filters.people = authors.named(filters.who)
        except TooManyError:
            filters.faults["who"] = gettext(
                "Plus de %(n)s personnes portent ce nom : écrivez-le en entier.", n=authors.MOST
            )


def _by_account(filters: Filters) -> None:
    if not filters.account or not has_accounts():
        filters.account = ""
        return
    account = _account(filters.account)
    if account is None:
        filters.faults["account"] = gettext("Aucun compte n’a cet identifiant ici.")
    else:
        filters.account_id = account.id
        filters.account_name = f"{account.given_name} {account.family_name}".strip()
        filters.conditions.append(AuditEntry.account_id == account.id)


def has_accounts() -> bool:
    """Return whether the role may look for the entries of one account."""
    return access.may(Right.READ_FAMILIES) or access.may(Right.SERVE_RIGHTS)


def _account(text: str) -> Account | None:
    """Return an account in scope, by its identifier or by its key."""
    try:
        same = Account.id == uuid.UUID(text)
    except ValueError:
        folded = fold_username(text)
        if not folded:
            return None
        same = Account.username == folded
    return db.session.scalar(select(Account).where(same, access.accounts()))


def _day(filters: Filters, name: str) -> date | None:
    text = getattr(filters, name)
    chosen = typed.day(text)
    if text and chosen is None:
        filters.faults[name] = gettext("Écrivez le jour ainsi : 24/11/2026.")
    return chosen


def _shown(text: str) -> str:
    """Return a typed day as it is written in a sentence; other text stays."""
    day = typed.day(text)
    return i18n.day(start_of_day(max(day, _FIRST_DAY))) if day else text


def _cursor(text: str) -> tuple[datetime, int] | None:
    """Read the text of `cursor`: an instant and an id; return None for another text."""
    try:
        sealed = urlsafe_b64decode(text[:_MOST_OF_CURSOR])
        content = encrypted.decrypt(services().settings.secrets, _PURPOSE, sealed, "")
    except (UndecryptableError, ValueError):
        return None
    moment, _, key = content.decode().partition("_")
    return datetime.fromisoformat(moment), int(key)


def cursor(entry: AuditEntry) -> str:
    """Return the text that leads to the entries before `entry`.

    It is encrypted: the gaps between the ids tell a role that reads a few entries how many others there are, and when.
    """
    content = f"{entry.at.astimezone(UTC).isoformat()}_{entry.id}"
    return urlsafe_b64encode(encrypted.encrypt(services().settings.secrets, _PURPOSE, content.encode(), "")).decode()
