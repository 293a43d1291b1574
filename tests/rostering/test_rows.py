"""Rows of files: encodings, delimiters and faults of CSV, no formulas in spreadsheets, and rows stored unchanged."""

import csv
import io
import re
import uuid
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from hypothesis import example, given, strategies as st
from sqlalchemy import Table, select, text

from idp.accounts.models import Account, Child
from idp.accounts.passwords.hasher import fold_username
from idp.clock import now
from idp.db import db, one_of
from idp.rostering.bulk import insert_rows, insert_unless_taken, refresh_statistics
from idp.rostering.files.text import (
    LONGEST_CELL,
    LONGEST_LINE,
    MOST_COLUMNS,
    MOST_LINES,
    ROWS_PER_TICK,
    Row,
    header_of,
    read_rows,
)
from idp.rostering.records import Format, Issue
from idp.rostering.write import opening
from idp.spreadsheet import guarded, rows_to_csv
from tests.builders import Build
from tests.rostering.files import source
from tests.rows import each_row


def read(content: str | bytes, encoding: str | None = None) -> list[list[str] | tuple[str, int]]:
    return [
        item.cells if isinstance(item, Row) else (item.code, item.place.line)
        for item in read_rows(source(content), encoding)
    ]


NOEMIE = [["nom", "prénom"], ["Œuvrard", "Noémie"]]
TEXT = "nom;prénom\nŒuvrard;Noémie\n"


@pytest.mark.row("R-03")
@each_row("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
def test_the_encoding_is_detected(encoding: str) -> None:
    assert read(TEXT.encode(encoding)) == NOEMIE


def test_an_encoding_can_be_forced() -> None:
    assert read(TEXT.encode("iso8859-15"), "iso8859-15") == NOEMIE
    assert read(TEXT.encode("utf-8-sig"), "utf-8") == NOEMIE
    assert read(TEXT.encode("cp1252"), "utf-8") == [("encoding_wrong", 1)]


@each_row("encoding", ["nope", "hex", "rot13", "a\0b", ""])
def test_an_unknown_encoding_is_reported(encoding: str) -> None:
    assert read(TEXT, encoding) == [("encoding_unknown", 1)]


@pytest.mark.row("R-03")
def test_an_invalid_byte_is_reported_with_its_line_before_any_row() -> None:
    assert read(b"nom;prenom\r\nA;B\r\nC;\x81\xe9\r\nD;E\r\n") == [("encoding_wrong", 3)]
    assert read(b"nom;prenom\n" + b"A;B\n" * 40_000 + b"C;\x8d\n") == [("encoding_wrong", 40_002)]


def test_a_file_with_late_invalid_utf_8_is_read_as_cp1252() -> None:
    rows = read("nom;prénom\n".encode("cp1252") + b"A;B\n" * 40_000 + "Z;é\n".encode("cp1252"))
    assert rows[0] == ["nom", "prénom"]
    assert rows[-1] == ["Z", "é"]


@each_row("line", ["A;B\n", ";\n", "A;B;C\n", 'A;"B\n'])
def test_rows_that_are_read_are_told_whether_they_are_kept_or_not(line: str) -> None:
    file = source("nom;prenom\n" + line * (3 * ROWS_PER_TICK))
    ticks: list[int] = []
    file.tick = lambda: ticks.append(1)
    list(read_rows(file))
    assert len(ticks) >= 3


@pytest.mark.row("R-03")
@each_row("delimiter", [";", ",", "\t"])
@each_row("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_detected(delimiter: str, end: str) -> None:
    content = end.join([f"nom{delimiter}ville", f"A{delimiter}B", "", f'"C {delimiter} D"{delimiter}E', ""])
    rows = list(read_rows(source(content)))
    assert rows == [Row(1, ["nom", "ville"]), Row(2, ["A", "B"]), Row(4, [f"C {delimiter} D", "E"])]


def test_empty_rows_are_skipped_and_short_rows_filled() -> None:
    assert read("a;b;c\n;;\n  ; ;\nX\nY;;;;\n") == [["a", "b", "c"], ["X", "", ""], ["Y", "", ""]]


@pytest.mark.row("R-03")
def test_a_nul_character_refuses_only_its_line() -> None:
    assert read("a;b\n1;2\n3\0;4\n5;6\n") == [["a", "b"], ["1", "2"], ("nul_character", 3), ["5", "6"]]
    assert read("nom;prenom\nA;B\n".encode("utf-16-le")) == [("nul_character", 1)]


@pytest.mark.row("R-03")
def test_a_cell_that_is_too_long_refuses_only_its_line() -> None:
    long = "x" * (LONGEST_CELL + 1)
    assert read(f"a;b\n1;{long}\n3;4\n") == [["a", "b"], ("cell_too_long", 2), ["3", "4"]]
    assert read(f'a;b\n1;"{long}"\n3;4\n') == [["a", "b"], ("cell_too_long", 2), ["3", "4"]]
    assert read(f"a;b\n1;{long[:LONGEST_CELL]}\n")[1] == ["1", long[:LONGEST_CELL]]


@pytest.mark.row("R-03")
@each_row("size", [LONGEST_LINE + 1, LONGEST_LINE + 2, LONGEST_LINE + 3, 3 * LONGEST_LINE + 7])
def test_a_line_that_is_too_long_refuses_only_itself(size: int) -> None:
    assert read("a;b\n" + "x" * size + "\n3;4\n") == [["a", "b"], ("line_too_long", 2), ["3", "4"]]
    assert read("a;b\n" + "x" * size) == [["a", "b"], ("line_too_long", 2)]


@pytest.mark.row("R-03")
def test_a_million_columns_are_refused() -> None:
    assert read("a;" * 500_000) == [("too_many_columns", 1)]
    assert read("a;b\n" + "x;" * 500_000 + "\n3;4\n") == [["a", "b"], ("too_many_cells", 2), ["3", "4"]]
    assert len(read(";".join("a" * MOST_COLUMNS))) == 1


def test_a_row_with_more_cells_than_columns_is_refused() -> None:
    assert read("a;b\n1;2;3\n4;5\n") == [["a", "b"], ("too_many_cells", 2), ["4", "5"]]


class TestR03Quotes:
    @pytest.mark.row("R-03")
    def test_an_unclosed_quote_refuses_only_its_line(self) -> None:
        rows = "".join(f"{number};x\n" for number in range(100))
        assert read(f'a;b\n"1;2\n{rows}') == [["a", "b"], ("quote_not_closed", 2), *([str(n), "x"] for n in range(100))]

    @pytest.mark.row("R-03")
    def test_an_unclosed_quote_at_the_end_refuses_only_its_line(self) -> None:
        assert read('a;b\n1;"2') == [["a", "b"], ("quote_not_closed", 2)]
        assert read('a;b\n1;"2\n') == [["a", "b"], ("quote_not_closed", 2)]

    @pytest.mark.row("R-03")
    @pytest.mark.parametrize("delimiter", [";", ",", "\t"])
    def test_a_quote_closed_in_another_row_is_refused(self, delimiter: str) -> None:
        lines = ["nom;prenom;classe", '"Dupont;Léa;6A', 'Martin";Jean;6B', "Öz;Ali;6C"]
        rows = read("\n".join(lines).replace(";", delimiter))
        assert rows[1] == ("quote_not_closed", 2)
        assert rows[-1] == ["Öz", "Ali", "6C"]
        assert len(rows) == len(lines)

    @pytest.mark.row("R-03")
    def test_the_reported_line_is_the_line_of_the_opening_quote(self) -> None:
        assert read('a;b;c\n"1\n1 bis";"2\n3;4;5\n')[1] == ("quote_not_closed", 3)

    @pytest.mark.row("R-03")
    def test_text_after_a_closing_quote_is_refused(self) -> None:
        assert read('a;b\n"Ali" Öz;2\n3;4\n') == [["a", "b"], ("quote_misplaced", 2), ["3", "4"]]

    def test_a_quoted_cell_may_have_line_breaks(self) -> None:
        content = 'a;b\r\n1;"12, rue X\r\nBât. B"\r\n3;4\r\n'
        assert list(read_rows(source(content))) == [
            Row(1, ["a", "b"]), Row(2, ["1", "12, rue X\nBât. B"]), Row(4, ["3", "4"]),
        ]  # fmt: skip
        assert read('a,b,c\n1,"12, rue X\nBât. B",3\n')[1] == ["1", "12, rue X\nBât. B", "3"]

    def test_a_quote_inside_a_cell_is_literal(self) -> None:
        assert read('a;b\nL"a;"dit ""Bob"""\n""; x \n')[1:] == [['L"a', 'dit "Bob"'], ["", "x"]]

    def test_a_row_has_a_limited_number_of_lines(self) -> None:
        just = "\n" * (MOST_LINES - 1)
        assert read(f'a;b\n"x{just}y";2\n')[1] == [f"x{just}y", "2"]
        assert read(f'a;b\n"x{just}\ny";2\n')[1] == ("quote_not_closed", 2)


@each_row(
    ("content", "code"),
    [("", "file_empty"), ("\n\r\n ;;\n", "file_empty"), ("nom\nA\n", "no_delimiter"), ("\ufeff", "file_empty")],
)
def test_a_file_without_a_table_is_refused(content: str, code: str) -> None:
    assert [item[0] for item in read(content)] == [code]


def test_the_header_is_read_from_a_truncated_beginning() -> None:
    assert header_of("Nom élève;Prénom\nÉlodie;É".encode()[:-1]) == ["Nom élève", "Prénom"]
    assert header_of("Nom élève;Prénom\n".encode("cp1252")) == ["Nom élève", "Prénom"]
    assert header_of(b"\x00\x01\x02") == []


@given(st.binary(max_size=400), st.sampled_from([None, "utf-8", "cp1252", "utf-16", "utf-7", "latin-1"]))
@example(b"a;b\n\xff\xfe", None)
def test_arbitrary_bytes_do_not_raise(content: bytes, encoding: str | None) -> None:
    assert list(read_rows(source(content), encoding))
    assert isinstance(header_of(content), list)


_PIECES = st.lists(st.sampled_from(['"', '""', ";", "\n", "\r", "#", "é", " ", "\0", '"\n"', "#;#;#\n"]), max_size=80)


@given(_PIECES)
@example(['"', "\n", '"', ";", "#;#;#\n"])
def test_every_line_is_read_or_refused(pieces: list[str]) -> None:
    marks = iter(range(10_000))
    content = "h;i;j\n" + "".join(f"<{next(marks)}>" if char == "#" else char for char in "".join(pieces))
    rows = list(read_rows(source(content)))
    seen = set(re.findall("<[0-9]+>", " ".join(cell for item in rows if isinstance(item, Row) for cell in item.cells)))
    lost = [
        number
        for number, line in enumerate(io.StringIO(content, newline=None).read().split("\n"), 1)
        if set(re.findall("<[0-9]+>", line)) - seen
    ]
    refused = [item.place.line for item in rows if isinstance(item, Issue)]
    assert len(lost) <= len(refused)
    for line in lost:
        assert any(line <= refused_line < line + MOST_LINES for refused_line in refused)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)


@given(st.lists(st.lists(_TEXT, min_size=3, max_size=3), max_size=8))
def test_the_output_of_a_csv_writer_is_read(rows: list[list[str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=";")
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    expected = [[cell.strip() for cell in row] for row in rows]
    assert read(file.getvalue())[1:] == [row for row in expected if any(row)]


@pytest.mark.row("R-04")
@each_row("cell", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", " =1", "＝1"])
def test_a_cell_that_begins_like_a_formula_gets_an_apostrophe(cell: str) -> None:
    assert guarded(cell) == f"'{cell}"


@each_row("cell", ["", "LEROY-ÖZ", "a=b", "03 53 01 00 00", "n.leroy@exemple.fr", "'x", '"'])
def test_other_cells_are_unchanged(cell: str) -> None:
    assert guarded(cell) == cell


@pytest.mark.row("R-04")
def test_the_file_has_a_byte_order_mark_semicolons_and_quotes() -> None:
    raw = b"".join(rows_to_csv(["Nom", "Ligne"], [['Œuvrard;"x"', "=1"], ["", "2"]]))
    assert raw == '\ufeff"Nom";"Ligne"\r\n"Œuvrard;""x""";"\'=1"\r\n"";"2"\r\n'.encode()


def test_rows_are_written_one_by_one() -> None:
    lines = rows_to_csv(["a"], ([str(number)] for number in iter(int, 1)))
    assert [next(lines), next(lines)] == ['\ufeff"a"\r\n'.encode(), b'"0"\r\n']


@pytest.mark.row("R-04")
@given(st.lists(st.lists(st.text(max_size=9), min_size=2, max_size=2), max_size=5))
def test_guarded_rows_survive_a_round_trip(rows: list[list[str]]) -> None:
    raw = b"".join(rows_to_csv(["a", "b"], rows))
    read = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert read[1:] == [[guarded(cell) for cell in row] for row in rows]
    assert not any(cell.lstrip().startswith(("=", "+", "-", "@")) for row in read for cell in row)


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
        assert (stored.locale, stored.generation) == ("fr-FR", 0)
        assert not stored.has_left


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
