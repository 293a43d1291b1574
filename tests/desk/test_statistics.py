"""The figures of the activation: by class, week, school and ENT."""

import itertools
import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from flask import Flask

from idp.accounts.credentials import PasswordState
from idp.accounts.models import Account, Child, School
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role
from idp.desk.statistics import figures, tables
from idp.desk.statistics.figures import STATES, Row
from idp.desk.statistics.models import StoredFigures
from idp.desk.statistics.suppression import THRESHOLD, Cell, Hidden, alone, protected, rounded
from idp.families.standing import Group
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import dispute, suspend
from tests.desk.colleagues import Colleagues, post
from tests.rows import each_row
from tests.statements.lending import heard


def family(build: Build, **states: int) -> None:
    """Make accounts of each state in the college, in class 6e 1."""
    for state, count in states.items():
        for number in range(count):
            children = [build.child()]
            match state:
                case "activated":
                    build.active(children=children, email=f"a{number}@exemple.fr")
                case "waiting":
                    build.active(children=children, email=None, pending_email=f"w{number}@exemple.fr")
                case "blocked":
                    build.active(children=children, email=f"b{number}@exemple.fr", password_state=PasswordState.BLOCKED)
                case "printed":
                    build.never_activated(children=children)
                case "expired":
                    build.never_activated(children=children, provisional_expires_at=now() - timedelta(days=1))
                case "never":
                    build.never_activated(children=children, provisional_hash=None, provisional_expires_at=None)
                case "disputed":
                    account = build.active(children=children, email="d@exemple.fr")
                    dispute(account.id)
                    db.session.commit()


ALL = {
    "activated": 3,
    "waiting": 1,
    "blocked": 1,
    "relettered": 0,
    "printed": 2,
    "expired": 1,
    "never": 2,
    "disputed": 1,
}


def test_each_account_has_one_state(build: Build, colleagues: Colleagues) -> None:
    family(build, **ALL)
    build.active(children=[build.child(uai=LYCEE)], email="l@exemple.fr")
    build.active(children=[build.child()], email="x@exemple.fr", disabled_at=now())
    [row], whole = figures.by_class(build.school().id)
    assert (row.name, row.counts, row.accounts) == ("6e 1", list(ALL.values()), 11)
    assert (whole.counts, whole.activated, whole.waiting) == (row.counts, 4, 1)
    assert (row.closed, whole.closed) == (1, 1)


def test_an_account_counts_once_in_a_school(build: Build) -> None:
    first, second = build.child(), build.child("Zoé")
    db.session.query(Child).filter_by(id=second.id).update({"class_name": "5e 2"})
    db.session.commit()
    build.active(children=[first, second])
    [row] = figures.by_school(School.uai == COLLEGE)
    assert (row.name, row.accounts) == ("Collège des Tilleuls", 1)


@each_row(("activated", "accounts", "percent"), [(1, 27, 4), (4, 11, 36), (1, 900, 1), (899, 900, 99), (5, 5, 100)])
def test_a_share_is_rounded_and_whole_for_the_whole_alone(
    desk: Flask, activated: int, accounts: int, percent: int
) -> None:
    numbers = {Group.ACTIVE: activated, Group.LETTER: accounts - activated}
    with desk.test_request_context():
        assert f"soit {percent} %" in tables.summary(Row("", "", [numbers.get(state, 0) for state in STATES]))


def test_a_school_sees_all_numbers(build: Build, colleagues: Colleagues) -> None:
    family(build, **ALL)
    suspend(build.active(children=[build.child()], email="x@exemple.fr").id)
    text = colleagues.signed_in(Role.SECRETARY).get("/activation").get_data(as_text=True)
    assert "4 comptes activés sur 11, soit 36" in text
    assert "qui ne sont pas dans ces nombres\u00a0: 1." in text, "suspended"
    assert "moins\u00a0de" not in text


def counted() -> None:
    assert tables.hand_over(OutboxMessage()) is Outcome.DONE
    db.session.expire_all()


def stored(scope: str = tables.ACADEMY) -> StoredFigures:
    return db.session.query(StoredFigures).filter_by(scope=scope).one()


@pytest.mark.parametrize("role", [Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER])
def test_others_see_the_last_count_without_numbers_under_ten(build: Build, colleagues: Colleagues, role: Role) -> None:
    family(build, activated=12, waiting=3)
    ent = build.ent()
    browser = colleagues.signed_in(role, client_id=ent.client_id)
    before = browser.get("/activation").get_data(as_text=True)
    assert "Les premiers chiffres seront là dans l’heure." in before
    counted()
    family(build, activated=20)
    db.session.query(StoredFigures).update({"counted_at": datetime(2026, 11, 24, 8, 5, tzinfo=UTC)})
    db.session.commit()
    with heard() as statements:
        text = browser.get("/activation").get_data(as_text=True)
    assert not [statement for statement in statements if " account" in statement or " child" in statement]
    assert "Chiffres du 24 novembre 2026 à 9 h 05" in text.replace("\u00a0", " ")
    assert ">moins\u00a0de\u00a010<" in text
    assert {int(number) for number in re.findall(r'">(\d+)</td>', text)} == {10}
    csv = post(browser, "/activation/export", "/activation", table="schools").get_data(as_text=True)
    assert '"moins de 10"' in csv
    assert not re.findall(r'"(\d+)"', csv), "no number follows from the others"


def test_what_is_stored_is_rounded_and_has_no_small_number(build: Build) -> None:
    family(build, activated=12, waiting=3, printed=27)
    ent = build.ent()
    client_id = db.session.query(Client).filter_by(client_id=ent.client_id).one().id
    counted()
    for scope in (tables.ACADEMY, client_id.hex):
        numbers = re.findall(r"[ \[](\d+)[,\]]", json.dumps(stored(scope).tables))
        assert {int(number) for number in numbers} == {10, 40}


def test_a_count_replaces_all_figures_and_no_later_ones(build: Build) -> None:
    ent = build.ent()
    build.ent("Autre", "autre.test", uais=[LYCEE])
    counted()
    assert db.session.query(StoredFigures).count() == 3
    db.session.query(Client).filter_by(client_id=ent.client_id).update({"disabled_at": now()})
    db.session.commit()
    first = stored().counted_at
    counted()
    assert {row.counted_at > first for row in db.session.query(StoredFigures)} == {True}
    assert db.session.query(StoredFigures).count() == 2, "the figures of the ENT that ended are gone"
    last = stored().counted_at
    with unit_of_work():
        tables._replace({tables.ACADEMY: {}}, first)
    db.session.expire_all()
    assert (stored().counted_at, bool(stored().tables)) == (last, True)
    assert db.session.query(StoredFigures).count() == 2


def test_an_operator_sees_the_schools_of_the_own_ent_only(build: Build, colleagues: Colleagues) -> None:
    family(build, activated=1)
    build.active(children=[build.child(uai=LYCEE)], email="l@exemple.fr")
    ent = build.ent(uais=[COLLEGE])
    build.ent("Autre", "autre.test", uais=[LYCEE])
    counted()
    text = colleagues.signed_in(Role.ENT_OPERATOR, client_id=ent.client_id).get("/activation").get_data(as_text=True)
    assert [name in text for name in ("Collège des Tilleuls", "Lycée Louise-Weber", "Autre")] == [True, False, False]


def test_an_account_counts_once_a_week_for_an_ent(build: Build) -> None:
    build.active(children=[build.child(), build.child(uai=LYCEE)], email="deux@exemple.fr")
    build.active(children=[build.child(uai=LYCEE)], email="un@exemple.fr")
    ent, other = build.ent(uais=[COLLEGE, LYCEE]), build.ent("Autre", "autre.test", uais=[COLLEGE])
    keys = {client.client_id: client.id for client in db.session.query(Client)}
    everybody, by_client = figures.by_week_of_all(tables._SERVED)
    weeks = {client_id: by_client[key][-1][1] for client_id, key in keys.items()}
    assert (everybody[-1][1], weeks) == (2, {ent.client_id: 2, other.client_id: 1})


def test_activations_are_counted_by_week_of_the_school_year(build: Build) -> None:
    family(build, activated=2)
    old = build.active(children=[build.child()], email="o@exemple.fr")
    again = build.active(children=[build.child()], email="a@exemple.fr")
    long_ago = now() - timedelta(days=500)
    db.session.query(Account).filter_by(id=old.id).update({"activated_at": long_ago})
    db.session.query(Account).filter_by(id=again.id).update({"first_activated_at": long_ago})
    db.session.commit()
    weeks = figures.by_week(School.uai == COLLEGE)
    assert weeks[-1][1] == 2
    assert sum(activated for _, activated in weeks) == 2
    assert all(monday.weekday() == 0 for monday, _ in weeks)


def test_an_export_is_journaled(build: Build, colleagues: Colleagues) -> None:
    family(build, activated=1)
    browser = colleagues.signed_in(Role.HEAD)
    answer = post(browser, "/activation/export", "/activation", table="classes")
    assert answer.get_data(as_text=True).splitlines()[1].startswith('"6e 1";"1";"0"')
    entry = db.session.query(AuditEntry).filter_by(kind="desk.figures_exported").one()
    assert entry.details["table"] == "classes"


@pytest.mark.parametrize("table", ["schools", "ents", "x", ""])
def test_a_school_exports_its_own_tables_only(colleagues: Colleagues, table: str) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    assert post(browser, "/activation/export", "/etablissements", table=table).status_code == 404


@pytest.mark.parametrize("page", ["x", "-1", "99999999999999999999", "2"])
def test_any_page_is_answered(colleagues: Colleagues, page: str) -> None:
    assert colleagues.signed_in(Role.DPO).get(f"/activation?page={page}").status_code == 200


def test_a_desk_without_families_is_answered(colleagues: Colleagues) -> None:
    for role in (Role.HEAD, Role.ENGINEER):
        assert colleagues.signed_in(role).get("/activation").status_code == 200


def with_totals(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    table = [[*row, sum(row)] for row in rows]
    return [*table, [sum(column) for column in zip(*table, strict=True)]]


def determined(cells: Sequence[Sequence[Cell]]) -> set[tuple[int, int]]:
    """Return the hidden cells that follow from the sums of rows and columns (Gauss elimination)."""
    hidden = [(i, j) for i, row in enumerate(cells) for j, cell in enumerate(row) if isinstance(cell, Hidden)]
    height, width = len(cells), len(cells[0])
    lines = [[(i, j) for j in range(width)] for i in range(height)]
    lines += [[(i, j) for i in range(height)] for j in range(width)]
    matrix = [
        [Fraction(0 if place not in line else -1 if place == line[-1] else 1) for place in hidden] for line in lines
    ]
    rank = 0
    for column in range(len(hidden)):
        pivot = next((r for r in range(rank, len(matrix)) if matrix[r][column]), None)
        if pivot is None:
            continue
        matrix[rank], matrix[pivot] = matrix[pivot], matrix[rank]
        matrix[rank] = [value / matrix[rank][column] for value in matrix[rank]]
        for r, row in enumerate(matrix):
            if r != rank and row[column]:
                factor = row[column]
                matrix[r] = [a - factor * b for a, b in zip(row, matrix[rank], strict=True)]
        rank += 1
    alone_in_row = [[k for k, value in enumerate(row) if value] for row in matrix[:rank]]
    return {hidden[columns[0]] for columns in alone_in_row if len(columns) == 1}


@each_row("seed", range(150))
def test_no_hidden_number_follows_from_the_sums(seed: int) -> None:
    draw = random.Random(seed)
    most = draw.choice([5, 12, 40, 300])
    rows = [[draw.randint(0, most) for _ in range(6)] for _ in range(draw.randint(1, 9))]
    cells, table = protected(rows), with_totals(rows)
    assert not determined(cells)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if cell is Hidden.SMALL:
                assert table[i][j] < THRESHOLD
            elif cell is Hidden.MASKED:
                assert table[i][j] >= THRESHOLD
            else:
                assert cell == table[i][j] >= THRESHOLD


@each_row("seed", range(50))
def test_each_small_number_may_have_any_value_for_a_reader_of_its_line(seed: int) -> None:
    draw = random.Random(seed)
    rows = [[draw.choice([0, 3, 9, 10, 11, 25, 400]) for _ in range(6)] for _ in range(draw.randint(1, 6))]
    cells, table = protected(rows), with_totals(rows)
    for i, row in enumerate(cells):
        parts = [(cell, table[i][j]) for j, cell in enumerate(row[:-1]) if isinstance(cell, Hidden)]
        if isinstance(row[-1], int) and parts:
            masked = sum(cell is Hidden.MASKED for cell, _ in parts)
            assert masked
            assert sum(number for _, number in parts) >= THRESHOLD * masked + THRESHOLD - 1


@each_row("seed", range(20))
def test_two_counts_of_a_number_differ_by_tens(seed: int) -> None:
    draw = random.Random(seed)
    before = [[draw.choice([0, 4, 9, 10, 11, 19, 57, 400]) for _ in range(6)] for _ in range(4)]
    after = [[number + draw.choice([0, 0, 1, 3, 12]) for number in row] for row in before]
    tables = [rounded(protected(rows)) for rows in (before, after)]
    for former, later in zip(*(itertools.chain(*table) for table in tables), strict=True):
        if isinstance(former, int) and isinstance(later, int):
            assert (later - former) % THRESHOLD == 0


def test_nine_is_hidden_and_ten_is_shown() -> None:
    assert alone([0, 9, 10]) == [Hidden.SMALL, Hidden.SMALL, 10]


def test_large_numbers_stay() -> None:
    assert protected([[20, 30], [40, 50]]) == [[20, 30, 50], [40, 50, 90], [60, 80, 140]]


def test_a_large_table_is_quick() -> None:
    draw = random.Random(1)
    rows = [[draw.choice([0, 2, 12, 80, 300, 500]) for _ in range(6)] for _ in range(1500)]
    assert len(protected(rows)) == 1501


def test_no_school_is_an_empty_table() -> None:
    assert protected([]) == []
