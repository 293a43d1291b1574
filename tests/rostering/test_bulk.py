"""Batches of rows are stored unchanged."""

import uuid
from typing import Any, cast

from flask import Flask
from sqlalchemy import Table, select, text

from idp.accounts.models import Account, Child, SchoolProfile
from idp.clock import now
from idp.db import db, one_of
from idp.rostering.bulk import insert_rows, insert_unless_taken, refresh_statistics
from tests.builders import Build

ACCOUNTS, CHILDREN = cast("Table", Account.__table__), cast("Table", Child.__table__)
NAMES = ("O’Brien", 'dit "le Grand"', "C:\\fin", "Zoé 👩‍👧 {a,b}", "%(n)s %s :n", "محمد", "", "NULL", "a\tb\u2028c")


def _accounts(**more: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": uuid.uuid4(),
            "username": f"n.leroy{number}",
            "family_name": name,
            "given_name": "Noémie",
            "address_lines": [name, "12 rue des Tilleuls"],
            "address_diffusion": (None, True, False)[number % 3],
            **more,
        }
        for number, name in enumerate(NAMES)
    ]


def test_every_text_arrives_letter_by_letter_and_defaults_fill_the_rest(app: Flask) -> None:
    rows, before = _accounts(), now()
    assert insert_unless_taken(ACCOUNTS, "username", rows) == {row["id"] for row in rows}
    db.session.commit()
    for row in rows:
        stored = db.session.get_one(Account, row["id"])
        assert {name: getattr(stored, name) for name in row} == row
        assert before <= stored.created_at <= now()
        assert (stored.profile, stored.locale, stored.generation) == (SchoolProfile.GUARDIAN, "fr-FR", 0)
        assert stored.left_at is None


def test_rows_with_a_taken_name_are_skipped_and_inserted_ids_are_returned(app: Flask) -> None:
    first = _accounts()
    insert_unless_taken(ACCOUNTS, "username", first[:4])
    second = _accounts(civility="Mme")
    assert insert_unless_taken(ACCOUNTS, "username", second) == {row["id"] for row in second[4:]}
    assert insert_unless_taken(ACCOUNTS, "username", second) == set()
    assert insert_unless_taken(ACCOUNTS, "username", []) == set()
    db.session.commit()
    untouched = select(Account.id).where(Account.civility == "")
    assert set(db.session.scalars(untouched)) == {row["id"] for row in first[:4]}


def test_instants_and_keys_arrive_and_are_found_by_their_column(app: Flask, build: Build) -> None:
    school, moment = build.school().id, now()
    rows = [
        {"id": uuid.uuid4(), "school_id": school, "student_id": str(n), "family_name": name, "given_name": "Malo",
         "left_at": moment}
        for n, name in enumerate(NAMES)
    ]  # fmt: skip
    insert_rows(CHILDREN, rows)
    insert_rows(CHILDREN, [])
    db.session.commit()
    some = [row["id"] for row in rows[2:5]]
    assert set(db.session.scalars(select(Child.id).where(one_of(Child.id, some), Child.left_at == moment))) == set(some)
    named = select(Child.family_name).where(one_of(Child.family_name, list(NAMES)))
    assert sorted(db.session.scalars(named)) == sorted(NAMES)
    assert db.session.scalars(select(Child.id).where(one_of(Child.id, []))).all() == []


def test_postgresql_knows_the_size_of_a_table_at_once(app: Flask) -> None:
    insert_unless_taken(ACCOUNTS, "username", _accounts())
    db.session.commit()
    refresh_statistics(ACCOUNTS, CHILDREN)
    assert db.session.scalar(text("SELECT reltuples FROM pg_class WHERE relname = 'account'")) == len(NAMES)
    assert db.session.scalar(text("SHOW statement_timeout")) == "5s"
