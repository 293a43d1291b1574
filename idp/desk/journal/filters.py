"""The filters of the journal: person, act, days, account."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from flask_babel import gettext
from sqlalchemy import ColumnElement, or_, select

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_username
from idp.audit.models import AuditEntry
from idp.clock import PARIS
from idp.db import db
from idp.desk import access
from idp.desk.access import Right
from idp.desk.staff.models import Role, StaffAccount
from idp.operations.personal_data.words import EVENTS
from idp.web import i18n

_LONGEST = 80


@dataclass
class Filters:
    """What a person asked for, as it was typed, and a sentence for each fault.

    `account_name` is the name of the person of `account`. `before` is the last entry of the page above: its instant in
    microseconds and its id.
    """

    who: str = ""
    act: str = ""
    first: str = ""
    last: str = ""
    account: str = ""
    account_name: str = ""
    before: tuple[datetime, int] | None = None
    faults: dict[str, str] = field(default_factory=dict)
    conditions: list[ColumnElement[bool]] = field(default_factory=list)

    @property
    def typed(self) -> dict[str, str]:
        """The filters as parameters of a URL, or as fields of a form."""
        values = {"qui": self.who, "acte": self.act, "du": self.first, "au": self.last, "compte": self.account}
        return {name: value for name, value in values.items() if value}

    def in_words(self) -> list[str]:
        """Return the filters that hold, as a person reads them; those with a fault do not hold."""
        words = {
            "who": gettext("personne « %(name)s »", name=self.who),
            "act": gettext("acte « %(act)s »", act=EVENTS.get(self.act, "")),
            "first": gettext("du %(day)s", day=_shown(self.first)),
            "last": gettext("au %(day)s", day=_shown(self.last)),
            "account": gettext("compte de %(name)s", name=self.account_name),
        }
        return [text for name, text in words.items() if getattr(self, name) and name not in self.faults]


def acts() -> list[tuple[str, str]]:
    """Return the kinds of acts that the role may read, with their words, sorted by the words."""
    kinds = [kind for kind in EVENTS if access.role() is not Role.ENGINEER or kind in access.TECHNICAL]
    return sorted(((kind, str(EVENTS[kind])) for kind in kinds), key=lambda pair: pair[1])


def read(typed: Mapping[str, str]) -> Filters:
    """Return the filters of a request. A filter with a fault is not applied, and its sentence says so."""
    values = [" ".join(typed.get(name, "")[:_LONGEST].replace("\x00", "").split()) for name in _NAMES]
    who, act, first_day, last_day, account = values
    filters = Filters(who, act, first_day, last_day, account, before=_cursor(typed.get("avant", "")))
    if filters.act and filters.act not in EVENTS:
        filters.act = ""
    _by_person(filters)
    if filters.act:
        filters.conditions.append(AuditEntry.kind == filters.act)
    if first := _day(filters, "first"):
        filters.conditions.append(AuditEntry.at >= _midnight(first))
    if (last := _day(filters, "last")) and last < date.max:
        filters.conditions.append(AuditEntry.at < _midnight(last + timedelta(days=1)))
    if first and last and last < first:
        filters.faults["last"] = gettext("Le dernier jour est avant le premier.")
    _by_account(filters)
    return filters


_NAMES = ("qui", "acte", "du", "au", "compte")


def _by_person(filters: Filters) -> None:
    if filters.who:
        named = select(StaffAccount.id).where(StaffAccount.name.icontains(filters.who, autoescape=True))
        by_command = AuditEntry.actor.istartswith(filters.who, autoescape=True)
        filters.conditions.append(or_(AuditEntry.staff_id.in_(named), by_command))


def _by_account(filters: Filters) -> None:
    if not filters.account or not (access.may(Right.READ_FAMILIES) or access.may(Right.SERVE_RIGHTS)):
        filters.account = ""
        return
    account = _account(filters.account)
    if account is None:
        filters.faults["account"] = gettext("Aucun compte n’a cet identifiant ici.")
    else:
        filters.account_name = f"{account.given_name} {account.family_name}".strip()
        filters.conditions.append(AuditEntry.account_id == account.id)


def _account(typed: str) -> Account | None:
    """Return an account in scope, by its identifier or by its key."""
    try:
        same = Account.id == uuid.UUID(typed)
    except ValueError:
        folded = fold_username(typed)
        if not folded:
            return None
        same = Account.username == folded
    return db.session.scalar(select(Account).where(same, access.accounts()))


def _day(filters: Filters, name: str) -> date | None:
    text = getattr(filters, name)
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        filters.faults[name] = gettext("Écrivez le jour ainsi : 2026-11-24.")
        return None


def _shown(text: str) -> str:
    """Return a day that is typed as 2026-11-24 as it is written; other text stays."""
    try:
        return i18n.day(_midnight(date.fromisoformat(text)))
    except ValueError:
        return text


def _midnight(day: date) -> datetime:
    return datetime.combine(max(day, date(1970, 1, 2)), time(), PARIS)


def _cursor(text: str) -> tuple[datetime, int] | None:
    """Read « SECONDS.MICROSECONDS-ID », or return None."""
    moment, _, key = text.partition("_")
    try:
        return datetime.fromisoformat(moment).astimezone(PARIS), int(key[:18])
    except (ValueError, OverflowError):
        return None


def cursor(entry: AuditEntry) -> str:
    """Return the text that leads to the entries before `entry`."""
    return f"{entry.at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}_{entry.id}"
