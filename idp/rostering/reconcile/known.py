"""What the database knows of the people whom an import names, copied beside the records; nothing is written here.

Pages of a thousand keys, each found by an index in a statement of its own: sign-ins go on, memory stays flat. Primary
keys are 32 hexadecimal digits here.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, select

from idp.accounts import retired
from idp.accounts.models import Account, Child, Guardianship, RetiredName, RosterAlias, School
from idp.db import db
from idp.rostering.bulk import one_of
from idp.rostering.reconcile.staging import Staging

_PAGE = 1000
_SCHOOLS_AT_ONCE = 20

_SCHEMA = """
CREATE TABLE known_school (id TEXT PRIMARY KEY, key TEXT, uai TEXT UNIQUE, name TEXT, degree TEXT, address TEXT,
  phone TEXT, source TEXT);
CREATE INDEX known_school_key ON known_school (key);
CREATE TABLE known_child (id TEXT PRIMARY KEY, key TEXT UNIQUE, school_id TEXT, student_id TEXT, family_name TEXT,
  given_name TEXT, class_name TEXT, is_left INT, scope INT);
CREATE TABLE known_account (id TEXT PRIMARY KEY, key TEXT UNIQUE, civility TEXT, family_name TEXT, birth_name TEXT,
  given_name TEXT, address TEXT, postcode TEXT, city TEXT, country TEXT, mail TEXT, address_diffusion INT,
  is_left INT, username TEXT, is_disabled INT, is_blank INT, opened_as TEXT, name_key TEXT);
CREATE INDEX known_account_name ON known_account (name_key);
CREATE TABLE known_link (child TEXT, account TEXT, kinship TEXT, authority INT, is_ended INT, is_disputed INT,
  is_excluded INT, PRIMARY KEY (child, account)) WITHOUT ROWID;
CREATE INDEX known_link_account ON known_link (account);
CREATE TABLE alias (key TEXT PRIMARY KEY, account TEXT);
CREATE TABLE retired (key TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_CHILD = (
    Child.id,
    Child.roster_key,
    Child.school_id,
    Child.student_id,
    Child.family_name,
    Child.given_name,
    Child.class_name,
    Child.left_at,
)
_ACCOUNT = (
    Account.id,
    Account.roster_key,
    Account.civility,
    Account.family_name,
    Account.birth_name,
    Account.given_name,
    Account.address_lines,
    Account.postcode,
    Account.city,
    Account.country,
    Account.school_email,
    Account.address_diffusion,
    Account.left_at,
    Account.username,
    Account.disabled_at,
    and_(
        Account.generation == 0,
        Account.activated_at.is_(None),
        Account.provisional_hash.is_(None),
        Account.merged_into_id.is_(None),
    ).label("is_blank"),
    Account.first_given_name,
    Account.name_key,
)
_LINK = (
    Guardianship.child_id,
    Guardianship.account_id,
    Guardianship.kinship,
    Guardianship.authority,
    Guardianship.ended_at,
    Guardianship.disputed_at,
    Guardianship.excluded_at,
)
Tick = Callable[[int], None]


def prepare(staging: Staging) -> None:
    """Make the tables, and copy the schools: there are few."""
    staging.connection.executescript(_SCHEMA)
    schools = db.session.execute(
        select(
            School.id,
            School.roster_key,
            School.uai,
            School.name,
            School.degree,
            School.address,
            School.phone,
            School.source,
        )
    ).all()
    staging.fill(
        "INSERT INTO known_school VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((s.id.hex, s.roster_key, s.uai, s.name, s.degree.name, _text(s.address), s.phone, s.source) for s in schools),
    )


def copy_people(staging: Staging, tick: Tick) -> None:
    """Copy the accounts and the children that the records name, then the links of these children."""
    named = "SELECT key FROM guardian UNION SELECT guardian FROM link"
    for page in staging.pages(named, _PAGE):
        keys = [key for (key,) in page]
        _copy_accounts(staging, one_of(Account.roster_key, keys))
        _copy_aliases(staging, one_of(RosterAlias.roster_key, keys))
        tick(len(page))
    for page in staging.pages("SELECT key FROM student WHERE key NOT IN (SELECT key FROM known_child)", _PAGE):
        _copy_children(staging, one_of(Child.roster_key, [key for (key,) in page]), scope=0)
        tick(len(page))
    for page in staging.pages("SELECT id FROM known_child", _PAGE):
        _copy_links(staging, one_of(Guardianship.child_id, [uuid.UUID(key) for (key,) in page]))
    gone = "SELECT a.id FROM guardian g JOIN known_account a ON a.key = g.key WHERE g.act = 'delete'"
    for page in staging.pages(gone, _PAGE):
        _copy_links(staging, one_of(Guardianship.account_id, [uuid.UUID(key) for (key,) in page]))


def copy_schools(staging: Staging, school_ids: Sequence[str], tick: Tick) -> None:
    """Copy all children of the schools that a complete file speaks for: who is not in the file has left."""
    for start in range(0, len(school_ids), _SCHOOLS_AT_ONCE):
        some = [uuid.UUID(key) for key in school_ids[start : start + _SCHOOLS_AT_ONCE]]
        tick(_copy_children(staging, one_of(Child.school_id, some) & Child.roster_key.is_not(None), scope=1))


def elsewhere(account_ids: Sequence[str], ending: AbstractSet[tuple[str, str]]) -> set[str]:
    """Return which accounts have a child that stays: a tie that is not among `ending`, as (account, child)."""
    rows = db.session.execute(
        select(Guardianship.account_id, Guardianship.child_id).where(
            one_of(Guardianship.account_id, [uuid.UUID(key) for key in account_ids]),
            Guardianship.ended_at.is_(None),
            Guardianship.excluded_at.is_(None),
        )
    ).all()
    return {account.hex for account, child in rows if (account.hex, child.hex) not in ending}


def aliases_of(account_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the second keys (key, account) of accounts."""
    of_these = one_of(RosterAlias.account_id, [uuid.UUID(key) for key in account_ids])
    return [
        (key, account.hex)
        for key, account in _page(select(RosterAlias.roster_key, RosterAlias.account_id).where(of_these))
    ]


def has_retired() -> bool:
    """Return whether an account was ever removed."""
    return bool(_page(select(RetiredName.trace).limit(1)))


def retired_keys(people: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield the keys, of (key, given name, family name, birth name), that removed accounts of other given names had."""
    traces = {
        key: (retired.join_key(key.partition(":")[2]), *retired.named_join_key(key.partition(":")[2], names))
        for key, *names in people
    }
    wanted = [trace for key_traces in traces.values() for trace in key_traces]
    found = {trace for (trace,) in _page(select(RetiredName.trace).where(one_of(RetiredName.trace, wanted)))}
    yield from (key for key, (bare, given, *_) in traces.items() if bare in found and given not in found)


def open_accounts() -> int:
    """Return how many accounts there are that nobody shut."""
    return db.session.scalar(select(func.count()).select_from(Account).where(Account.disabled_at.is_(None))) or 0


def namesakes(name_keys: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name key, roster key, postcode, identifier) of the accounts of these names that are open."""
    rows = db.session.execute(
        select(Account.name_key, Account.roster_key, Account.postcode, Account.username).where(
            one_of(Account.name_key, name_keys), Account.merged_into_id.is_(None), Account.disabled_at.is_(None)
        )
    ).all()
    for name_key, key, postcode, username in rows:
        yield name_key or "", key or "", postcode, username


def _copy_accounts(staging: Staging, some: ColumnElement[bool]) -> None:
    staging.fill(
        "INSERT OR IGNORE INTO known_account VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (a.id.hex, *a[1:6], _text(a.address_lines), *a[7:10], a.school_email or "", a.address_diffusion,
             int(a.left_at is not None), a.username, int(a.disabled_at is not None), int(a.is_blank),
             a.first_given_name or a.given_name, a.name_key)
            for a in _page(select(*_ACCOUNT).where(some))
        ),
    )  # fmt: skip


def copy_leaving(staging: Staging) -> None:
    """Copy the accounts that close and that the files do not name: the report does."""
    unnamed = "SELECT account FROM leaving WHERE account NOT IN (SELECT id FROM known_account)"
    for page in list(staging.pages(unnamed, _PAGE)):
        _copy_accounts(staging, one_of(Account.id, [uuid.UUID(key) for (key,) in page]))


def copy_relatives(staging: Staging, keys: str) -> None:
    """Copy the accounts that have a child in common with the records of `keys`, a query, and that no file names."""
    unnamed = (
        f"SELECT DISTINCT t.account FROM link l JOIN student c ON c.key = l.student JOIN known_link t "
        f"ON t.child = c.child_id WHERE l.guardian IN ({keys}) AND t.account NOT IN (SELECT id FROM known_account)"
    )
    for page in list(staging.pages(unnamed, _PAGE)):
        _copy_accounts(staging, one_of(Account.id, [uuid.UUID(key) for (key,) in page]))


def _copy_aliases(staging: Staging, some: ColumnElement[bool]) -> None:
    """Copy second keys of people whose accounts were merged, and these accounts."""
    aliases = _page(select(RosterAlias.roster_key, RosterAlias.account_id).where(some))
    if aliases:
        _copy_accounts(staging, one_of(Account.id, [account for _, account in aliases]))
    staging.fill("INSERT INTO alias VALUES (?, ?)", ((key, account.hex) for key, account in aliases))


def _copy_children(staging: Staging, some: ColumnElement[bool], *, scope: int) -> int:
    rows = _page(select(*_CHILD).where(some))
    staging.fill(
        "INSERT OR IGNORE INTO known_child VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ((c.id.hex, c.roster_key, c.school_id.hex, *c[3:7], int(c.left_at is not None), scope) for c in rows),
    )
    return len(rows)


def _copy_links(staging: Staging, some: ColumnElement[bool]) -> None:
    staging.fill(
        "INSERT OR IGNORE INTO known_link VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (link.child_id.hex, link.account_id.hex, link.kinship, link.authority,
             int(link.ended_at is not None or link.excluded_at is not None), int(link.disputed_at is not None),
             int(link.excluded_at is not None))
            for link in _page(select(*_LINK).where(some))
        ),
    )  # fmt: skip


def _page(statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    return db.session.execute(statement).all()


def _text(lines: list[str]) -> str:
    return json.dumps(lines, ensure_ascii=False)
