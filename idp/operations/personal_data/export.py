"""Exports all data about one person, as a file for that person (GDPR articles 15 and 20)."""

import enum
import io
import json
import os
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from flask import render_template
from flask_babel import force_locale
from sqlalchemy import select

from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School
from idp.accounts.one_time_links import OneTimeLink
from idp.audit import log
from idp.audit.data_events import AccountExported
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.mail.emails import fold_email
from idp.operations.personal_data.parts import PARTS, Part, Person
from idp.operations.personal_data.words import in_words
from idp.outbox.queue import OutboxMessage
from idp.sessions.models import Session


def person_of(account: Account) -> Person:
    """Return the person of an account, with the accounts that were merged into it."""
    accounts = accounts_of(account.id)
    keys = set(db.session.scalars(select(RosterAlias.roster_key).where(RosterAlias.account_id.in_(accounts))))
    keys |= {key for key in db.session.scalars(select(Account.roster_key).where(Account.id.in_(accounts))) if key}
    mine = select(Guardianship.child_id).where(
        Guardianship.account_id.in_(accounts),
        # the child of a disputed tie may be another family's; a former or suspended guardian must not learn a school
        Guardianship.where_holds(now()),
        ~Guardianship.is_excluded,
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
        rows = db.session.scalars(select(Account.id).where(Account.merged_into_id.in_(latest)))
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
