"""Batches of rows are stored unchanged, and each new account has an identifier of its own."""

import re
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from sqlalchemy import Table, select, text

from idp.accounts.models import Account, Child, SchoolProfile
from idp.accounts.passwords.hasher import fold_username
from idp.clock import now
from idp.db import db, one_of
from idp.rostering.bulk import insert_rows, insert_unless_taken, refresh_statistics
from idp.rostering.records import Format
from idp.rostering.write import opening
from tests.builders import Build
from tests.rows import each_row

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


@each_row(
    ("given_name", "family", "begun"),
    [
        ("Noémie", "LEROY-VANDEPUTTE", "n.leroy"),
        ("Anaïs-Noëlle", "D’ALMEIDA-GONÇALVES", "a.dalmeida"),
        ("Jean", "DE LA ROCHE-SAINT-ANDRÉ", "j.delaroche"),
        ("Sander", "VAN DER MEERSCH", "s.vandermeersch"),
        ("İpek", "Yılmaz", "i.yilmaz"),
        ("Nolan", "O'BRIEN", "n.obrien"),
        ("Œdipe", "ÆGIDIUS", "o.aegidius"),
        ("لطيفة", "بن يوسف", "parent"),
        ("", "NGUYEN", "nguyen"),
        ("Anne", "SUPERCALIFRAGILISTICEXPIALIDOCIOUS", "a.supercalifragilistic"),
        ("me@x", "LE@ROY", "m.leroy"),
    ],
)
def test_an_identifier_can_be_read_out_and_typed(given_name: str, family: str, begun: str) -> None:
    assert opening.base(given_name, family) == begun
    username = opening.drawn(begun, 0)
    assert re.fullmatch(re.escape(begun) + r"[1-9]\d{3}", username)
    assert fold_username(username) == username
    assert fold_username(username.upper()) == username


def test_the_number_grows_with_the_attempts() -> None:
    assert [len(opening.drawn("", attempt)) for attempt in opening.ATTEMPTS] == [4, 4, 4, 5, 6, 8]


def row(key: str) -> SimpleNamespace:
    empty = dict.fromkeys(("birth_name", "postcode", "city", "country", "email"), "")
    names = {"civility": "Mme", "family_name": "LEROY", "given_name": "Noémie"}
    return SimpleNamespace(
        account_id="0" * 30 + key, key=f"aaf:{key}", address_lines="[]", address_diffusion=None, **names, **empty
    )


def test_an_identifier_that_is_taken_is_drawn_again(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    build.never_activated(username="n.leroy1000", children=[])
    numbers = iter([0, 0, 0, 1, 2, 3, 4])  # the first is in use, the second and third draw the same number
    monkeypatch.setattr("secrets.randbelow", lambda _: next(numbers))
    opening.open_accounts(Format.AAF, [row("01"), row("02")])
    db.session.commit()
    assert sorted(account.username for account in db.session.query(Account)) == [
        "n.leroy1000", "n.leroy1001", "n.leroy1002",
    ]  # fmt: skip


def test_an_exhausted_name_raises_an_error(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    for digits in (4, 5, 6, 8):
        build.never_activated(username=f"n.leroy1{'0' * (digits - 1)}", children=[])
    monkeypatch.setattr("secrets.randbelow", lambda _: 0)
    with pytest.raises(RuntimeError, match="cannot be chance"):
        opening.open_accounts(Format.AAF, [row("01")])
    db.session.rollback()
