"""The fixtures of the commands, and a journal without entries from the set-up."""

import pytest
from flask import Flask
from sqlalchemy import delete

from idp.audit.models import AuditEntry
from idp.db import db
from tests.commands.conftest import act, bare, events, idp  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def empty_journal(app: Flask) -> None:
    db.session.execute(delete(AuditEntry))
    db.session.commit()
