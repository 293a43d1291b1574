"""The tables that an export of a person's data shows, in its order. Each column has its use (`idp.personal`).

Titles are French, since the person reads them. What a row says of other people is removed; of the details of an event,
only those that its kind names are shown.
"""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, or_

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, FormerMailbox, Guardianship, RosterAlias, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.audit.catalogue import KINDS
from idp.audit.models import OK, AuditEntry
from idp.charter.models import CharterAcceptance
from idp.mail.emails import fold_email
from idp.oidc.models import AuthorizationCode, Token
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import Passkey, PasskeyUser
from idp.personal import HELD, SHOWN
from idp.rostering.models import ImportIssue
from idp.sessions.models import DeviceSession, Session

_OF_CHILD = ("rank", "kinship", "authority", "was_excluded")


@dataclass(frozen=True)
class Person:
    """One person: their accounts, keys in the school files, and what belongs to the accounts.

    `children` are those whose guardian the person is today, `schools` those of these children, and `emails` the
    accounts' own addresses, folded.
    """

    accounts: frozenset[uuid.UUID]
    roster_keys: frozenset[str]
    children: frozenset[uuid.UUID]
    schools: frozenset[uuid.UUID]
    emails: frozenset[str]
    messages: frozenset[uuid.UUID]


Row = dict[str, Any]


def _whole(_person: Person, row: Row) -> Row:
    return row


def _tie(person: Person, row: Row) -> Row:
    """Return a tie; only the dates of one that does not hold, since the child is another family's."""
    return row if row["child_id"] in person.children else row | {"child_id": None} | dict.fromkeys(_OF_CHILD)


def _link(person: Person, row: Row) -> Row:
    """Return a link; its address only if it is the account's today, since a former one may be another person's."""
    return row if fold_email(row["email"]) in person.emails else row | {"email": "une autre adresse"}


def _notice(person: Person, row: Row) -> Row:
    """Return a notice; the school only if a child of the person is there today."""
    return row if row["school_id"] in person.schools else row | {"school_id": None}


def _closing(person: Person, row: Row) -> Row:
    """Return a closing; the child and the school only if the person may know them today."""
    hidden = {} if row["child_id"] in person.children else {"child_id": None}
    return row | hidden | ({} if row["school_id"] in person.schools else {"school_id": None})


def _event(_person: Person, row: Row) -> Row:
    """Return an event; the IP only if the person caused it, and neither a member of staff nor an operator."""
    kind = KINDS.get(row["kind"])
    shown = kind.exported if kind else ()
    row = row | {"details": {name: value for name, value in row["details"].items() if name in shown}}
    mine = not row["actor"] and row["result"] == OK and not (kind and kind.is_open)
    return row if mine else row | {"ip": ""}


@dataclass(frozen=True)
class Part:
    """The data about a person in one table.

    Attributes:
        of: the condition of the person's rows.
        redact: removes data about other people from a row.
        consulted: columns that `redact` reads and that are left out.
    """

    table: Any
    title: str
    of: Callable[[Person], ColumnElement[bool]]
    redact: Callable[[Person, Row], Row] = _whole
    consulted: tuple[str, ...] = ()

    @property
    def shown(self) -> Mapping[str, str]:
        """The columns that are shown, with their labels."""
        return self._labels(SHOWN)

    @property
    def held(self) -> Mapping[str, str]:
        """The columns that are named but not shown, with their labels."""
        return self._labels(HELD)

    def _labels(self, use: str) -> Mapping[str, str]:
        return {column.key: column.info[use] for column in self.table.__table__.columns if use in column.info}


def _of_account(table: Any, title: str, redact: Callable[[Person, Row], Row] = _whole) -> Part:
    return Part(table, title, lambda person: table.account_id.in_(person.accounts), redact)


PARTS = (
    Part(Account, "Votre compte", lambda person: Account.id.in_(person.accounts)),
    Part(Child, "Vos enfants", lambda person: Child.id.in_(person.children)),
    _of_account(Guardianship, "Vos liens avec des enfants", _tie),
    _of_account(
        Closing, "Fermetures de votre accès, adresses contestées et liens qui attendent la direction", _closing
    ),
    _of_account(RosterAlias, "Vos autres clés dans les fichiers des établissements"),
    _of_account(FormerMailbox, "Vos anciennes adresses mail"),
    _of_account(CharterAcceptance, "Chartes acceptées"),
    _of_account(Session, "Vos connexions"),
    _of_account(DeviceSession, "Vos appareils qui restent connectés"),
    _of_account(Passkey, "Vos clés d’accès"),
    _of_account(PasskeyUser, "Clés d’accès proposées"),
    _of_account(AuthorizationCode, "Entrées dans un ENT"),
    _of_account(Token, "Accès donnés à un ENT"),
    _of_account(OneTimeLink, "Liens envoyés par mail", _link),
    Part(OutboxMessage, "Messages qui attendent", lambda person: OutboxMessage.id.in_(person.messages)),
    Part(
        SchoolNotice,
        "Signalements à un établissement",
        lambda person: or_(
            SchoolNotice.account_id.in_(person.accounts), SchoolNotice.other_account_id.in_(person.accounts)
        ),
        _notice,
    ),
    Part(
        ImportIssue,
        "Remarques sur les fichiers des établissements",
        lambda person: ImportIssue.key.in_(person.roster_keys),
    ),
    Part(
        AuditEntry,
        "Journal de sécurité",
        lambda person: AuditEntry.account_id.in_(person.accounts),
        _event,
        consulted=("actor",),
    ),
)
