"""No number under ten follows from a table without small numbers."""

import itertools
import random
from collections.abc import Sequence
from fractions import Fraction

from idp.desk.statistics.suppression import THRESHOLD, Cell, Hidden, alone, protected, rounded
from tests.rows import each_row


def with_totals(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return a table with its sums."""
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
