"""A page of the journal reads a few entries of a long journal, whatever the role and the filter (PostgreSQL)."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import create_engine, make_url

from bench.desk import rows
from idp.audit.models import AuditEntry
from idp.config import Settings
from idp.desk.alerts import rules
from idp.desk.journal.filters import cursor
from idp.desk.staff.models import Role
from idp.outbox.queue import OutboxMessage
from tests.builders import Build
from tests.desk.colleagues import Colleagues
from tests.protocol.listening import Seen, listening

_ENTRIES = 40_000
_MOST = 2_500
"""The most entries that a page reads: those of a person or of a school are a few hundred."""
_FILTERS: tuple[dict[str, str], ...] = (
    {},
    {"qui": "ma"},
    {"qui": "uid 0"},
    {"qui": "personne de ce nom"},
    {"acte": "sign_in"},
    {"acte": "account.read"},
    {"acte": "client.changed"},
    {"acte": "account.erased"},
    {"acte": "account.read", "qui": "ma"},
    {"du": "2026-03-01", "au": "2026-03-05"},
    {"compte": str(uuid.UUID("00000000-0000-4000-8000-0000000000ff"))},
)


@pytest.fixture
def journal(settings: Settings) -> None:
    """A journal of ten months."""
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows.fill(connection, 2_000, 40, _ENTRIES)
    engine.dispose()


def test_a_page_reads_few_entries(
    desk: Flask, journal: None, build: Build, colleagues: Colleagues, settings: Settings
) -> None:
    client_id = build.ent().client_id
    for role in Role:
        browser = colleagues.signed_in(role, uai="C7", client_id=client_id)
        for typed in _FILTERS:
            with listening(desk) as seen:
                page = browser.get("/journal", query_string=typed)
            assert 'id="qui-err"' not in page.get_data(as_text=True), (role, typed)
            entries = _entries_read(seen, settings)
            assert entries <= _MOST, (role, typed)
    with listening(desk) as seen:
        rules.look(OutboxMessage())
    assert 0 < _entries_read(seen, settings) <= 1_000, "the alerts read the openings of a day"
    browser = colleagues.signed_in(Role.DPO)
    with listening(desk) as seen:
        browser.get("/journal", query_string={"avant": cursor(AuditEntry(at=datetime(2026, 3, 1, tzinfo=UTC), id=900))})
    assert 0 < _entries_read(seen, settings) <= 60, "the next page begins where this one ended"


def _entries_read(seen: Seen, settings: Settings) -> float:
    """Return how many entries the statements read, with those that they throw away."""
    return sum(_entries(_plan(text, values, settings)) for text, values in seen if _reads_entries(text))


def _reads_entries(text: str) -> bool:
    return "FROM audit" in text and text.lstrip().startswith(("SELECT", "WITH"))


def _plan(text: str, values: Any, settings: Settings) -> dict[str, Any]:
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", values).fetchone()
    assert row
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan


def _entries(plan: dict[str, Any]) -> float:
    """Return how many entries a plan reads, with those that it throws away."""
    entries = 0.0
    for node in _nodes(plan):
        if node.get("Relation Name") == "audit":
            entries += node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
    return entries


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _nodes(below)
