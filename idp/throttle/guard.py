"""Counts tries against rate limits.

A try is counted before its work, by one statement that grants it only while the counter is open: parallel tries never
exceed the limit, on any number of nodes.

Every function that writes is one statement (`idp.chained`). A try stays counted when the caller's work fails, and the
row is not locked while a hash is computed. No unit of work may be open on `db.session` meanwhile: a request would hold
two connections of the pool.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, tuple_

from idp import opaque
from idp.chained import Chain
from idp.clock import now
from idp.db import autocommitted, db, release_connection
from idp.metrics.catalogue import LIMITED
from idp.services import services
from idp.throttle import counters as rows
from idp.throttle.counters import Counter, ThrottleCounter, in_order, is_any
from idp.throttle.limits import (
    BLOCKED_PASSWORD,
    FORGOTTEN_PASSWORD_ACCOUNT,
    REFUSAL_NOTED,
    SIGN_IN_ACCOUNT,
    Backoff,
    Limit,
    Window,
    for_site,
    network_of,
    site_of,
)

_PURGE_BATCH = 1000
_MAX_CACHED_SECONDS = 10  # how long a process remembers a refusal, at most: another node may have cleared the counter
_MAX_CACHED = 10_000
_MAX_KNOWN = 512  # how many subjects' counters a process keeps in memory


@dataclass(frozen=True)
class Granted:
    """The try is granted; it is the `count`-th in the first limit since that was cleared."""

    count: int


@dataclass(frozen=True)
class Wait:
    """`limit` refused the try, which was not counted; the next one is granted in `seconds` (1 or more)."""

    seconds: int
    limit: Limit
    key: bytes = field(default=b"", compare=False, repr=False)  # the key of the counter that refused the try


def take(limit: Limit, subject: str) -> Granted | Wait:
    """Count one try of `subject`, unless the limit refuses it.

    Args:
        limit: a line of `limits.py`.
        subject: a folded identifier, an account's id, a mailbox or an IP; only its keyed digest is stored.

    Raises:
        RuntimeError: a unit of work is open.
    """
    return take_all((limit, subject))


def take_all(*demands: tuple[Limit, str]) -> Granted | Wait:
    """Count one try in each limit, or in none, with one commit.

    Raises:
        RuntimeError: a unit of work is open.
    """
    counters, moment = _ordered(demands), now()
    count = _run(counters, _first(demands), moment, {})[1]
    return _refusal(counters, moment) if count is None else Granted(count)


def take_or_wait(*demands: tuple[Limit, str]) -> int:
    """Do what `take_all` does, unless `cached_wait` knows a refusal; return the seconds to wait, 0 if granted."""
    if seconds := cached_wait(*demands):
        return seconds
    verdict = take_all(*demands)
    return verdict.seconds if isinstance(verdict, Wait) else 0


def look_up_and_take(
    lookup: Select[Any], values: dict[str, Any], *demands: tuple[Limit, str], only_if: str = ""
) -> tuple[Row[Any] | None, Granted | Wait | None]:
    """Run a SELECT of at most one row and count a try (`take_all`), in one statement.

    Args:
        lookup: the SELECT.
        values: the values of its bind parameters.
        demands: limits with their subjects.
        only_if: the name of a boolean column of the row. Unless it is true, nothing is counted.

    Returns:
        The row (None or a row of NULLs if there is none), and the verdict, None because of `only_if`.

    Raises:
        RuntimeError: a unit of work is open.
    """
    counters, moment = _ordered(demands), now()
    row, count = _run(counters, _first(demands), moment, values, lookup, only_if)
    if count is not None:
        return row, Granted(count)
    if only_if and not (row and getattr(row, only_if)):
        return row, None
    return row, _refusal(counters, moment)


def _run(
    counters: list[Counter],
    answer: Counter,
    moment: datetime,
    values: dict[str, Any],
    lookup: Select[Any] | None = None,
    only_if: str = "",
) -> tuple[Row[Any] | None, int | None]:
    taking = rows.taking(tuple(counter.rule for counter in counters), counters.index(answer), lookup, only_if)
    return taking.run(values | rows.values_to_take(counters, moment))


def _refusal(counters: list[Counter], moment: datetime) -> Wait:
    closed = select(ThrottleCounter.limit, ThrottleCounter.key, ThrottleCounter.open_at)
    with autocommitted() as connection:
        closed_rows = connection.execute(closed.where(is_any(counters), ThrottleCounter.open_at > moment)).all()
    ends = {(row.limit, row.key): row.open_at for row in closed_rows}
    # none is left if another node has just cleared the counter
    counter = next((counter for counter in counters if (counter.name, counter.key) in ends), counters[0])
    seconds = (max(ends.values(), default=moment) - moment).total_seconds()
    wait = Wait(max(1, math.ceil(seconds)), counter.limit, counter.key)
    _cache_refusal(counter, moment, wait.seconds)
    LIMITED.count(counter.limit.name)
    return wait


def cached_wait(*demands: tuple[Limit, str]) -> int:
    """Return the seconds to wait if this process refused one of `demands` a moment ago, else 0.

    It counts nothing and does not use the database, so that a flood of refused tries is cheap.
    """
    moment, refusals = now(), services().refusals
    counters = [c for limit, subject in demands for c in _counters(limit, subject)]
    entries = [(c.limit.name, refusals.get((c.name, c.key))) for c in counters]
    ends = [(entry[1], name) for name, entry in entries if entry and entry[0] > moment]
    if not ends:
        return 0
    end, name = max(ends)
    LIMITED.count(name)
    return math.ceil((end - moment).total_seconds())


def is_first_refusal(refusal: Wait) -> bool:
    """Return whether `refusal` is the first of its counter within an hour; only that one is journaled.

    Raises:
        RuntimeError: a unit of work is open.
    """
    return isinstance(take(REFUSAL_NOTED, f"{refusal.limit.name} {refusal.key.hex()}"), Granted)


def remaining_wait(limit: Limit, subject: str) -> int:
    """Return the seconds until `subject` may try again, without counting a try. Reads on `db.session`."""
    return remaining_waits(limit, [subject]).get(subject, 0)


def remaining_waits(limit: Limit, subjects: Collection[str]) -> dict[str, int]:
    """Return which of `subjects` may not try now, each with the seconds until it may. Reads on `db.session`."""
    moment, seconds = now(), dict[str, int]()
    counters = {(c.name, c.key): subject for subject in subjects for c in _counters(limit, subject)}
    closed = select(ThrottleCounter.limit, ThrottleCounter.key, ThrottleCounter.open_at).where(
        ThrottleCounter.limit.in_({name for name, _ in counters}),
        ThrottleCounter.key.in_({key for _, key in counters}),
        ThrottleCounter.open_at > moment,
    )
    for name, key, open_at in db.session.execute(closed):
        subject = counters[name, key]
        seconds[subject] = max(seconds.get(subject, 0), math.ceil((open_at - moment).total_seconds()))
    return seconds


def uncount(limit: Limit, subject: str) -> None:
    """Uncount one try that succeeded, or that got no slot of the hasher."""
    counters = in_order(_counters(limit, subject))
    _settle(counters, tuple(False for _ in counters))


def clear(limit: Limit, subject: str) -> None:
    """Delete the counters of `subject`."""
    _uncache(_counters(limit, subject))
    with _connection() as connection:
        connection.execute(delete(ThrottleCounter).where(is_any(_counters(limit, subject))))
        connection.commit()


def clear_account(username: str) -> None:
    """Delete the counters of an account: wrong passwords, and mails that lead to a new one."""
    for limit in (SIGN_IN_ACCOUNT, BLOCKED_PASSWORD, FORGOTTEN_PASSWORD_ACCOUNT):
        clear(limit, username)


def settle_success(*demands: tuple[Limit, str]) -> None:
    """Settle a try that succeeded, in one commit: delete the back-offs of the subject, uncount the try in budgets."""
    settlement = Settlement(demands)
    _settle(settlement.counters, settlement.deletes)


class Settlement:
    """The writes that settle a try which succeeded (`settle_success`), for a chain that does more.

    Its counters are in the order in which their rows are locked; `deletes` says of each whether it is deleted.
    """

    def __init__(self, demands: tuple[tuple[Limit, str], ...]) -> None:
        self.counters = _ordered(demands)
        self.deletes = tuple(rows.forgets(counter) for counter in self.counters)
        _uncache(self.counters)


def _settle(counters: list[Counter], deletes: tuple[bool, ...]) -> None:
    _settling(deletes).run(rows.values_to_settle(counters))


@lru_cache(maxsize=128)
def _settling(deletes: tuple[bool, ...]) -> Chain:
    steps = rows.settling(deletes)
    return Chain(steps, answer=steps[0].name)


def purge_expired() -> int:
    """Delete the expired counters, in short transactions; return how many were deleted."""
    moment, key = now(), (ThrottleCounter.limit, ThrottleCounter.key)
    # A locked counter is in use: a try locks several, and would wait for this statement in another order.
    expired = select(*key).where(ThrottleCounter.expires_at <= moment).limit(_PURGE_BATCH)
    batch = expired.with_for_update(skip_locked=True).cte("batch")
    statement = delete(ThrottleCounter).where(tuple_(*key).in_(select(batch))).returning(ThrottleCounter.limit)
    total = 0
    while True:
        with _connection() as connection:
            deleted = len(connection.execute(statement).all())
            connection.commit()
        total += deleted
        if deleted < _PURGE_BATCH:
            return total


def _cache_refusal(counter: Counter, moment: datetime, seconds: int) -> None:
    refusals = services().refusals
    if len(refusals) >= _MAX_CACHED:
        refusals.clear()
    known_until = moment + timedelta(seconds=min(seconds, _MAX_CACHED_SECONDS))
    refusals[counter.name, counter.key] = known_until, moment + timedelta(seconds=seconds)


def _uncache(counters: Iterable[Counter]) -> None:
    refusals = services().refusals
    for counter in counters:
        refusals.pop((counter.name, counter.key), None)


def _ordered(demands: tuple[tuple[Limit, str], ...]) -> list[Counter]:
    return list(_in_order(_own_key(), demands))


@lru_cache(maxsize=_MAX_KNOWN)
def _in_order(own_key: bytes, demands: tuple[tuple[Limit, str], ...]) -> list[Counter]:
    return in_order(counter for limit, subject in demands for counter in _counters_under(own_key, limit, subject))


def _first(demands: tuple[tuple[Limit, str], ...]) -> Counter:
    return _counters(*demands[0])[0]


def _own_key() -> bytes:
    """Return the key of the digests of subjects. After a change of the secret key, all counters start again."""
    return opaque.derive_key(services().settings.secrets[0], "throttle")


def _counters(limit: Limit, subject: str) -> tuple[Counter, ...]:
    return _counters_under(_own_key(), limit, subject)


@lru_cache(maxsize=_MAX_KNOWN)  # one sign-in asks for its counters ten times
def _counters_under(own_key: bytes, limit: Limit, subject: str) -> tuple[Counter, ...]:
    rules = (limit,) if isinstance(limit, Backoff) else limit.windows
    key = opaque.keyed_digest(own_key, network_of(subject) if limit.by_network else subject)
    counters = [Counter(_name(limit, rule), key, limit, rule) for rule in rules]
    site = site_of(subject) if limit.by_network else None
    if site:
        key = opaque.keyed_digest(own_key, site)
        counters += [Counter(f"{_name(limit, rule)}:site", key, limit, for_site(rule), shared=True) for rule in rules]
    return tuple(counters)


def _name(limit: Limit, rule: Window | Backoff) -> str:
    return limit.name if isinstance(rule, Backoff) else f"{limit.name}:{int(rule.span.total_seconds())}"


def _connection() -> Connection:
    release_connection()
    return db.engine.connect()
