"""Takes slots of a limit, and gives them back.

A slot is counted before the work that it protects, by one statement that grants only while the counter is open:
parallel tries never get more than the limit, on one node or on many.

Every function that writes uses a short transaction of its own, committed when it returns: a try stays counted whatever
the caller does next, and the row, which many requests may want, is not locked during a hash. No unit of work may be
open on `db.session`: on SQLite the two transactions would deadlock. Callers take slots before or after it.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select, tuple_

from idp import opaque
from idp.clock import now
from idp.db import db, release_connection
from idp.services import services
from idp.throttle.counters import Counter, give_back_one, in_order, is_any, take_one
from idp.throttle.limits import (
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
from idp.throttle.models import ThrottleCounter as Row

_PURGED_AT_ONCE = 1000
_REMEMBERED_SECONDS = 10
"""A refusal is remembered in the process no longer than this: another node may have forgiven it."""
_REMEMBERED_MOST = 10_000


@dataclass(frozen=True)
class Granted:
    """The try may go on; it is the `count`-th of the (first) limit since that was last forgotten."""

    count: int


@dataclass(frozen=True)
class Wait:
    """The try is refused, and counted nowhere; `limit` refused it, the next is looked at in `seconds` (1 or more)."""

    seconds: int
    limit: Limit
    key: bytes = field(default=b"", compare=False, repr=False)
    """The key of the counter that refused."""


def take(limit: Limit, subject: str) -> Granted | Wait:
    """Count one try of `subject`, unless it must wait.

    Args:
        limit: a line of `limits.py`.
        subject: a folded identifier, an account's id, a mailbox or a network address. Only its keyed digest is stored.

    Raises:
        RuntimeError: a unit of work is open.
    """
    return take_all((limit, subject))


def take_all(*demands: tuple[Limit, str]) -> Granted | Wait:
    """Count one try in each limit, or in none: one commit for all that a sign-in needs.

    Raises:
        RuntimeError: a unit of work is open.
    """
    moment = now()
    wanted = [counter for limit, subject in demands for counter in _counters(limit, subject)]
    counts: dict[Counter, int] = {}
    with _connection() as connection:
        for counter in in_order(wanted):
            count = take_one(connection, counter, moment)
            if count is None:
                connection.rollback()
                open_at = connection.scalar(select(func.max(Row.open_at)).where(is_any(wanted)))
                seconds = (open_at - moment).total_seconds() if open_at else 0
                wait = Wait(max(1, math.ceil(seconds)), counter.limit, counter.key)
                _remember(counter, moment, wait.seconds)
                return wait
            counts[counter] = count
        connection.commit()
    return Granted(counts[wanted[0]])


def held(*demands: tuple[Limit, str]) -> int:
    """Return the seconds to wait that this process told one of `demands` a moment ago, 0 when it told none.

    Asks no database and counts nothing: a flood of tries that were refused already costs nothing, and leaves no row.
    """
    moment, closed = now(), services().refusals
    found = [closed.get((c.name, c.key)) for limit, subject in demands for c in _counters(limit, subject)]
    ends = [open_at for known_until, open_at in filter(None, found) if known_until > moment]
    return max((math.ceil((end - moment).total_seconds()) for end in ends), default=0)


def is_first_refusal(refusal: Wait) -> bool:
    """Return whether `refusal` is its counter's first within an hour: that one is worth a line in the journal.

    Raises:
        RuntimeError: a unit of work is open.
    """
    return isinstance(take(REFUSAL_NOTED, f"{refusal.limit.name} {refusal.key.hex()}"), Granted)


def look(limit: Limit, subject: str) -> int:
    """Return the seconds until `subject` may try again, 0 when it may now. Counts nothing; reads on `db.session`."""
    open_at = db.session.scalar(select(func.max(Row.open_at)).where(is_any(_counters(limit, subject))))
    return max(0, math.ceil((open_at - now()).total_seconds())) if open_at else 0


def give_back(limit: Limit, subject: str) -> None:
    """Take back one try that turned out right, or that was not looked at (no turn for its hash)."""
    with _connection() as connection:
        for counter in in_order(_counters(limit, subject)):
            give_back_one(connection, counter)
        connection.commit()


def clear(limit: Limit, subject: str) -> None:
    """Forget all tries of `subject`."""
    _forget(_counters(limit, subject))
    with _connection() as connection:
        connection.execute(delete(Row).where(is_any(_counters(limit, subject))))
        connection.commit()


def clear_account(username: str) -> None:
    """Forget all tries at an account: wrong passwords, and requests for a new one."""
    for limit in (SIGN_IN_ACCOUNT, FORGOTTEN_PASSWORD_ACCOUNT):
        clear(limit, username)


def forgive(*demands: tuple[Limit, str]) -> None:
    """Settle a try that turned out right, in one commit: back-offs forget their subject, budgets get this try back."""
    wanted = [counter for limit, subject in demands for counter in _counters(limit, subject)]
    _forget(wanted)
    with _connection() as connection:
        for counter in in_order(wanted):
            if isinstance(counter.rule, Backoff) and not counter.shared:
                connection.execute(delete(Row).where(is_any([counter])))
            else:
                give_back_one(connection, counter)
        connection.commit()


def purge_expired() -> int:
    """Delete the counters that no longer count, in short batches; return how many there were."""
    moment = now()
    batch = select(Row.limit, Row.key).where(Row.expires_at <= moment).limit(_PURGED_AT_ONCE)
    # The condition stands twice: a counter that lives again while this waits for its row is looked at once more.
    statement = delete(Row).where(Row.expires_at <= moment, tuple_(Row.limit, Row.key).in_(batch))
    total = 0
    while True:
        with _connection() as connection:
            deleted = connection.execute(statement).rowcount
            connection.commit()
        total += deleted
        if deleted < _PURGED_AT_ONCE:
            return total


def _remember(counter: Counter, moment: datetime, seconds: int) -> None:
    closed = services().refusals
    if len(closed) >= _REMEMBERED_MOST:
        closed.clear()
    known_until = moment + timedelta(seconds=min(seconds, _REMEMBERED_SECONDS))
    closed[counter.name, counter.key] = known_until, moment + timedelta(seconds=seconds)


def _forget(counters: list[Counter]) -> None:
    closed = services().refusals
    for counter in counters:
        closed.pop((counter.name, counter.key), None)


def _counters(limit: Limit, subject: str) -> list[Counter]:
    """Return the rows of `limit` for `subject`. A new secret key names them anew: all counters start again."""
    own_key = opaque.derive_key(services().settings.secrets[0], "throttle")
    rules = (limit,) if isinstance(limit, Backoff) else limit.windows
    key = opaque.keyed_digest(own_key, network_of(subject) if limit.by_network else subject)
    counters = [Counter(_name(limit, rule), key, limit, rule) for rule in rules]
    site = site_of(subject) if limit.by_network else None
    if site:
        key = opaque.keyed_digest(own_key, site)
        counters += [Counter(f"{_name(limit, rule)}:site", key, limit, for_site(rule), shared=True) for rule in rules]
    return counters


def _name(limit: Limit, rule: Window | Backoff) -> str:
    return limit.name if isinstance(rule, Backoff) else f"{limit.name}:{int(rule.span.total_seconds())}"


def _connection() -> Connection:
    release_connection()
    return db.engine.connect()
