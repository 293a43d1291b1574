"""Notes the settings that the service starts with, and records what changed since the last start."""

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from idp.audit import changes, log
from idp.audit.models import NotedSettings
from idp.audit.registry_events import SettingsChanged
from idp.clock import now
from idp.db import db

if TYPE_CHECKING:
    from idp.config import Settings

_ROW = 1


def note(settings: "Settings") -> None:
    """Compare the settings with those noted last, record one event if they differ, and note them.

    The very first start records nothing. A database that is away, or not migrated yet, keeps nobody from starting: the
    next start compares. It is not logged: the process that starts says itself that it has no database.
    """
    try:
        _note(told(settings))
        db.session.commit()
    except SQLAlchemyError:
        db.session.rollback()


def _note(present: dict[str, str]) -> None:
    """Note the settings in the caller's transaction; the row's lock lets one of several nodes through at a time."""
    dialect = sqlite if db.engine.dialect.name == "sqlite" else postgresql
    first = dialect.insert(NotedSettings).values(id=_ROW, noted_at=now(), settings=present)
    db.session.execute(first.on_conflict_do_nothing())
    locked = select(NotedSettings).with_for_update().execution_options(populate_existing=True)
    noted = db.session.scalars(locked).one()
    if noted.settings != present:
        log.record(SettingsChanged(**changes.difference(noted.settings, present)))
        noted.settings, noted.noted_at = present, now()


def told(settings: "Settings") -> dict[str, str]:
    """Return the settings by name, secrets hidden; a list of what is no secret whole, where its length is shown."""
    return {**dict(settings.rows()), "IDP_OUTGOING_ALLOW": ", ".join(settings.outgoing_allow)}
