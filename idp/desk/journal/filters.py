"""The filters of the journal: who acted, act, days, the account concerned; and what they can be set to."""

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, assert_never

from flask_babel import gettext
from sqlalchemy import CTE, ColumnElement, and_, func, or_, select, true

from idp import opaque
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_username
from idp.audit import kinds
from idp.audit.catalogue import KINDS, WORDS
from idp.audit.models import AuditEntry
from idp.clock import end_of_day, start_of_day
from idp.db import db
from idp.desk import access, fields
from idp.desk.staff.models import StaffAccount, StaffRole
from idp.folding import fold
from idp.services import services
from idp.web import i18n

MOST = 40
"""The most people, and the most users, whose acts one page brings together: each of them is looked up for itself."""


def _people(name: str) -> Sequence[uuid.UUID]:
    known: ColumnElement[bool] = true()
    if school := access.post().school:
        in_academy = and_(StaffRole.school_id.is_(None), StaffRole.client_id.is_(None))
        with_role = select(StaffRole.staff_id).where(or_(StaffRole.school_id == school.id, in_academy))
        known = StaffAccount.id.in_(with_role)
    matching = select(StaffAccount.id).where(StaffAccount.name.icontains(name, autoescape=True), known)
    return db.session.scalars(matching.limit(MOST + 1)).all()


def _users(name: str) -> Sequence[str]:
    every = _every_user()
    matching = select(every.c.actor).where(every.c.actor.istartswith(name, autoescape=True))
    return db.session.scalars(matching.limit(MOST + 1)).all()


def _every_user() -> CTE:
    first = select(func.min(AuditEntry.actor).label("actor")).where(AuditEntry.where_by_command())
    users = first.cte("users", recursive=True)
    following = select(func.min(AuditEntry.actor)).where(
        AuditEntry.where_by_command(), AuditEntry.actor > users.c.actor
    )
    return users.union_all(select(following.scalar_subquery()).where(users.c.actor.is_not(None)))


_LONGEST = 80
_PURPOSE = "journal cursor"
_MOST_OF_CURSOR = 200
_FIRST_DAY = date(1970, 1, 2)  # the journal has no earlier entry, and the databases compare no much earlier instant


@dataclass
class Filters:
    """What a person asked for, as it was typed, and a sentence for each fault.

    `before` is the last entry of the page above: its instant and its id. All `conditions` hold for the entries, and one
    of `people`, if it is not None: there is one for each person whose acts are asked for.
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
    def parameters(self) -> dict[str, Any]:
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
    who, act, first_day, last_day, account = (fields.one_line(values.get(name, "")[:_LONGEST]) for name in NAMES)
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
    """Select the acts of each person with a part of the name, and of each user of that beginning."""
    if not filters.who:
        return
    people, users = _people(filters.who), _users(filters.who)
    if max(len(people), len(users)) > MOST:
        filters.faults["who"] = gettext("Plus de %(n)s personnes portent ce nom : écrivez-le en entier.", n=MOST)
        return
    by_people = [AuditEntry.staff_id == key for key in people]
    filters.people = [*by_people, *(and_(AuditEntry.where_by_command(), AuditEntry.actor == user) for user in users)]


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
    return access.may(access.Right.READ_FAMILIES) or access.may(access.Right.SERVE_RIGHTS)


def _account(text: str) -> Account | None:
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
    chosen = fields.day(text)
    if text and chosen is None:
        filters.faults[name] = gettext("Écrivez le jour ainsi : 24/11/2026.")
    return chosen


def _shown(text: str) -> str:
    day = fields.day(text)
    return i18n.day(start_of_day(max(day, _FIRST_DAY))) if day else text


def _cursor(text: str) -> tuple[datetime, int] | None:
    try:
        sealed = urlsafe_b64decode(text[:_MOST_OF_CURSOR])
        content = opaque.decrypt(services().settings.secrets, _PURPOSE, sealed, "")
    except (opaque.UndecryptableError, ValueError):
        return None
    moment, _, key = content.decode().partition("_")
    return datetime.fromisoformat(moment), int(key)


def cursor(entry: AuditEntry) -> str:
    """Return the text that leads to the entries before `entry`.

    It is encrypted: the gaps between the ids tell a role that reads a few entries how many others there are, and when.
    """
    content = f"{entry.at.astimezone(UTC).isoformat()}_{entry.id}"
    return urlsafe_b64encode(opaque.encrypt(services().settings.secrets, _PURPOSE, content.encode(), "")).decode()


def groups() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the acts that the role may read: the title of each group, with the kinds and their words, sorted by these.

    A group without an act is left out.
    """
    readable = _readable()
    acts = {group: [(kind.name, capital(kind.fr)) for kind in readable if kind.group is group] for group in kinds.Group}
    return [(title.value, sorted(of, key=lambda act: _order(act[1]))) for title, of in acts.items() if of]


def _readable() -> list[kinds.Kind]:
    every, read = KINDS.values(), access.own_spec().journal
    match read:
        case access.Journal.NOTHING:
            return []
        case access.Journal.OWN | access.Journal.SCHOOL:
            return [kind for kind in every if kind.by_staff]
        case access.Journal.ENT:
            return [kind for kind in every if kind.of_ent]
        case access.Journal.TECHNICAL:
            return [kind for kind in every if kind.technical]
        case access.Journal.ALL:
            return list(every)
    assert_never(read)


def capital(text: str) -> str:
    """Return words as they begin a line."""
    return text[:1].upper() + text[1:]


def _order(words: str) -> str:
    """Return the key that sorts words as a French reader does: no accents, capitals or quotation marks count."""
    return "".join(c for c in fold(words) if c.isalnum() or c == " ").strip()
