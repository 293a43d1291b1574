"""Exports all data about one person, as a file for that person (GDPR articles 15 and 20).

`PARTS` has the tables that the file shows, in its order; each column has its use (`idp.personal`). Titles are French,
since the person reads them. What a row says of other people is removed; of the details of an event, only those that its
kind names are shown.
"""

import enum
import io
import json
import os
import uuid
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import render_template
from flask_babel import force_locale
from sqlalchemy import ColumnElement, or_, select

from idp.accounts.closings import Closing
from idp.accounts.models import (
    Account,
    Child,
    FormerMailbox,
    Guardianship,
    Merge,
    RemovalWarning,
    RosterAlias,
    School,
    SchoolNotice,
)
from idp.accounts.one_time_links import OneTimeLink
from idp.audit import log
from idp.audit.catalogue import KINDS
from idp.audit.data_events import AccountExported
from idp.audit.models import OK, AuditEntry
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.emails import fold_email
from idp.oidc.models import AuthorizationCode, Token
from idp.operations.personal_data.words import in_words
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import Passkey, PasskeyUser
from idp.personal import HELD, SHOWN
from idp.rostering.models import ImportIssue
from idp.sessions.models import DeviceSession, Session

_OF_CHILD = ("rank", "kinship", "authority")


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
    _of_account(Closing, "Fermetures de votre accès, adresses contestées, liens qui attendent la direction", _closing),
    _of_account(RemovalWarning, "Suppression annoncée de votre compte"),
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


def person_of(account: Account) -> Person:
    """Return the person of an account, with the accounts that were merged into it."""
    accounts = accounts_of(account.id)
    keys = set(db.session.scalars(select(RosterAlias.roster_key).where(RosterAlias.account_id.in_(accounts))))
    keys |= {key for key in db.session.scalars(select(Account.roster_key).where(Account.id.in_(accounts))) if key}
    mine = select(Guardianship.child_id).where(
        Guardianship.account_id.in_(accounts),
        # the child of a disputed tie may be another family's; a former or closed guardian must not learn a school
        Guardianship.where_holds(now()),
    )
    children = frozenset(db.session.scalars(mine))
    schools = frozenset(db.session.scalars(select(Child.school_id).where(Child.id.in_(children))))
    own = select(Account.email, Account.pending_email).where(Account.id.in_(accounts))
    emails = frozenset(fold_email(email) for pair in db.session.execute(own) for email in pair if email)
    return Person(accounts, frozenset(keys), children, schools, emails, frozenset(_waiting(accounts)))


def accounts_of(account_id: uuid.UUID) -> frozenset[uuid.UUID]:
    """Return an account and those that were merged into it, directly or over several steps."""
    merged: set[uuid.UUID] = set()
    latest = {account_id}
    while latest:
        rows = db.session.scalars(select(Merge.account_id).where(Merge.into_id.in_(latest)))
        latest = set(rows) - merged - {account_id}
        merged |= latest
    return frozenset({account_id, *merged})


def _waiting(accounts: Iterable[uuid.UUID]) -> Iterator[uuid.UUID]:
    """Yield the waiting messages that name the person's account, a link or a session of it."""
    named = {str(key) for key in accounts}
    for table in (OneTimeLink, Session):
        named |= {str(key) for key in db.session.scalars(select(table.id).where(table.account_id.in_(accounts)))}
    waiting = select(OutboxMessage.id, OutboxMessage.payload).where(OutboxMessage.finished_at.is_(None))
    for key, payload in db.session.execute(waiting):
        if named & set(_texts(payload)):
            yield key


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for member in value.values():
            yield from _texts(member)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def collect(account: Account) -> list[dict[str, Any]]:
    """Return the parts with data about the person: titles, labels and rows, ready to be written."""
    person = person_of(account)
    names = _names(person)
    with force_locale("fr"):
        parts = [_part(part, person, names) for part in PARTS]
    return [part for part in parts if part["rows"]]


def _names(person: Person) -> dict[uuid.UUID, str]:
    names = {
        row.id: f"{row.name} ({row.uai})" for row in db.session.execute(select(School.id, School.name, School.uai))
    }
    clients = {row.id: row.name for row in db.session.execute(select(Client.id, Client.name))}
    versions = db.session.execute(select(CharterVersion.id, CharterVersion.client_id, CharterVersion.version))
    names |= {row.id: f"{clients.get(row.client_id, '')}, version {row.version}" for row in versions}
    mine = select(Child.id, Child.given_name, Child.family_name).where(Child.id.in_(person.children))
    names |= {row.id: f"{row.given_name} {row.family_name}" for row in db.session.execute(mine)}
    return names | clients


def _part(part: Part, person: Person, names: Mapping[uuid.UUID, str]) -> dict[str, Any]:
    labels, hidden = part.shown, part.held
    columns = [getattr(part.table, name) for name in (*labels, *hidden, *part.consulted)]
    key = part.table.__table__.primary_key.columns.keys()
    statement = select(*columns).where(part.of(person)).order_by(*(getattr(part.table, k) for k in key))
    rows = [row._asdict() for row in db.session.execute(statement)]
    held = [name for name in hidden if any(row[name] for row in rows)]
    redacted = [part.redact(person, row) for row in rows]
    shown = [{name: row[name] for name in labels} for row in redacted]
    return {
        "table": part.table.__tablename__,
        "title": part.title,
        "labels": labels,
        "held_and_not_shown": {name: hidden[name] for name in held},
        "rows": [{name: _as_json(name, value, names) for name, value in row.items()} for row in shown],
    }


def _as_json(name: str, value: Any, names: Mapping[uuid.UUID, str]) -> Any:
    if isinstance(value, uuid.UUID):
        # a key without a name belongs to a row that is not shown
        return names.get(value, str(value) if name == "id" else None)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, enum.Enum):
        return value.name.lower()
    return value


def write(settings: Settings, account: Account, path: Path) -> None:
    """Write the archive to a new file, readable by its owner only, after the journal recorded the export.

    Raises:
        OSError: the file exists, or cannot be written; nothing is left of it.
    """
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(archive_of(settings, account))
            opened.flush()
            os.fsync(file)
    except BaseException:
        path.unlink()
        raise


def archive_of(settings: Settings, account: Account) -> bytes:
    """Return the archive, after the journal recorded the export."""
    parts, made_at = collect(account), now().isoformat(timespec="seconds")
    head = {"username": account.username, "service": settings.service_name, "made_at": made_at}
    with unit_of_work():
        log.record(AccountExported(account_id=account.id))
    with force_locale("fr"):
        page = render_template(
            "personal_data/donnees.html",
            parts=parts,
            in_words=in_words,
            username=head["username"],
            made_at=in_words("", "", made_at),
            settings=settings,
        )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("donnees.html", page)
        archive.writestr("donnees.json", json.dumps({**head, "parts": parts}, ensure_ascii=False, indent=2))
    return content.getvalue()
