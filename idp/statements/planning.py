"""Advice for PostgreSQL's planner where its estimates are far off."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, select

from idp.db import db, unit_of_work


@contextmanager
def index_only() -> Iterator[None]:
    """Make PostgreSQL prefer indexes in the block, which is a transaction.

    It reads a whole table where it overestimates the rows of a statement, or the cost of finding them one by one.
    """
    with unit_of_work():  # the setting ends with the transaction
        db.session.execute(select(func.set_config("enable_seqscan", "off", True)))
        yield
