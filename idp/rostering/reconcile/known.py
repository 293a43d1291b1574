"""Copies what the database knows of the people whom an import names beside their records; nothing is written here.

Each statement asks for a page of keys by an index, in a transaction of its own: sign-ins continue meanwhile, and memory
stays flat.
"""

import json
import uuid
from collections.abc import Iterator, Sequence, Set as AbstractSet
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, not_, select

from idp.accounts import closings, retired
from idp.accounts.closings import Kind
from idp.accounts.models import Account, Child, Guardianship, RosterAlias, School
from idp.accounts.retired import RetiredName
from idp.clock import now
from idp.db import db, one_of
from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.records import Mode

_PAGE = 1000
_SCHOOLS_AT_ONCE = 20

_NAMED_GUARDIANS = "SELECT key FROM guardian UNION SELECT guardian FROM link"
_NAMED_STUDENTS = "SELECT key FROM student WHERE key NOT IN (SELECT key FROM known_child)"
_RECORDS = "SELECT (SELECT count(*) FROM student) + (SELECT count(*) FROM guardian)"
_CHILDREN = "SELECT id FROM known_child"
_GONE = "SELECT a.id FROM guardian g JOIN known_account a ON a.key = g.key WHERE g.act = 'delete'"
_SCHOOLS_OF_SCOPE = "SELECT id FROM scope WHERE id IS NOT NULL ORDER BY uai"
_LEAVING = "SELECT account FROM leaving_account WHERE account NOT IN (SELECT id FROM known_account)"
_RELATIVES = (
    "SELECT DISTINCT t.account FROM link l JOIN student c ON c.key = l.student JOIN known_link t "
    "ON t.child = c.child_id WHERE l.guardian IN ({keys}) AND t.account NOT IN (SELECT id FROM known_account)"
)

_SCHOOL = (
    School.id,
    School.roster_key,
    School.uai,
    School.name,
    School.degree,
    School.postal_address,
    School.phone,
    School.source,
)
_CHILD = (
    Child.id,
    Child.roster_key,
    Child.school_id,
    Child.student_id,
    Child.family_name,
    Child.given_name,
    Child.class_name,
    func.to_char(Child.birth_date, "YYYY-MM-DD"),
    Child.left_at.is_not(None),
)
_IS_BLANK = and_(
    Account.generation == 0,
    Account.activated_at.is_(None),
    Account.provisional_hash.is_(None),
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
    Account.has_left,
    Account.username,
    Account.disabled_at,
    _IS_BLANK.label("is_blank"),
    Account.first_given_name,
    Account.name_key,
)
_LINK = (
    Guardianship.child_id,
    Guardianship.account_id,
    Guardianship.kinship,
    Guardianship.authority,
    not_(Guardianship.is_unended).label("is_ended"),
)


class Homes(NamedTuple):
    """Accounts by whether they belong to a school: to other ones alone, or to both."""

    outside: frozenset[str]
    shared: frozenset[str]


def copy_schools(context: Context) -> None:
    """Copy all schools: there are few."""
    schools = _all(select(*_SCHOOL))
    context.staging.insert(
        "known_school",
        (
            (s.id.hex, s.roster_key, s.uai, s.name, s.degree.name, _text(s.postal_address), s.phone, s.source)
            for s in schools
        ),
    )
    context.staging.create_index("known_school_key")


def copy_children_of_scope(context: Context) -> None:
    """Copy all pupils of the schools that a complete file speaks for: a pupil who is not in the file has left."""
    context.set_total(context.staging.value(_RECORDS))
    if context.mode is Mode.COMPLETE:
        for page in list(context.staging.value_pages(_SCHOOLS_OF_SCOPE, _SCHOOLS_AT_ONCE)):
            of_schools = one_of(Child.school_id, _ids(page)) & Child.roster_key.is_not(None)
            context.tick(_copy_children(context.staging, of_schools, in_scope=True))


def copy_people(context: Context) -> None:
    """Copy the accounts and the pupils that the records name, then the links of these pupils."""
    staging = context.staging
    for page in staging.value_pages(_NAMED_GUARDIANS, _PAGE):
        _copy_accounts(staging, one_of(Account.roster_key, page))
        _copy_aliases(staging, one_of(RosterAlias.roster_key, page))
        context.tick(len(page))
    for page in staging.value_pages(_NAMED_STUDENTS, _PAGE):
        _copy_children(staging, one_of(Child.roster_key, page), in_scope=False)
        context.tick(len(page))
    for page in staging.value_pages(_CHILDREN, _PAGE):
        _copy_links(staging, one_of(Guardianship.child_id, _ids(page)))
    for page in staging.value_pages(_GONE, _PAGE):
        _copy_links(staging, one_of(Guardianship.account_id, _ids(page)))
    staging.create_index("known_account_name")
    staging.create_index("known_link_account")


def copy_relatives(staging: Staging, keys: str) -> None:
    """Copy the accounts that no file names and that share a child with the records of `keys`, a query."""
    for page in list(staging.value_pages(_RELATIVES.format(keys=keys), _PAGE)):
        _copy_accounts(staging, one_of(Account.id, _ids(page)))


def copy_leaving(staging: Staging) -> None:
    """Copy the accounts that close and that no file names, for the report."""
    for page in list(staging.value_pages(_LEAVING, _PAGE)):
        _copy_accounts(staging, one_of(Account.id, _ids(page)))


def with_other_child(account_ids: Sequence[str], ending: AbstractSet[tuple[str, str]]) -> set[str]:
    """Return the accounts that keep a child: by a link that is not among `ending`, as (account, child)."""
    rows = _all(
        select(Guardianship.account_id, Guardianship.child_id).where(
            one_of(Guardianship.account_id, _ids(account_ids)),
            Guardianship.is_unended,
        )
    )
    return {account.hex for account, child in rows if (account.hex, child.hex) not in ending}


def aliases_of(account_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the second keys of accounts, as (key, account)."""
    of_accounts = one_of(RosterAlias.account_id, _ids(account_ids))
    rows = _all(select(RosterAlias.roster_key, RosterAlias.account_id).where(of_accounts))
    return [(key, account.hex) for key, account in rows]


def has_retired() -> bool:
    """Return whether an account was ever removed."""
    return bool(_all(select(RetiredName.trace).limit(1)))


def retired_keys(people: Sequence[tuple[str, str, str, str]]) -> Iterator[str]:
    """Yield the keys, given with names, that a removed account had under another given name."""
    traces = {
        key: (retired.join_key(key.partition(":")[2]), *retired.named_join_key(key.partition(":")[2], names))
        for key, *names in people
    }
    asked = [trace for key_traces in traces.values() for trace in key_traces]
    retired_traces = {trace for (trace,) in _all(select(RetiredName.trace).where(one_of(RetiredName.trace, asked)))}
    yield from (
        key for key, (bare, given, *_) in traces.items() if bare in retired_traces and given not in retired_traces
    )


def open_accounts() -> int:
    """Return how many accounts are not disabled."""
    [(count,)] = _all(select(func.count()).select_from(Account).where(Account.disabled_at.is_(None)))
    return int(count)


def namesakes(name_keys: Sequence[str], only_school: str | None) -> Sequence[Any]:
    """Return the open accounts of some names; those with a child in `only_school`, if it is given."""
    query = select(Account.name_key, Account.roster_key, Account.postcode).where(
        one_of(Account.name_key, name_keys), Account.disabled_at.is_(None)
    )
    if only_school is not None:
        of_school = select(Guardianship.account_id).join(Child).join(School).where(School.uai == only_school)
        query = query.where(Account.id.in_(of_school.where(Guardianship.is_unended)))
    return _all(query)


def homes_of(account_ids: Sequence[str], uai: str) -> Homes:
    """Return which accounts belong to other schools than `uai` alone, and which to both.

    A tie that has ended, unless the school excluded it, makes an account the school's only if there is none elsewhere.
    An account that a killed import opened has no tie and no letter: it is nobody's, and the next import continues.
    """
    is_here: set[str] = set()
    was_here: set[str] = set()
    is_elsewhere: set[str] = set()
    was_elsewhere: set[str] = set()
    query = (
        select(
            Guardianship.account_id,
            School.uai,
            Guardianship.is_unended,
            Guardianship.where_closed_as(Kind.EXCLUDED),
        )
        .join(Child, Child.id == Guardianship.child_id)
        .join(School, School.id == Child.school_id)
        .where(one_of(Guardianship.account_id, _ids(account_ids)))
    )
    for account, school, is_unended, ended_by_school in _all(query):
        if school == uai:
            was_here.add(account.hex)
            if is_unended or ended_by_school:
                is_here.add(account.hex)
        else:
            was_elsewhere.add(account.hex)
            if is_unended:
                is_elsewhere.add(account.hex)
    blank = {row.id.hex for row in _all(select(Account.id).where(one_of(Account.id, _ids(account_ids)), _IS_BLANK))}
    ours = is_here | (was_here - was_elsewhere) | (blank - was_here - was_elsewhere)
    return Homes(frozenset(account_ids) - ours, frozenset(ours & is_elsewhere))


def _copy_accounts(staging: Staging, some: ColumnElement[bool]) -> None:
    staging.insert(
        "known_account",
        (
            (a.id.hex, *a[1:6], _text(a.address_lines), *a[7:10], a.school_email or "", a.address_diffusion,
             int(a.has_left), a.username, int(a.disabled_at is not None), int(a.is_blank),
             a.first_given_name or a.given_name, a.name_key, int(a.is_shut))
            for a in _all(select(*_ACCOUNT, Account.where_shut(now()).label("is_shut")).where(some))
        ),
    )  # fmt: skip


def _copy_aliases(staging: Staging, some: ColumnElement[bool]) -> None:
    aliases = _all(select(RosterAlias.roster_key, RosterAlias.account_id).where(some))
    if aliases:
        _copy_accounts(staging, one_of(Account.id, [account for _, account in aliases]))
    staging.insert("known_alias", ((key, account.hex) for key, account in aliases))


def _copy_children(staging: Staging, some: ColumnElement[bool], *, in_scope: bool) -> int:
    rows = _all(select(*_CHILD).where(some))
    staging.insert(
        "known_child",
        ((c.id.hex, c.roster_key, c.school_id.hex, *c[3:9], int(in_scope), c.roster_key) for c in rows),
    )
    return len(rows)


def _copy_links(staging: Staging, some: ColumnElement[bool]) -> None:
    moment = now()
    closed = case(
        (Guardianship.where_closed_as(Kind.EXCLUDED), "excluded"),
        (Guardianship.where_closed_as(Kind.DISPUTED), "disputed"),
        (not_(Guardianship.where_shut(moment)), ""),
        (closings.only_waits(Guardianship.account_id, Guardianship.child_id, moment), "waits"),
        else_="closed",
    )
    active = Account.activated_at.is_not(None), Account.where_enabled(moment)
    is_active = Guardianship.where_holds(moment) & exists().where(Account.id == Guardianship.account_id, *active)
    staging.insert(
        "known_link",
        (
            (link.child_id.hex, link.account_id.hex, link.kinship, link.authority,
             int(link.is_ended), int(link.is_active), link.closed)
            for link in _all(select(*_LINK, is_active.label("is_active"), closed.label("closed")).where(some))
        ),
    )  # fmt: skip


def _all(statement: Select[*tuple[Any, ...]]) -> Sequence[Any]:
    return db.session.execute(statement).all()


def _ids(keys: Sequence[str]) -> list[uuid.UUID]:
    return [uuid.UUID(key) for key in keys]


def _text(lines: list[str]) -> str:
    return json.dumps(lines, ensure_ascii=False)
