"""CSV: encodings, delimiters, line ends and broken rows (R-03); no line is lost without an issue."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from idp.rostering.files.text import LONGEST_CELL, LONGEST_LINE, MOST_COLUMNS, MOST_LINES, Row, header_of, read_rows
from idp.rostering.records import Issue
from tests.rostering.files import source
from tests.rows import each_row


def read(content: str | bytes, encoding: str | None = None) -> list[list[str] | tuple[str, int]]:
    """Return the cells of each row, and code and line of each issue."""
    return [
        item.cells if isinstance(item, Row) else (item.code, item.place.line)
        for item in read_rows(source(content), encoding)
    ]


NOEMIE = [["nom", "prénom"], ["Œuvrard", "Noémie"]]
TEXT = "nom;prénom\nŒuvrard;Noémie\n"


@pytest.mark.row("R-03")
@each_row("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
def test_the_encoding_is_found(encoding: str) -> None:
    assert read(TEXT.encode(encoding)) == NOEMIE


def test_an_encoding_can_be_forced() -> None:
    assert read(TEXT.encode("iso8859-15"), "iso8859-15") == NOEMIE
    assert read(TEXT.encode("utf-8-sig"), "utf-8") == NOEMIE
    assert read(TEXT.encode("cp1252"), "utf-8") == [("encoding_wrong", 1)]


@each_row("encoding", ["nope", "hex", "rot13", "a\0b", ""])
def test_an_encoding_that_is_none_is_said(encoding: str) -> None:
    assert read(TEXT, encoding) == [("encoding_unknown", 1)]


@pytest.mark.row("R-03")
def test_a_byte_that_is_in_no_encoding_is_said_with_its_line_before_any_row_is_read() -> None:
    assert read(b"nom;prenom\r\nA;B\r\nC;\x81\xe9\r\nD;E\r\n") == [("encoding_wrong", 3)]
    assert read(b"nom;prenom\n" + b"A;B\n" * 40_000 + b"C;\x8d\n") == [("encoding_wrong", 40_002)]


def test_utf_8_that_breaks_far_into_the_file_is_cp1252_from_its_beginning() -> None:
    rows = read("nom;prénom\n".encode("cp1252") + b"A;B\n" * 40_000 + "Z;é\n".encode("cp1252"))
    assert rows[0] == ["nom", "prénom"]
    assert rows[-1] == ["Z", "é"]


@pytest.mark.row("R-03")
@each_row("delimiter", [";", ",", "\t"])
@each_row("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found(delimiter: str, end: str) -> None:
    content = end.join([f"nom{delimiter}ville", f"A{delimiter}B", "", f'"C {delimiter} D"{delimiter}E', ""])
    found = list(read_rows(source(content)))
    assert found == [Row(1, ["nom", "ville"]), Row(2, ["A", "B"]), Row(4, [f"C {delimiter} D", "E"])]


def test_empty_rows_are_no_rows_and_short_ones_are_filled() -> None:
    assert read("a;b;c\n;;\n  ; ;\nX\nY;;;;\n") == [["a", "b", "c"], ["X", "", ""], ["Y", "", ""]]


@pytest.mark.row("R-03")
def test_a_nul_costs_its_line_only() -> None:
    assert read("a;b\n1;2\n3\0;4\n5;6\n") == [["a", "b"], ["1", "2"], ("nul_character", 3), ["5", "6"]]
    assert read("nom;prenom\nA;B\n".encode("utf-16-le")) == [("nul_character", 1)]


@pytest.mark.row("R-03")
def test_a_cell_that_is_too_long_costs_its_line_only() -> None:
    long = "x" * (LONGEST_CELL + 1)
    assert read(f"a;b\n1;{long}\n3;4\n") == [["a", "b"], ("cell_too_long", 2), ["3", "4"]]
    assert read(f'a;b\n1;"{long}"\n3;4\n') == [["a", "b"], ("cell_too_long", 2), ["3", "4"]]
    assert read(f"a;b\n1;{long[:LONGEST_CELL]}\n")[1] == ["1", long[:LONGEST_CELL]]


@pytest.mark.row("R-03")
@each_row("size", [LONGEST_LINE + 1, LONGEST_LINE + 2, LONGEST_LINE + 3, 3 * LONGEST_LINE + 7])
def test_a_line_that_is_too_long_costs_itself_only(size: int) -> None:
    assert read("a;b\n" + "x" * size + "\n3;4\n") == [["a", "b"], ("line_too_long", 2), ["3", "4"]]
    assert read("a;b\n" + "x" * size) == [["a", "b"], ("line_too_long", 2)]


@pytest.mark.row("R-03")
def test_a_million_columns() -> None:
    assert read("a;" * 500_000) == [("too_many_columns", 1)]
    assert read("a;b\n" + "x;" * 500_000 + "\n3;4\n") == [["a", "b"], ("too_many_cells", 2), ["3", "4"]]
    assert len(read(";".join("a" * MOST_COLUMNS))) == 1


def test_more_cells_than_columns_is_an_error_and_not_a_shift() -> None:
    assert read("a;b\n1;2;3\n4;5\n") == [["a", "b"], ("too_many_cells", 2), ["4", "5"]]


class TestR03Quotes:
    @pytest.mark.row("R-03")
    def test_a_quote_that_swallows_the_rest_costs_its_line_only(self) -> None:
        rows = "".join(f"{number};x\n" for number in range(100))
        assert read(f'a;b\n"1;2\n{rows}') == [["a", "b"], ("quote_not_closed", 2), *([str(n), "x"] for n in range(100))]

    @pytest.mark.row("R-03")
    def test_at_the_end_of_the_file(self) -> None:
        assert read('a;b\n1;"2') == [["a", "b"], ("quote_not_closed", 2)]
        assert read('a;b\n1;"2\n') == [["a", "b"], ("quote_not_closed", 2)]

    @pytest.mark.row("R-03")
    @pytest.mark.parametrize("delimiter", [";", ",", "\t"])
    def test_a_quote_that_another_row_closes(self, delimiter: str) -> None:
        lines = ["nom;prenom;classe", '"Dupont;Léa;6A', 'Martin";Jean;6B', "Öz;Ali;6C"]
        content = "\n".join(lines).replace(";", delimiter)
        found = read(content)
        assert found[1] == ("quote_not_closed", 2)
        assert found[-1] == ["Öz", "Ali", "6C"]
        assert len(found) == len(lines)

    @pytest.mark.row("R-03")
    def test_the_line_is_where_the_quote_was_opened(self) -> None:
        assert read('a;b;c\n"1\n1 bis";"2\n3;4;5\n')[1] == ("quote_not_closed", 3)

    @pytest.mark.row("R-03")
    def test_text_after_a_closing_quote(self) -> None:
        assert read('a;b\n"Ali" Öz;2\n3;4\n') == [["a", "b"], ("quote_misplaced", 2), ["3", "4"]]

    def test_an_address_may_have_line_breaks(self) -> None:
        content = 'a;b\r\n1;"12, rue X\r\nBât. B"\r\n3;4\r\n'
        assert list(read_rows(source(content))) == [
            Row(1, ["a", "b"]), Row(2, ["1", "12, rue X\nBât. B"]), Row(4, ["3", "4"]),
        ]  # fmt: skip
        assert read('a,b,c\n1,"12, rue X\nBât. B",3\n')[1] == ["1", "12, rue X\nBât. B", "3"]

    def test_a_quote_in_a_cell_is_itself(self) -> None:
        assert read('a;b\nL"a;"dit ""Bob"""\n""; x \n')[1:] == [['L"a', 'dit "Bob"'], ["", "x"]]

    def test_a_row_has_a_limited_number_of_lines(self) -> None:
        just = "\n" * (MOST_LINES - 1)
        assert read(f'a;b\n"x{just}y";2\n')[1] == [f"x{just}y", "2"]
        assert read(f'a;b\n"x{just}\ny";2\n')[1] == ("quote_not_closed", 2)


@each_row(
    ("content", "code"),
    [("", "file_empty"), ("\n\r\n ;;\n", "file_empty"), ("nom\nA\n", "no_delimiter"), ("\ufeff", "file_empty")],
)
def test_what_is_no_table(content: str, code: str) -> None:
    assert [item[0] for item in read(content)] == [code]


def test_the_header_of_a_beginning_that_is_cut_anywhere() -> None:
    raw = "Nom élève;Prénom\nÉlodie;É".encode()
    assert header_of(raw[:-1]) == ["Nom élève", "Prénom"]
    assert header_of("Nom élève;Prénom\n".encode("cp1252")) == ["Nom élève", "Prénom"]
    assert header_of(b"\x00\x01\x02") == []


@given(st.binary(max_size=400), st.sampled_from([None, "utf-8", "cp1252", "utf-16", "utf-7", "latin-1"]))
@example(b"a;b\n\xff\xfe", None)
def test_no_bytes_raise(content: bytes, encoding: str | None) -> None:
    found = list(read_rows(source(content), encoding))
    assert found
    assert isinstance(header_of(content), list)


_PIECES = st.lists(st.sampled_from(['"', '""', ";", "\n", "\r", "#", "é", " ", "\0", '"\n"', "#;#;#\n"]), max_size=80)


@given(_PIECES)
@example(['"', "\n", '"', ";", "#;#;#\n"])
def test_no_line_is_lost(pieces: list[str]) -> None:
    """Each line is in a row or is refused with one issue."""
    marks = iter(range(10_000))
    content = "h;i;j\n" + "".join(f"<{next(marks)}>" if char == "#" else char for char in "".join(pieces))
    found = list(read_rows(source(content)))
    seen = set(re.findall("<[0-9]+>", " ".join(cell for item in found if isinstance(item, Row) for cell in item.cells)))
    lost = [
        number
        for number, line in enumerate(io.StringIO(content, newline=None).read().split("\n"), 1)
        if set(re.findall("<[0-9]+>", line)) - seen
    ]
    refused = [item.place.line for item in found if isinstance(item, Issue)]
    assert len(lost) <= len(refused)
    for line in lost:
        assert any(line <= told < line + MOST_LINES for told in refused)


_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)


@given(st.lists(st.lists(_TEXT, min_size=3, max_size=3), max_size=8))
def test_what_a_csv_writer_wrote_is_read_again(rows: list[list[str]]) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=";")
    writer.writerow(["a", "b", "c"])
    writer.writerows(rows)
    expected = [[cell.strip() for cell in row] for row in rows]
    assert read(file.getvalue())[1:] == [row for row in expected if any(row)]
