"""The page of the journal: scope by role, filters, exports; the list and the export never differ."""

import hashlib
import html
import json
import re
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from datetime import UTC, datetime
from html import unescape
from typing import Any
from urllib.parse import unquote, urlencode

import psycopg
import pytest
from flask import Flask
from sqlalchemy import create_engine, make_url, select

from bench.desk import rows
from idp.audit.catalogue import WORDS
from idp.audit.data_events import JournalExported
from idp.audit.desk_events import DeskRefused, PupilRead, StaffRoleGranted
from idp.audit.events import AccountRead, CharterPublished, CodeIssued, LetterDrawn
from idp.audit.models import AuditEntry
from idp.audit.registry_events import SettingsChanged
from idp.clients.models import Client
from idp.clock import today
from idp.config import Settings
from idp.db import db
from idp.desk import alerts as rules
from idp.desk.journal.filters import cursor
from idp.desk.staff.models import Role, StaffAccount
from idp.folding import fold
from idp.outbox.queue import OutboxMessage
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.entries import write
from tests.protocol.listening import Seen, listening


def fill(build: Build, colleagues: Colleagues) -> dict[str, StaffAccount]:
    """Write one act of each kind of person; the reason names the act."""
    child = build.child()
    account = build.active(children=[child])
    elsewhere = build.active(children=[build.child(uai=LYCEE)], email="autre@exemple.fr")
    ours, theirs = build.school(COLLEGE).id, build.school(LYCEE).id
    people = {name: colleagues.person(name.title()) for name in ("secrétaire", "collègue", "voisin", "assistance")}
    write(AccountRead(account_id=account.id), people["secrétaire"], ours, reason="acte-secretaire")
    write(PupilRead(child=str(child.id)), people["collègue"], ours, reason="acte-collegue")
    write(AccountRead(account_id=account.id), people["voisin"], theirs, reason="acte-voisin")
    write(AccountRead(account_id=account.id), people["assistance"], reason="acte-assistance")
    write(AccountRead(account_id=elsewhere.id), people["assistance"], reason="acte-ailleurs")
    ent, other = build.ent(), build.ent("Autre", "autre.test", uais=[LYCEE])
    keys = {row.client_id: row.id for row in db.session.scalars(select(Client))}
    write(CharterPublished(client_id=keys[ent.client_id], version="acte-charte"))
    write(CharterPublished(client_id=keys[other.client_id], version="acte-autre-charte"))
    write(CodeIssued(client_id=keys[ent.client_id], account_id=account.id, sid="acte-entree"))
    write(SettingsChanged(after={"x": "acte-reglage"}))
    write(LetterDrawn(account_id=account.id))
    people["ent"] = ent.client_id  # type: ignore[assignment]
    return people


ACTS = {
    "acte-secretaire", "acte-collegue", "acte-voisin", "acte-assistance", "acte-ailleurs", "acte-charte",
    "acte-autre-charte", "acte-entree", "acte-reglage",
}  # fmt: skip
SCOPES = {
    Role.SECRETARY: {"acte-secretaire"},
    Role.HEAD: {"acte-secretaire", "acte-collegue", "acte-assistance"},
    Role.ENT_OPERATOR: {"acte-charte"},
    Role.HELPDESK: {"acte-assistance", "acte-ailleurs"},
    Role.DPO: ACTS,
    Role.ENGINEER: {"acte-charte", "acte-autre-charte", "acte-reglage"},
}


@pytest.mark.parametrize("role", list(Role))
def test_the_list_and_the_export_show_what_the_role_may_read(build: Build, colleagues: Colleagues, role: Role) -> None:
    people = fill(build, colleagues)
    who = {Role.SECRETARY: "secrétaire", Role.HELPDESK: "assistance"}.get(role)
    staff = people[who] if who else colleagues.person()
    colleagues.grant(staff, role, client_id=str(people["ent"]))
    browser, _ = colleagues.session(staff, reason="ticket 4512" if role in {Role.DPO, Role.HELPDESK} else "")
    page = browser.get("/journal")
    data = json.loads(post(browser, "/journal/export", "/journal", format="json").get_data())
    assert {act for act in ACTS if act in json.dumps(data["entries"]).replace("acte-autre-charte", "(x)")} | (
        {"acte-autre-charte"} if "acte-autre-charte" in json.dumps(data["entries"]) else set()
    ) == SCOPES[role]
    offered = set(re.findall(r'<option value="(.+?)"', page.get_data(as_text=True)))
    assert {row["kind"] for row in data["entries"]} <= offered, "the filter has each act that the role reads"
    assert ("code.issued" in offered) == (role is Role.DPO), "a family's own act"
    assert all(("id" in row) == (role is Role.DPO) for row in data["entries"]), "gaps tell of entries of others"
    text = page.get_data(as_text=True)
    assert text.count("<tr>") - 1 == len(data["entries"]), "the page has the lines of the export"
    for act in ("acte-secretaire", "acte-collegue", "acte-voisin", "acte-assistance", "acte-ailleurs"):
        assert (act in text) == (act in SCOPES[role]), act


def test_a_line_says_a_refusal_once_and_days_in_french(build: Build, colleagues: Colleagues) -> None:
    staff, school = colleagues.person(), build.school()
    colleagues.grant(staff, Role.HEAD)
    write(DeskRefused(page="team.end"), staff, school.id)
    granted = StaffRoleGranted(staff=str(staff.id), role="head", uai=school.uai, until="2027-08-31", prolonged=False)
    write(granted, staff, school.id)
    page = colleagues.session(staff)[0].get("/journal").get_data(as_text=True).partition("<main")[2]
    assert "<b>Page du bureau refusée</b> <br>" in page
    assert ("31/08/2027" in page, "2027-08-31" in page) == (True, False)


def test_an_export_is_journaled_with_the_digest_of_its_file(build: Build, colleagues: Colleagues) -> None:
    fill(build, colleagues)
    browser = colleagues.signed_in(Role.HEAD)
    answer = post(browser, "/journal/export?acte=account.read", "/journal", format="csv")
    digest = hashlib.sha256(answer.get_data()).hexdigest()
    assert answer.headers["X-Content-SHA256"] == digest
    assert answer.headers["Cache-Control"].startswith("no-store")
    row = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == JournalExported.kind)).one()
    assert (row.details["sha256"], row.details["format"], row.details["entries"]) == (digest, "csv", 2)
    assert digest in browser.get("/journal").get_data(as_text=True), "the page shows it"


def test_the_entry_of_an_export_has_its_filters(build: Build, colleagues: Colleagues) -> None:
    account = build.active(children=[build.child()])
    chosen = {
        "acte": "account.read",
        "qui": "Sylvie",
        "du": "2026-01-02",
        "au": "2999-12-31",
        "compte": account.username,
    }
    post(colleagues.signed_in(Role.HEAD), f"/journal/export?{urlencode(chosen)}", "/journal", format="json")
    row = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == JournalExported.kind)).one()
    assert row.account_id == account.id, "and so the entry goes with the account"
    kept = {name: row.details[name] for name in ("act", "who", "since", "until")}
    assert kept == {"act": "account.read", "who": "Sylvie", "since": "2026-01-02", "until": "2999-12-31"}


def test_the_digest_in_a_json_file_is_that_of_its_entries(build: Build, colleagues: Colleagues) -> None:
    fill(build, colleagues)
    data = json.loads(post(colleagues.signed_in(Role.HEAD), "/journal/export", "/journal", format="json").get_data())
    canonical = json.dumps(data["entries"], sort_keys=True, separators=(",", ":")).encode()
    assert data["entries_sha256"] == hashlib.sha256(canonical).hexdigest()


@pytest.mark.row("K-22")
def test_a_csv_file_has_no_formula(build: Build, colleagues: Colleagues) -> None:
    account = build.active(children=[build.child()], given_name="=1+1", family_name="X")
    write(AccountRead(account_id=account.id), colleagues.person("@SUM(A1)"), build.school().id, reason="-2+3")
    text = post(colleagues.signed_in(Role.HEAD), "/journal/export", "/journal", format="csv").get_data(as_text=True)
    for cell in ('"\'=1+1 X"', '"\'@SUM(A1)"', '"\'-2+3"'):
        assert cell in text


def test_filters_select_by_person_act_day_and_account(build: Build, colleagues: Colleagues) -> None:
    fill(build, colleagues)
    account = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "code.issued")).one().account_id
    browser = colleagues.signed_in(Role.DPO)

    def lines(**typed: str) -> int:
        return browser.get("/journal", query_string=typed).get_data(as_text=True).count("<tr>") - 1

    assert lines(qui="assist") == 2
    assert lines(qui="uid 0") == 5
    assert lines(acte="charter.published") == 2
    assert lines(compte=str(account)) == 5
    assert lines(du="2999-01-01") == -1
    assert lines(au="1999-01-01") == -1
    assert lines(qui="%") == -1, "a sign is a sign"
    groups = [
        [unescape(label) for label in re.findall(r"<option value=.*?>(.*?)</option>", group)]
        for group in browser.get("/journal").text.split("<optgroup ")[1:]
    ]
    for acts in groups:
        assert acts == sorted(acts, key=lambda label: re.sub(r"[^a-z0-9 ]", "", fold(label)).strip())
    every = [act for acts in groups for act in acts]
    assert len(set(every)) == len(every) == len(WORDS), "the data protection officer reads all acts, each in one group"


@pytest.mark.parametrize(
    "typed",
    [
        {"du": "hier"},
        {"au": "9999-12-31"},
        {"du": "0001-01-01"},
        {"compte": "personne"},
        {"acte": "x"},
        {"avant": "x_y"},
        {"avant": "9999-12-31T23:59:59.000000Z_1"},
        {"avant": "A" * 300},
        {"avant": "é"},
        {"qui": "\x00a"},
    ],
)
@pytest.mark.parametrize("role", [Role.HEAD, Role.DPO])
def test_any_filter_is_answered(colleagues: Colleagues, role: Role, typed: dict[str, str]) -> None:
    assert colleagues.signed_in(role).get("/journal", query_string=typed).status_code == 200


def test_an_account_of_another_school_is_unknown(build: Build, colleagues: Colleagues) -> None:
    account = build.active(children=[build.child(uai=LYCEE)])
    page = colleagues.signed_in(Role.HEAD).get("/journal", query_string={"compte": account.username})
    assert "Aucun compte n’a cet identifiant ici." in page.get_data(as_text=True)


def test_a_page_has_fifty_lines_and_leads_to_the_next(desk: Flask, build: Build, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    for number in range(60):
        write(
            StaffRoleGranted(staff=str(staff.id), role="head", uai="", until="", prolonged=False),
            staff,
            build.school().id,
            reason=f"n{number}.",
        )
    browser = colleagues.signed_in(Role.HEAD)
    first = browser.get("/journal").get_data(as_text=True)
    assert first.count("<tr>") - 1 == 50
    older = first.split('href="/journal?avant=')[1].split('"')[0]
    assert str(today().year).encode() not in urlsafe_b64decode(unquote(older)), "neither instant nor id can be read"
    second = browser.get(f"/journal?avant={older}").get_data(as_text=True)
    assert second.count("<tr>") - 1 == 10
    assert ("n10." in first, "n9." in second, "n10." in second) == (True, True, False)


def test_the_filters_that_hold_are_shown_above_the_list(build: Build, colleagues: Colleagues) -> None:
    child = build.child()
    account = build.active(children=[child], given_name="Noémie", family_name="LEROY")
    browser = colleagues.signed_in(Role.HEAD)
    page = browser.get("/journal").get_data(as_text=True)
    assert '<details class="more filters">' in page
    path = f"/journal?qui=Sylvie&acte=account.read&du=2026-11-24&au=hier&compte={account.id}"
    page = re.sub("[\u202f\xa0]", " ", html.unescape(browser.get(path).get_data(as_text=True)))
    [active] = re.findall(r"<p>Filtres : (.*?) <a", page)
    assert active == (
        f"par « Sylvie » ; acte « {WORDS['account.read']} » ; du 24 novembre 2026 ; compte de Noémie LEROY."
    )
    assert '<details class="more filters" open>' in page, "a filter with a fault is shown"


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
