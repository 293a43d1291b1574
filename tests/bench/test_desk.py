"""The part of the bench about the desk: its terms and its table."""

import random

from bench.desk import measure
from bench.desk.measure import Measured
from tests.rows import each_row


@each_row("name", ["BERNARD", "LEROY", "NGUYENVAN", "BARREAU"])
def test_a_mistyped_name_has_two_neighbours_exchanged(name: str) -> None:
    draw = random.Random(1)
    for _ in range(20):
        typed = measure._mistyped(name, draw)
        assert sorted(typed) == sorted(name)
        assert typed[:2] == name[:2]
        assert sum(a != b for a, b in zip(typed, name, strict=True)) == 2


def test_the_table_names_what_is_above_its_goal() -> None:
    table = measure._table([Measured("search", [10.0] * 19 + [70.0], 50.0), Measured("board", [10.0, 12.0], 100.0)])
    _, search, board = table.splitlines()
    assert search.endswith("above its goal")
    assert "10.0" in search
    assert not board.endswith("above its goal")
