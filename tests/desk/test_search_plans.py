"""The search and the lists of the desk read indexes, in the scope of a school and of the académie (PostgreSQL)."""

import json
import re

import pytest
from flask import Flask
from sqlalchemy import create_engine, make_url, select, text

from bench.desk import rows
from idp.accounts.models import Account, Child
from idp.config import Settings
from idp.db import db
from idp.desk.search.terms import Terms, condition
from idp.desk.staff.models import Role
from idp.statements import index_only
from tests.database.test_plans import _is_work, _walks
from tests.desk.colleagues import Colleagues
from tests.protocol.listening import listening
from tests.rows import each_row

_PUPILS, _SCHOOLS = 20_000, 500
_SPELLINGS = 1_000
"""The length of the parameters of the step of typing errors, which has its own test."""
_FILLED = {"account", "child", "guardianship"}
_PAGES = {
    Role.SECRETARY: (
        "/",
        "/classes",
        "/activation",
        "/impressions",
        "/signalements",
        "/fichiers",
        "/recherche?liste=mails",
        "/recherche?etat=courrier",
        "/suspensions",
        "/recherche?etat=en-service&classe=6e 1",
    ),
    Role.HELPDESK: ("/", "/suspensions", "/activation", "/signalements", "/equipe"),
}


@pytest.fixture
def academy(settings: Settings) -> None:
    """An académie of twenty thousand pupils."""
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows.fill(connection, _PUPILS, _SCHOOLS)
    engine.dispose()


def _url(settings: Settings, statement: str) -> str:
    """Return the URL of the database; the statement about a pupil and a guardian together runs by indexes only."""
    if "named AS" not in statement:
        return settings.database_url
    url = make_url(settings.database_url).update_query_dict({"options": "-cenable_seqscan=off"})
    return url.render_as_string(hide_password=False)


@each_row("role", [Role.SECRETARY, Role.HELPDESK])
def test_no_search_and_no_list_walks_a_table(
    desk: Flask, academy: None, colleagues: Colleagues, settings: Settings, role: Role
) -> None:
    browser = colleagues.signed_in(role, uai="C7")
    for typed in ("bernardmar malo", "zzz bernardmar", "bernardmar", "ber", "6e 1", "x.nguyvan71234", "a@exemple.fr"):
        with listening(desk) as seen:
            assert browser.get("/recherche", query_string={"q": typed}).status_code == 200
        plans = [
            step
            for statement, values in seen
            if re.search("search_text|mailbox", statement) and len(str(values)) < _SPELLINGS
            for step in _walks(statement, values, _url(settings, statement))
        ]
        assert not plans, typed
    for page in _PAGES[role]:
        with listening(desk) as seen:
            assert browser.get(page).status_code == 200
        steps = [step for each in seen if _is_work(each[0]) for step in _walks(*each, settings.database_url)]
        assert not [step for step in steps if json.loads(step)["Relation Name"] in _FILLED], page


def test_a_rare_word_is_not_compared_with_all_families_of_a_school(
    desk: Flask, academy: None, colleagues: Colleagues
) -> None:
    browser = colleagues.signed_in(Role.SECRETARY, uai="C7")
    with listening(desk) as seen:
        assert browser.get("/recherche?q=bernradmar").status_code == 200
    compared = [statement for statement, _ in seen if "search_text @@" in statement]
    assert len(compared) == 4, "beginnings and typing errors, of pupils and guardians"
    assert not [statement for statement in compared if "school_id" in statement]


def test_a_typing_error_is_looked_up_in_the_index(desk: Flask, academy: None) -> None:
    with index_only():
        for table in (Account, Child):
            looked_up = select(table.id).where(condition(table.search_text, Terms(("bernradmar",)).near()))
            statement = looked_up.compile(db.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(db.session.scalars(text(f"EXPLAIN {statement}")))
            assert f"Bitmap Index Scan on ix_{table.__tablename__}_search_text" in plan
