"""Checks the whole journal against its chain, and reports what was changed, removed or inserted, and where.

Reads page by page, each in a transaction of its own, while the service runs. Seals written meanwhile are left to the
next check: their entries count as not sealed yet. Somebody may have broken rows by SQL: an unreadable row does not hide
the others.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.exc import DataError

from idp.audit import chain
from idp.audit.chain import Sealed, Secrets, Verdict
from idp.audit.models import AuditBeginning, AuditEntry, AuditSeal
from idp.db import db

REMOVED = frozenset({"account.purged", "account.erased"})
"""The kinds of the events that erase the personal part of an account's entries."""

_R = TypeVar("_R", AuditEntry, AuditSeal, AuditBeginning)
# The exceptions of drivers and column types for a value that the column's type does not allow.
_UNREADABLE = (ValueError, TypeError, AttributeError, OverflowError, RecursionError, DataError)
_PAGE = 500
_SEALS = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER = -1
_NOT_THERE = "the entry names a seal that is not there"


@dataclass(frozen=True)
class Page(Generic[_R]):
    """The readable rows of a page, and the ids of the others."""

    rows: Sequence[_R] = ()
    unreadable: Sequence[int] = field(default=())

    @property
    def ids(self) -> Sequence[int]:
        """Return the ids of all rows of the page."""
        return [*(row.id for row in self.rows), *self.unreadable]


@dataclass(frozen=True)
class Finding:
    """A deviation from what this service wrote: the sentence, the seal, the entry, the entry's time."""

    what: str
    seal: int | None = None
    entry: int | None = None
    at: datetime | None = None


@dataclass
class Report:
    """The result of a check: how many sealed `entries` and `seals` were read, and how many entries wait for a seal.

    The purge removed `expired` entries by age. `head` is the number and the MAC of the last seal, and `beginning` the
    record of the last purge.
    """

    entries: int = 0
    seals: int = 0
    unsealed: int = 0
    oldest_unsealed_at: datetime | None = None
    expired: int = 0
    head: tuple[int, str] | None = None
    beginning: AuditBeginning | None = None


@dataclass
class Check:
    """One check of the journal; `findings` reads all of it and fills `report`.

    Args:
        known: the secret key and the former ones.
        noted: the number and the MAC of a seal, from an earlier check, an export or the worker's log.
    """

    known: Secrets
    noted: tuple[int, str] | None = None
    report: Report = field(default_factory=Report)
    _cut: tuple[int, int] = (_NEVER, _NEVER)
    _unknown: int = 0
    _erased: dict[uuid.UUID, int] = field(default_factory=dict)
    _gone: set[uuid.UUID] = field(default_factory=set)
    _noted_seen: bool = False

    def findings(self) -> Iterator[Finding]:
        """Yield the deviations, in the order of the chain."""
        match self._load_beginning():
            case Verdict.UNKNOWN_KEY:
                yield Finding("the record of the last purge was made under a secret key that is not here")
            case Verdict.WRONG:
                yield Finding("the record of the last purge was changed")
        last = db.session.scalar(select(func.max(AuditSeal.id))) or 0
        first = self._first
        if first > max(last, 1):
            yield Finding("the seal is missing", first)
        yield from self._past_entries(first)
        yield from self._walk(last)
        yield from self._later_entries(last)
        yield from self._unsealed()
        if self.noted is not None and not self._noted_seen and self.noted[0] >= self._first:
            yield Finding("the seal was noted before and is missing: the end of the chain was cut off", self.noted[0])
        for account, entry in self._erased.items():
            if account not in self._gone:
                yield Finding(
                    "the personal part was erased, and no event says that the account was removed", entry=entry
                )

    @property
    def _first(self) -> int:
        return self.report.beginning.first_seal if self.report.beginning else 1

    def _load_beginning(self) -> Verdict:
        """Read the record of the last purge, also if it was just written; return what its MAC says."""
        page = _load(AuditBeginning, select(AuditBeginning).limit(1))
        beginning = next(iter(page.rows), None)
        self.report.beginning = beginning
        if beginning is None:
            return Verdict.WRONG if page.unreadable else Verdict.FITS
        verdict = chain.verify(self.known, beginning)
        if verdict is Verdict.FITS:
            moments = beginning.entries_before, beginning.failures_before
            self._cut = chain.microseconds(moments[0]), chain.microseconds(moments[1])
        return verdict

    def _walk(self, last: int) -> Iterator[Finding]:
        expected, former = self._first, None
        previous: bytes | None = self.report.beginning.previous if self.report.beginning else b""
        while expected <= last:
            some = select(AuditSeal).where(AuditSeal.id.between(expected, last)).order_by(AuditSeal.id).limit(_SEALS)
            page = _load(AuditSeal, some)
            seals = {seal.id: seal for seal in page.rows}
            for number in sorted(page.ids):
                if number != expected:
                    yield from self._missing_seals(expected, number - 1)
                seal = seals.get(number)
                if seal is None:
                    yield Finding("the seal was changed: it cannot be read", number)
                    yield from self._check_alone(number)
                    expected, previous = number + 1, None
                    continue
                if number == expected and previous is not None and seal.previous != previous:
                    yield Finding("the seal does not follow the one before it", number)
                wrong = list(self._check_seal(seal))
                yield from wrong
                yield from self._check_batch(seal)
                # what follows a seal that was changed is not reported a second time
                expected, previous = number + 1, None if wrong else seal.mac
            if not page.ids or max(page.ids) == former:
                return
            former = max(page.ids)

    def _missing_seals(self, first: int, last: int) -> Iterator[Finding]:
        """Report missing seals, unless a concurrent purge removed them."""
        self._load_beginning()
        if last >= self._first:
            yield Finding(f"seals {first} to {last} are missing" if last > first else "the seal is missing", first)
            yield from self._check_named(first - 1, last + 1)

    def _check_named(self, above: int, below: int) -> Iterator[Finding]:
        for seal in _named_seals(above, below):
            yield from self._check_alone(seal)

    def _check_alone(self, seal: int) -> Iterator[Finding]:
        for page in _pages(AuditEntry.seal_id == seal):
            self.report.entries += len(page.ids)
            yield from self._check_entries(page, seal)

    def _check_seal(self, seal: AuditSeal) -> Iterator[Finding]:
        self.report.seals += 1
        self.report.head = seal.id, seal.mac.hex()
        if self.noted is not None and self.noted[0] == seal.id:
            self._noted_seen = True
            if self.noted[1] != seal.mac.hex():
                yield Finding("the seal differs from the one that was noted before: the chain was rewritten", seal.id)
        match chain.verify(self.known, seal):
            case Verdict.UNKNOWN_KEY:
                yield Finding("the seal was made under a secret key that is not here", seal.id)
            case Verdict.WRONG:
                yield Finding("the seal was changed", seal.id)

    def _check_batch(self, seal: AuditSeal) -> Iterator[Finding]:
        try:
            records = {record.id: record for record in chain.unpack(seal.entries)}
        except ValueError:
            records = {}  # the seal was reported as changed
        for page in _pages(AuditEntry.seal_id == seal.id):
            self.report.entries += len(page.ids)
            wrong = list(self._check_entries(page, seal.id))
            yield from wrong
            reported = {finding.entry for finding in wrong}
            for key in page.unreadable:
                records.pop(key, None)
            for entry in page.rows:
                record = records.pop(entry.id, None)
                if record is None:
                    yield _at(entry, "the entry was inserted into a batch that was sealed without it")
                elif record != Sealed.of(entry) and entry.id not in reported:
                    yield _at(entry, "the entry differs from the sealed one")
        if not all(map(self._is_expired, records.values())):
            self._load_beginning()  # a purge may be running
        for record in records.values():
            if self._is_expired(record):
                self.report.expired += 1
            else:
                yield Finding("the entry was removed", seal.id, record.id, _instant(record.at))

    def _is_expired(self, record: Sealed) -> bool:
        entries, failures = self._cut
        return record.at <= entries or (record.failure and record.at <= failures)

    def _check_entries(self, page: Page[AuditEntry], seal: int | None) -> Iterator[Finding]:
        for key in page.unreadable:
            yield Finding("the entry was changed: it cannot be read", seal, key)
        unknown = 0
        for entry in page.rows:
            verdict = chain.verify_entry(self.known, entry)
            if verdict is Verdict.UNKNOWN_KEY:
                unknown += 1
            elif verdict is Verdict.WRONG:
                written = "changed" if entry.mac else "not written by this service"
                yield _at(entry, f"the entry was {written}")
            else:
                yield from self._check_personal_part(entry)
        if unknown:
            counted = "1 entry was" if unknown == 1 else f"{unknown} entries were"
            yield Finding(f"{counted} written under a secret key that is not here", seal)
        yield from self._copies(page.rows)

    def _copies(self, rows: Sequence[AuditEntry]) -> Iterator[Finding]:
        """Report the rows whose MAC an older row has too: a copied entry has a valid MAC.

        When the entry of a code is sealed, its whole MAC replaces the first one, and a copy may be older than that. So
        the whole MACs are compared, including those that are not stored yet.
        """
        moments = {entry.at for entry in rows}
        same_time = _load(AuditEntry, select(AuditEntry).where(AuditEntry.at.in_(moments))).rows if moments else ()
        macs = {entry.id: chain.completed_mac(self.known, entry) for entry in (*same_time, *rows)}
        first: dict[bytes, int] = {}
        for key, mac in macs.items():
            if mac is not None:
                first[mac] = min(key, first.get(mac, key))
        for entry in rows:
            mac = macs[entry.id]
            if mac is not None and first[mac] < entry.id:
                yield _at(entry, f"the entry is a copy of entry {first[mac]}")

    def _check_personal_part(self, entry: AuditEntry) -> Iterator[Finding]:
        if entry.kind in REMOVED and entry.account_id is not None:
            self._gone.add(entry.account_id)
        if not chain.has_its_personal_part(entry):
            yield _at(entry, "the address, the request or the details of the entry were changed")
        elif chain.is_erased(entry):
            if entry.account_id is None:
                yield _at(entry, "the personal part was erased, and the entry is about no account")
            else:
                self._erased.setdefault(entry.account_id, entry.id)

    def _past_entries(self, first: int) -> Iterator[Finding]:
        """Check entries that name a seal before the beginning: a purge was stopped before it removed them.

        No seal ever had a number below 1.
        """
        for seal in _named_seals(None, first):
            for page in _pages(AuditEntry.seal_id == seal):
                yield from self._check_entries(page, seal)
                for entry in page.rows:
                    if seal < 1 or chain.microseconds(entry.at) > self._cut[0]:
                        yield _at(entry, _NOT_THERE)

    def _later_entries(self, last: int) -> Iterator[Finding]:
        """Check entries that name a seal after the last one: the worker may just have written it."""
        for seal in _named_seals(last, None):
            known = db.session.scalar(select(AuditSeal.id).where(AuditSeal.id == seal)) is not None
            for page in _pages(AuditEntry.seal_id == seal):
                self.report.unsealed += len(page.ids)
                yield from self._check_entries(page, seal if isinstance(seal, int) else None)
                if not known:
                    yield from (_at(entry, _NOT_THERE) for entry in page.rows)

    def _unsealed(self) -> Iterator[Finding]:
        for page in _pages(AuditEntry.seal_id.is_(None)):
            self.report.unsealed += len(page.ids)
            for entry in page.rows:
                self.report.oldest_unsealed_at = min(self.report.oldest_unsealed_at or entry.at, entry.at)
            yield from self._check_entries(page, None)


def _load(model: type[_R], statement: Select[_R]) -> Page[_R]:
    """Load the rows of `statement`, detached.

    The database keeps JSON that Python cannot read. If one row cannot be read, load each row alone.
    """
    rows = _load_all(statement)
    if rows is not None:
        return Page(rows)
    keys = db.session.scalars(statement.with_only_columns(model.id)).all()
    readable: list[_R] = []
    unreadable: list[int] = []
    for key in keys:
        row = _load_all(statement.where(model.id == key))
        if row is None:
            unreadable.append(key)
        else:
            readable.extend(row)
    return Page(readable, unreadable)


def _load_all(statement: Select[_R]) -> Sequence[_R] | None:
    try:
        return db.session.scalars(statement.execution_options(populate_existing=True)).all()
    except _UNREADABLE:
        return None
    finally:
        db.session.expunge_all()


def _named_seals(above: int | None, below: int | None) -> Iterator[int]:
    """Yield the numbers of seals that entries name, between two numbers; one index lookup for each."""
    while True:
        condition = AuditEntry.seal_id.is_not(None) if above is None else AuditEntry.seal_id > above
        if below is not None:
            condition &= AuditEntry.seal_id < below
        number = db.session.scalar(select(func.min(AuditEntry.seal_id)).where(condition))
        if number is None:
            return
        yield number
        above = number


def _pages(condition: ColumnElement[bool]) -> Iterator[Page[AuditEntry]]:
    after: int | None = None
    while True:
        page = select(AuditEntry).where(condition).order_by(AuditEntry.seal_id, AuditEntry.id).limit(_PAGE)
        entries = _load(AuditEntry, page if after is None else page.where(AuditEntry.id > after))
        if not entries.ids:
            return
        yield entries
        after = max(entries.ids)


def _instant(microseconds: int) -> datetime | None:
    """Return the time of a record; None if a forged seal names a time beyond the calendar."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def _at(entry: AuditEntry, what: str) -> Finding:
    return Finding(what, entry.seal_id, entry.id, entry.at)
