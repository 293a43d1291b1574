"""Works on whole tables while the service runs: short transactions, in the order of an index.

An interrupted run has completed some of its batches; the next run continues with the others.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, delete, func, inspect, select, true, tuple_

from idp.accounts import directory
from idp.accounts.models import Account, Child, Guardianship, School
from idp.db import Base, db, retry_unit_of_work

if TYPE_CHECKING:
    import uuid

ROWS = 500


def delete_some(table: type[Base], *conditions: ColumnElement[bool], order_by: Any) -> int:
    """Delete up to `ROWS` rows in the caller's transaction, except those that another purge has; return the number."""
    [key] = inspect(table).primary_key
    # A locking CTE, since PostgreSQL runs it once in any plan.
    batch = select(key).where(*conditions).order_by(order_by).limit(ROWS).with_for_update(skip_locked=True).cte("batch")
    statement = delete(table).where(key.in_(select(batch.c[key.name]))).returning(key)
    return len(db.session.execute(statement.execution_options(synchronize_session=False)).all())


def delete_all(table: type[Base], *conditions: ColumnElement[bool], order_by: Any) -> int:
    """Delete all rows that `conditions` select, a batch at a time; `order_by` is an indexed column."""
    total = 0
    while deleted := retry_unit_of_work(lambda: delete_some(table, *conditions, order_by=order_by)):
        total += deleted
    return total


def pages(key: Any, *conditions: ColumnElement[bool], order_by: Any) -> Iterator[Sequence[Any]]:
    """Yield the keys of all rows that `conditions` select, `ROWS` at a time, each row once.

    Each page begins after the last row of the page before, so that rows that stay are not read again for each page.

    Args:
        key: the column of the key.
        conditions: the rows.
        order_by: a column. An index has it, and then the key if many rows may have the same value.
    """
    after: ColumnElement[bool] = true()
    while page := db.session.execute(
        select(key, order_by).where(*conditions, after).order_by(order_by, key).limit(ROWS)
    ).all():
        yield [row[0] for row in page]
        last, at = page[-1]
        after = tuple_(order_by, key) > (at, last)  # one comparison, which an index with both columns answers


def account_ranges(school: School | None) -> Iterator[ColumnElement[bool]]:
    """Yield conditions that each select at most `ROWS` accounts, together those of `school`, or all.

    The memory does not grow with the number of accounts. A school's accounts are those that concern it
    (`directory.concerns_its_school`).
    """
    if school is not None:
        of_school = (
            select(Guardianship.account_id)
            .join(Child, Child.id == Guardianship.child_id)
            .where(Child.school_id == school.id, directory.concerns_its_school())
            .distinct()
        )
        keys = db.session.scalars(of_school).all()
        for start in range(0, len(keys), ROWS):
            yield Account.id.in_(keys[start : start + ROWS])
        return
    after: uuid.UUID | None = None
    while True:
        after_page = Account.id > after if after else true()
        window = select(Account.id).where(after_page).order_by(Account.id).limit(ROWS).subquery()
        # not max(): PostgreSQL has none for UUIDs before version 18
        last = db.session.scalar(select(window.c.id).order_by(window.c.id.desc()).limit(1))
        if last is None:
            return
        yield and_(after_page, Account.id <= last)
        after = last


def count(*conditions: ColumnElement[bool]) -> int:
    """Return how many accounts `conditions` select."""
    return db.session.scalar(select(func.count()).select_from(Account).where(*conditions)) or 0
