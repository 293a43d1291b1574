"""R-04: files for spreadsheets contain no formulas."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.spreadsheet import guarded, rows_to_csv
from tests.rows import each_row


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
