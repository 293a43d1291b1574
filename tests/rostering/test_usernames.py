import re

import pytest

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_username
from idp.db import db
from idp.rostering.records import Format
from idp.rostering.write import opening
from idp.rostering.write.statements import Person
from tests.builders import Build
from tests.rows import each_row


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


def row(key: str) -> Person:
    return Person("0" * 30 + key, f"aaf:{key}", "Mme", "LEROY", "", "Noémie", "[]", "", "", "", "", None)


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
