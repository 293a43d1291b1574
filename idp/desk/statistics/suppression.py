"""Hides numbers under ten in a table with totals, and what would let a reader compute them.

Primary suppression hides each number under ten, zero included. Complementary suppression hides further numbers, so that
no hidden one follows from the totals:

- In a row or column whose total is shown, the hidden numbers include one of ten or more, and their sum leaves each
  small number any value from 0 to 9.
- A hidden number follows from the sums of rows and columns exactly if it is a bridge of the graph whose nodes are the
  rows and the columns and whose edges are the hidden numbers (Gusfield 1988). Numbers are hidden until no bridge is
  left.
"""

import enum
from collections.abc import Iterator, Sequence

THRESHOLD = 10


class Hidden(enum.Enum):
    """Why a number is not shown."""

    SMALL = "small"  # it is under ten
    MASKED = "masked"  # it would let a reader compute a small one


Cell = int | Hidden
_Place = tuple[int, int]
_Node = tuple[str, int]


def protected(rows: Sequence[Sequence[int]]) -> list[list[Cell]]:
    """Return the table with its totals, the last column and the last row, without what must not be shown."""
    if not rows:
        return []
    table = [[*row, sum(row)] for row in rows]
    table.append([sum(column) for column in zip(*table, strict=True)])
    hidden = {(i, j) for i, row in enumerate(table) for j, number in enumerate(row) if number < THRESHOLD}
    lines = list(_lines(len(table), len(table[0])))
    while True:
        for line in lines:
            _protect(table, line, hidden)
        if all(_is_safe(table, line, hidden) for line in lines):
            bridges = _bridges(hidden)
            if not any(_widen(table, place, hidden) for place in bridges):
                break
    return [[_cell(number, (i, j), hidden) for j, number in enumerate(row)] for i, row in enumerate(table)]


def rounded(cells: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """Return cells with each number rounded down to tens, so that two counts of it never differ by less than ten."""
    return [[cell if isinstance(cell, Hidden) else cell - cell % THRESHOLD for cell in row] for row in cells]


def alone(numbers: Sequence[int]) -> list[Cell]:
    """Return numbers that are shown without a total: those under ten are hidden."""
    return [number if number >= THRESHOLD else Hidden.SMALL for number in numbers]


def _cell(number: int, place: _Place, hidden: set[_Place]) -> Cell:
    if place not in hidden:
        return number
    return Hidden.SMALL if number < THRESHOLD else Hidden.MASKED


def _lines(height: int, width: int) -> Iterator[list[_Place]]:
    """Yield the rows and the columns; the last place of each is its total."""
    for i in range(height):
        yield [(i, j) for j in range(width)]
    for j in range(width):
        yield [(i, j) for i in range(height)]


def _protect(table: list[list[int]], line: list[_Place], hidden: set[_Place]) -> None:
    """Hide the smallest numbers of a line until it is safe, and its total at last."""
    *parts, total = line
    visible = sorted((table[i][j], (i, j)) for i, j in parts if (i, j) not in hidden)
    for place in [*(place for _, place in visible), total]:
        if _is_safe(table, line, hidden):
            return
        hidden.add(place)


def _is_safe(table: list[list[int]], line: list[_Place], hidden: set[_Place]) -> bool:
    """Return whether no small number of a line follows from the line alone."""
    *parts, total = line
    numbers = [table[i][j] for i, j in parts if (i, j) in hidden]
    if total in hidden:
        return bool(numbers)
    if not numbers:
        return True
    masked = sum(number >= THRESHOLD for number in numbers)
    return len(numbers) > 1 and masked > 0 and sum(numbers) >= THRESHOLD * masked + THRESHOLD - 1


def _widen(table: list[list[int]], place: _Place, hidden: set[_Place]) -> bool:
    """Hide one more number of the row of a bridge, or of its column; return False if all are hidden."""
    row, column = place
    more = [(row, j) for j in range(len(table[0]))], [(i, column) for i in range(len(table))]
    for line in more:
        visible = [(table[i][j], (i, j)) for i, j in line if (i, j) not in hidden]
        if visible:
            hidden.add(min(visible)[1])
            return True
    return False


def _bridges(hidden: set[_Place]) -> list[_Place]:
    """Return the bridges of the graph of hidden numbers (Tarjan's algorithm, without recursion)."""
    neighbours: dict[_Node, list[tuple[_Node, _Place]]] = {}
    for i, j in sorted(hidden):
        row, column = ("row", i), ("column", j)
        neighbours.setdefault(row, []).append((column, (i, j)))
        neighbours.setdefault(column, []).append((row, (i, j)))
    order: dict[_Node, int] = {}
    low: dict[_Node, int] = {}
    bridges: list[_Place] = []
    for root, first in neighbours.items():
        if root in order:
            continue
        order[root] = low[root] = len(order)
        stack: list[tuple[_Node, _Place | None, Iterator[tuple[_Node, _Place]]]] = [(root, None, iter(first))]
        while stack:
            node, entered, rest = stack[-1]
            for other, edge in rest:
                if edge == entered:
                    continue
                if other in order:
                    low[node] = min(low[node], order[other])
                else:
                    order[other] = low[other] = len(order)
                    stack.append((other, edge, iter(neighbours[other])))
                    break
            else:
                stack.pop()
                if stack and entered is not None:
                    above = stack[-1][0]
                    low[above] = min(low[above], low[node])
                    if low[node] > order[above]:
                        bridges.append(entered)
    return bridges
