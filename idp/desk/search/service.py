"""Finds families in the scope of the post: pupils with their guardians, and guardians without a pupil there."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flask_babel import ngettext
from sqlalchemy import CTE, Select, or_, select
from sqlalchemy.orm import defer, selectinload

from idp import opaque
from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.audit import log
from idp.audit.desk_events import FamiliesSearched
from idp.clock import now
from idp.config import Settings
from idp.db import db, one_of, unit_of_work
from idp.desk import access, ties
from idp.desk.search import guardians
from idp.desk.search.guardians import Former, Guardian
from idp.desk.search.query import (
    Filters,
    Listing,
    Step,
    Terms,
    all_words,
    any_word,
    are_of_class,
    are_rare,
    condition,
    of_listing,
    shown_in,
)
from idp.families.standing import Group
from idp.folding import fold
from idp.statements import index_only

MOST = 40
_AT_ONCE = 200  # the matches that a step reads, to sort them by name
_FEW = 1000  # fewer matches in all schools than this are compared with the school one by one
_DIGEST_LENGTH = 32
_SUREST, _SURE, _NEAR = range(3)  # the steps of a search: whole words, beginnings of words, words with one typing error
_Names = dict[uuid.UUID, tuple[str, str, bool]]


@dataclass(frozen=True)
class Family:
    """A row of the results: a pupil with the guardians, or a guardian without a pupil in scope."""

    child: Child | None
    guardians: list[Guardian]
    is_near: bool = False  # whether the names only resemble what was typed

    @property
    def school(self) -> str:
        """The name of the pupil's school, if the post is not that of one school."""
        return self.child.school.name if self.child and access.post().school is None else ""


@dataclass
class _Matches:
    """The keys of pupils and of guardians without pupils, each with the step that matched first."""

    filters: Filters
    children: dict[uuid.UUID, int] = field(default_factory=dict)
    alone: dict[uuid.UUID, int] = field(default_factory=dict)
    names: _Names = field(default_factory=dict)
    has_no_account: bool = False  # whether no account of any school has the words

    @property
    def count(self) -> int:
        return len(self.children) + len(self.alone)


@dataclass(frozen=True)
class Results:
    """A page of rows, at most `MOST`; `pupils` is the number of rows of all pages.

    `accounts` counts those in the list, the state and the class that were asked for without words; `uncounted` those
    that a class shows besides, because they are closed or have no open tie there. `former` are former guardians with
    these names, if no family has exactly these.
    """

    families: list[Family]
    page: int
    pupils: int
    accounts: int = 0
    uncounted: int = 0
    former: Sequence[Former] = ()

    @property
    def pages(self) -> int:
        """The number of pages."""
        return -(-self.pupils // MOST)

    @property
    def sentence(self) -> str:
        """How many pupils and guardians without a pupil the rows of this page have, as a sentence."""
        alone = sum(family.child is None for family in self.families)
        pupils = len(self.families) - alone
        sentences = [ngettext("Un élève trouvé.", "%(num)s élèves trouvés.", pupils)] if pupils else []
        if alone:
            sentences.append(ngettext("Un responsable sans élève ici.", "%(num)s responsables sans élève ici.", alone))
        return " ".join(sentences)


def find(settings: Settings, terms: Terms, filters: Filters) -> Results:
    """Return the first families that match. The journal records the search.

    An identifier or a mail address says who it is: the schools are not needed.
    """
    if terms.mailbox or terms.identifier:
        filters = replace(filters, schools=())
    matches = _Matches(filters)
    if terms.mailbox:
        is_theirs = or_(Account.mailbox == terms.mailbox, Account.pending_email == terms.mailbox)
        known = select(Account.id).where(replace(filters, group=None).accounts(), is_theirs)
        _add_accounts(matches, _first(known), _SURE)
    else:
        if terms.identifier:
            known = select(Account.id).where(Account.username == terms.identifier, filters.accounts())
            _add_accounts(matches, _first(known), _SUREST)
        if not matches.count:
            _match_words(matches, terms)
    results = _results(matches)
    is_former = not terms.mailbox and not matches.has_no_account and all(family.is_near for family in results.families)
    if is_former and filters == Filters():
        results = replace(results, former=guardians.find(terms))
    note_list(settings, terms.canonical, len(results.families) + len(results.former))
    return results


def _match_words(matches: _Matches, terms: Terms) -> None:
    with index_only():
        if terms.is_short or not matches.filters.are_of_schools:  # in a school, the next step has them all
            _match(matches, terms.whole(), _SUREST)
        if not terms.is_short and matches.count <= MOST:
            _match(matches, terms.beginnings(), _SURE)
        if not terms.is_short and not matches.count and terms.across():
            _match_together(matches, terms)
        if not terms.is_short and not matches.count and (near := terms.near()):
            _match(matches, near, _NEAR)


def find_listed(settings: Settings, listing: Listing, filters: Filters, page: int) -> Results:
    """Return a page of the families of a list of the school; the journal records it as a search."""
    matches = _Matches(filters)
    keys = db.session.scalars(select(Account.id).where(filters.accounts(), of_listing(listing))).all()
    _add_accounts(matches, keys, _SURE)
    results = replace(_results(matches, page), accounts=len(keys))
    note_list(settings, f"list {listing.value}", len(results.families))
    return results


def find_without_words(settings: Settings, filters: Filters, page: int) -> Results:
    """Return a page of the pupils of a school: those of a class, or with a guardian in a state, or both.

    The accounts are those that the board of classes counts; closed ones, which it does not count, are those of all ties
    that the desk shows. The journal records it as a search.
    """
    matches, group, uncounted = _Matches(filters), filters.group, 0
    counted = ties.are_shown() if group is Group.CLOSED else directory.counts_in_class(now())
    in_state = Account.where_enabled(now()) if group is None else shown_in(group)
    named = Child.id, Child.family_name, Child.given_name, Child.left_at.is_not(None)
    with_account = (
        select(Account.id, *named)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(filters.children(), counted, in_state)
    )
    pairs = db.session.execute(with_account).all()
    matches.names = {key: (family, given, has_left) for _, key, family, given, has_left in pairs}
    if group is None:
        everybody = select(*named).where(filters.children(), Child.left_at.is_(None))
        matches.names |= {key: (family, given, left) for key, family, given, left in db.session.execute(everybody)}
        shown = select(Guardianship.account_id).join(Child, Child.id == Guardianship.child_id)
        listed = db.session.scalars(shown.where(filters.children(), Child.left_at.is_(None), ties.are_shown()))
        uncounted = len(set(listed) - {pair[0] for pair in pairs})
    _add_children(matches, list(matches.names), _SURE)
    results = replace(_results(matches, page), accounts=len({pair[0] for pair in pairs}), uncounted=uncounted)
    words = f"state {group.value if group else ''} class {filters.class_name}"
    note_list(settings, words, len(results.families))
    return results


@unit_of_work()
def note_list(settings: Settings, words: str, hits: int) -> None:
    """Journal a page that lists families, as a search by `words`: the journal has their digest."""
    key = opaque.derive_key(settings.secrets[0], "desk search")
    digest = opaque.keyed_digest(key, words).hex()[:_DIGEST_LENGTH]
    log.record(FamiliesSearched(terms_digest=digest, hits=hits))


def _match(matches: _Matches, step: Step, rank: int) -> None:
    """Add the pupils and the guardians that a step matches.

    PostgreSQL gets an order of work, because its estimates for words are far off. In a school, the index of the whole
    table comes first if the words are rare: few rows are then compared with the school. Otherwise the rows of the
    school come first, except for a typing error, whose many spellings are slow to compare.
    """
    of_school = matches.filters.are_of_schools
    filters = matches.filters
    children, accounts = [filters.children()], [filters.accounts()]
    if filters.group is not None:
        of_child = select(Guardianship.account_id).join(Account, Account.id == Guardianship.account_id)
        shown = of_child.where(Guardianship.child_id == Child.id, ties.are_shown(), shown_in(filters.group))
        children.append(shown.correlate(Child).exists())
    for table, conditions, add in ((Child, children, _add_children), (Account, accounts, _add_accounts)):
        if table is Account and are_of_class(step):
            continue
        if not of_school:
            chosen = select(table.id).where(condition(table.search_text, step), *conditions)
        elif (rank == _NEAR or are_rare(step)) and (few := _few(table, step)) is not None:
            if not few:
                matches.has_no_account |= table is Account and rank != _NEAR
                continue
            chosen = select(table.id).where(one_of(table.id, few), *conditions)
        elif rank == _NEAR:
            rows = _separately(select(table.id).where(condition(table.search_text, step)), "matching")
            chosen = select(table.id).where(table.id.in_(select(rows.c.id)), *conditions)
        else:
            rows = _separately(select(table.id, table.search_text).where(*conditions), "in_scope")
            chosen = select(rows.c.id).where(condition(rows.c.search_text, step))
        add(matches, _first(chosen), rank)


def _few(table: type[Child] | type[Account], step: Step) -> Sequence[uuid.UUID] | None:
    """Return the keys of all rows that a step matches, or None if there are many.

    PostgreSQL looks few keys up. If it did not know how many there are, it would read all families of the school.
    """
    keys = db.session.scalars(select(table.id).where(condition(table.search_text, step)).limit(_FEW)).all()
    return keys if len(keys) < _FEW else None


def _match_together(matches: _Matches, terms: Terms) -> None:
    """Add the pupils who have all words together with one guardian: « Emma Blanc », whose mother is Mme Blanc."""
    words, filters = terms.across(), matches.filters
    named = _separately(select(Account.id).where(any_word(Account.search_text, words)), "named")
    pairs = (
        select(Child.id)
        .join(Guardianship, Guardianship.child_id == Child.id)
        .join(Account, Account.id == Guardianship.account_id)
        .where(
            Account.id.in_(select(named.c.id)),
            filters.children(),
            ties.are_shown(),
            all_words([Child.search_text, Account.search_text], words),
        )
    )
    if filters.group is not None:
        pairs = pairs.where(shown_in(filters.group))
    _add_children(matches, _first(pairs.distinct()), _SURE)


def _separately(chosen: Select[*tuple[Any, ...]], name: str) -> CTE:
    return chosen.cte(name).prefix_with("MATERIALIZED")


def _first(chosen: Select[Any]) -> Sequence[uuid.UUID]:
    return db.session.scalars(chosen.limit(_AT_ONCE)).all()


def _add_children(matches: _Matches, keys: Sequence[uuid.UUID], rank: int) -> None:
    for key in keys:
        matches.children.setdefault(key, rank)


def _add_accounts(matches: _Matches, keys: Sequence[uuid.UUID], rank: int) -> None:
    if not keys:
        return
    shown = (
        select(Guardianship.account_id, Child.id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(one_of(Guardianship.account_id, keys), matches.filters.children(), ties.are_shown())
    )
    with_child = set()
    for account_id, child_id in db.session.execute(shown):
        with_child.add(account_id)
        matches.children.setdefault(child_id, rank)
    for key in keys:
        if key not in with_child:
            matches.alone.setdefault(key, rank)


def _results(matches: _Matches, page: int = 1) -> Results:
    """Return a page of rows: by step, then by name; pupils who left come after those who are here."""
    chosen = sorted([*_order(Child, matches.children, matches.names), *_order(Account, matches.alone, {})])
    page = min(max(page, 1), max(-(-len(chosen) // MOST), 1))
    rows = [(key, rank == _NEAR) for rank, _, _, key in chosen[(page - 1) * MOST : page * MOST]]
    shown = [key for key, _ in rows]
    with_child = select(Child).where(one_of(Child.id, shown)).options(defer(Child.search_text))
    if access.post().school is None:
        with_child = with_child.options(selectinload(Child.school).load_only(School.name))
    children = {row.id: row for row in db.session.scalars(with_child)}
    of_pupils = guardians.of_pupils(children.values())
    without_child = select(Account).where(one_of(Account.id, [key for key in shown if key in matches.alone]))
    lonely = guardians.of_accounts(db.session.scalars(without_child.options(*guardians.OF_ACCOUNT)))
    families = []
    for key, is_near in rows:
        if key in children:
            families.append(Family(children[key], of_pupils[key], is_near))
        elif key in lonely:
            families.append(Family(None, [lonely[key]], is_near))
    return Results(families, page, len(chosen))


def _order(
    table: type[Child] | type[Account], ranks: dict[uuid.UUID, int], read: _Names
) -> list[tuple[int, bool, str, uuid.UUID]]:
    """Return the keys behind what rows are sorted by: the step, whether the person left, the name."""
    known = dict(read)
    if unread := ranks.keys() - known.keys():
        has_left = Account.has_left if table is Account else Child.left_at.is_not(None)
        named = select(table.id, table.family_name, table.given_name, has_left)
        rows = db.session.execute(named.where(one_of(table.id, list(unread))))
        known |= {key: (family, given, gone) for key, family, given, gone in rows}
    return [(ranks[key], gone, fold(f"{family} {given}"), key) for key, (family, given, gone) in known.items()]
