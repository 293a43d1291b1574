"""Whom the head compares with a new guardian or a corrected name: the suspended people, and their documents."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flask import url_for
from flask_babel import gettext
from sqlalchemy import and_, or_, select

from idp.accounts.models import Account, Child, Guardianship, School, SchoolNotice
from idp.accounts.same_person import digested, traces_of, traces_of_pupils
from idp.accounts.school_notices import Kind
from idp.accounts.suspensions.models import KeptSuspension, Suspension, Wait
from idp.accounts.suspensions.traces import Likeness, Names, Traces, likeness
from idp.clock import now
from idp.db import db
from idp.desk import access, suspended
from idp.desk.access import Right
from idp.desk.naming import account_urls
from idp.desk.suspended import Shown
from idp.web import i18n

_Decision = tuple[Suspension, Account, Child]
"""A decision with the person and a pupil whom it concerns."""
_ALONE = frozenset({Wait.EXCLUDED, Wait.CHECK})
"""The reasons that compare with no suspended person of the school."""
_BY_WEIGHT = (Wait.RECOGNISED, Wait.NEW_GUARDIAN, Wait.ALIKE, Wait.EXCLUDED, Wait.CHECK)
"""The reasons to wait: a notice about several ties says the first that holds. A check says nothing of a suspension."""


@dataclass(frozen=True)
class Compared:
    """A suspended person: the name, the URL of a page about the suspension if there is one, and what is to compare.

    `lines` are the reason, the document, the day and the author, for a post that may read them.
    """

    name: str
    url: str = ""
    lines: Sequence[str] = ()


def waits(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, Wait]:
    """Return why the head has to decide about the people of open notices, by the notice's id."""
    waiting = [notice for notice in notices if notice.kind == Kind.GUARDIAN_WAITS.value]
    corrected = _of_names(notices)
    matched = _matched_by_name(corrected) if corrected and access.may(Right.REOPEN) else {}
    by_name = {notice.id: Wait.RECOGNISED if matched.get(notice.id) else Wait.CHECK for notice in corrected}
    return {**_waits_of_ties(waiting), **by_name}


def _waits_of_ties(notices: Sequence[SchoolNotice]) -> Mapping[uuid.UUID, Wait]:
    """Return why ties wait for the head, by the id of the notice about them."""
    if not notices:
        return {}
    keys = {notice.account_id for notice in notices}
    rows = db.session.execute(
        select(Suspension.account_id, Suspension.school_id, Suspension.wait).where(
            Suspension.account_id.in_(keys), Suspension.where_waiting(now())
        )
    )
    by_school: dict[tuple[uuid.UUID, uuid.UUID | None], set[Wait]] = {}
    for account_id, school_id, wait in rows:
        by_school.setdefault((account_id, school_id), set()).add(Wait(wait))
    reasons = {notice.id: by_school.get((notice.account_id, notice.school_id)) for notice in notices}
    return {key: min(waits, key=_BY_WEIGHT.index) for key, waits in reasons.items() if waits}


def people(notices: Collection[SchoolNotice]) -> Mapping[uuid.UUID, list[Compared]]:
    """Return the suspended people with whom the head compares the person of each open notice.

    Notices are about a guardian who waits, or about a corrected name; a suspended person of another school is not
    among the people. Other posts compare nobody. As many statements run for many notices as for one.
    """
    if not access.may(Right.REOPEN):
        return {}
    corrected = _of_names(notices)
    matches = dict(_matched_by_name(corrected)) if corrected else {}
    waiting = [row for row in notices if row.kind == Kind.GUARDIAN_WAITS.value and row.settled_at is None]
    gone = _match_waiting(waiting, matches) if waiting else {}
    shown = _shown(matches.values())
    return {key: [*_merged(shown, matched), *gone.get(key, ())] for key, matched in matches.items()}


def _of_names(notices: Collection[SchoolNotice]) -> list[SchoolNotice]:
    """Return the open notices about corrected names."""
    return [row for row in notices if row.kind == Kind.NAME_COMPARED.value and row.settled_at is None]


def _matched_by_name(notices: Sequence[SchoolNotice]) -> Mapping[uuid.UUID, list[_Decision]]:
    """Return the decisions of the notices' schools about people with the corrected names, or nearly."""
    decisions = _decisions({notice.school_id for notice in notices})
    persons = _persons(notices)
    return {
        notice.id: [
            (row, account, child)
            for row, account, child in decisions.get(notice.school_id, [])
            if account.id != notice.account_id and _is_alike(persons[notice.account_id], row, account)
        ]
        for notice in notices
    }


def _persons(notices: Sequence[SchoolNotice]) -> Mapping[uuid.UUID, Names]:
    """Return the names of the people of notices, by the accounts' ids."""
    accounts = {notice.account_id for notice in notices}
    return {row.id: digested(row) for row in db.session.scalars(select(Account).where(Account.id.in_(accounts)))}


def _match_waiting(
    notices: Sequence[SchoolNotice], matches: dict[uuid.UUID, list[_Decision]]
) -> Mapping[uuid.UUID, list[Compared]]:
    """Add to `matches` the decisions with which people who wait are compared; return the people who are gone."""
    schools = {notice.school_id for notice in notices}
    waiting_rows = _waiting(notices)
    keys = {row.child_id for rows in waiting_rows.values() for row in rows}
    pupils = {pupil.id: pupil for pupil in db.session.scalars(select(Child).where(Child.id.in_(keys)))}
    persons = _persons(notices)
    decisions, kept = _decisions(schools), _kept(schools)
    names = traces_of_pupils(row[2] for rows in decisions.values() for row in rows)
    gone: dict[uuid.UUID, list[Compared]] = {}
    for notice in notices:
        rows = waiting_rows.get((notice.account_id, notice.school_id), [])
        if rows and all(row.wait in _ALONE for row in rows):
            continue
        by_names = {row.child_id for row in rows if row.wait != Wait.NEW_GUARDIAN}
        is_recognised = any(row.wait == Wait.RECOGNISED for row in rows)  # maybe by another suspended tie of their own
        theirs = [pupils[row.child_id] for row in rows if row.child_id in pupils]
        person = persons[notice.account_id]
        matches[notice.id] = [
            decision
            for decision in decisions.get(notice.school_id, [])
            if (is_recognised or decision[1].id != notice.account_id)
            and any(
                _is_compared(person, decision, pupil, names[decision[2].id], by_name=pupil.id in by_names)
                for pupil in theirs
            )
        ]
        of_school, keys_of_pupils = kept.get(notice.school_id, set()), [pupil.id for pupil in theirs]
        is_alone = not matches[notice.id]
        gone[notice.id] = list(_gone(of_school, keys_of_pupils, is_alone=is_alone, is_recognised=is_recognised))
    return gone


def _merged(shown: Mapping[tuple[uuid.UUID, uuid.UUID], Compared], matched: Iterable[_Decision]) -> Iterator[Compared]:
    """Yield each person once, with all decisions about the person."""
    by_account: dict[uuid.UUID, list[Compared]] = {}
    for row, account, _ in matched:
        by_account.setdefault(account.id, []).append(shown[row.id, account.id])
    for items in by_account.values():
        known = next((item for item in items if item.url), items[0])
        yield replace(known, lines=[line for item in items for line in item.lines])


def _waiting(notices: Sequence[SchoolNotice]) -> Mapping[tuple[uuid.UUID, uuid.UUID | None], list[Suspension]]:
    """Return the rows that wait for the head, by account and school."""
    keys = {notice.account_id for notice in notices}
    rows: dict[tuple[uuid.UUID, uuid.UUID | None], list[Suspension]] = {}
    statement = select(Suspension).where(Suspension.account_id.in_(keys), Suspension.where_waiting(now()))
    for row in db.session.scalars(statement.execution_options(populate_existing=True)):
        rows.setdefault((row.account_id, row.school_id), []).append(row)
    return rows


def _decisions(schools: Collection[uuid.UUID]) -> Mapping[uuid.UUID, list[_Decision]]:
    """Return the decisions that hold about ties to pupils, with the person and the pupil, by the pupil's school."""
    of_tie = and_(
        Suspension.account_id == Guardianship.account_id,
        or_(Suspension.child_id.is_(None), Suspension.child_id == Guardianship.child_id),
    )
    rows = db.session.execute(
        select(Suspension, Account, Child)
        .select_from(Guardianship)
        .join(Suspension, of_tie)
        .join(Account, Account.id == Guardianship.account_id)
        .join(Child, Child.id == Guardianship.child_id)
        .where(Child.school_id.in_(schools), Suspension.where_decided(now()))
        .order_by(Suspension.begins_at, Suspension.id)
    )
    by_school: dict[uuid.UUID, list[_Decision]] = {}
    for row, account, child in rows:
        by_school.setdefault(child.school_id, []).append((row, account, child))
    return by_school


def _kept(schools: Collection[uuid.UUID]) -> Mapping[uuid.UUID, set[uuid.UUID | None]]:
    """Return the pupils of each school to whom a kept suspension closes an access; None for pupils who left."""
    of_school = or_(School.id == Child.school_id, School.uai == KeptSuspension.uai)
    pupils = select(School.id, Child.id).select_from(KeptSuspension)
    pupils = pupils.outerjoin(Child, Child.id == KeptSuspension.child_id).join(School, of_school)
    by_school: dict[uuid.UUID, set[uuid.UUID | None]] = {}
    for school_id, child_id in db.session.execute(
        pupils.where(School.id.in_(schools), KeptSuspension.where_holding(now()))
    ):
        by_school.setdefault(school_id, set()).add(child_id)
    return by_school


def _is_compared(person: Names, decision: _Decision, pupil: Child, names: Traces, *, by_name: bool) -> bool:
    """Return whether the import compared a person with a suspended one: by their names, or because of the pupil."""
    row, account, child = decision
    if by_name:
        return _is_alike(person, row, account)
    if child.id == pupil.id:
        return True
    of_pupil = Names.of(given=[pupil.given_name], family=[pupil.family_name])
    return likeness(of_pupil, names) > Likeness.NONE  # the pupil may have another number now


def _is_alike(person: Names, row: Suspension, account: Account) -> bool:
    """Return whether a person has the names, or nearly, of the one whom a decision concerns."""
    return likeness(person, traces_of(account, [row])) > Likeness.NONE


def _shown(matches: Iterable[Iterable[_Decision]]) -> Mapping[tuple[uuid.UUID, uuid.UUID], Compared]:
    """Return suspended people as the post may know them; another school's document is not named."""
    decided = {(match[0].id, match[1].id): match for matched in matches for match in matched}
    urls = account_urls({account.id for _, account, _ in decided.values()}) if decided else {}
    items = suspended.all_shown([row for row, _, _ in decided.values()])
    return {
        key: _compared(item, account, child, urls.get(account.id, ""))
        for item, (key, (_, account, child)) in zip(items, decided.items(), strict=True)
    }


def _compared(item: Shown, account: Account, child: Child, url: str) -> Compared:
    """Return a suspended person. The pupil's page shows the suspension if the post may not open the account."""
    if not item.is_known and not url:
        return Compared(str(gettext("une personne dont l’accès est suspendu")))
    url = url or url_for("accounts.family", pupil=child.id)
    return Compared(account.display_name, url, _lines(item) if item.is_own else ())


def _lines(item: Shown) -> Sequence[str]:
    """Return what the school knows of its own suspension."""
    row, author = item.row, item.who[0].lower() + item.who[1:]
    document = gettext("Document : %(reference)s", reference=row.reference)
    return [
        gettext("Motif : « %(reason)s »", reason=row.reason),
        document if row.reference else gettext("Aucun document donné"),
        gettext("Suspension du %(day)s, par %(author)s", day=i18n.day(row.begins_at), author=author),
    ]


def _gone(
    kept: Collection[uuid.UUID | None], pupils: Collection[uuid.UUID], *, is_alone: bool, is_recognised: bool
) -> Iterator[Compared]:
    """Yield the suspended people whom no decision names any more, or of whom nothing is suspended here.

    `kept` are the pupils of the school to whom the access of a person stays suspended. The person of a pupil who is
    here was erased. None stands for a pupil who left: a purge kept the suspension, and the person need not be erased.
    """
    is_erased = not set(kept).isdisjoint(pupils) or (is_alone and not set(kept) <= {None})
    is_of_leaver = is_alone and None in kept
    if is_erased:
        yield Compared(str(gettext("une personne effacée depuis")))
    if is_of_leaver:
        yield Compared(str(gettext("une personne dont l’accès à un élève, parti depuis, reste suspendu")))
    if is_erased or is_of_leaver or not is_alone:
        return
    if is_recognised:
        yield Compared(str(gettext("une personne dont l’accès est suspendu hors de l’établissement, ou l’était")))
    else:
        yield Compared(str(gettext("une personne dont la suspension est finie depuis")))
