"""The figures of the board: the accounts of each class by state, their sum, and a bar of each."""

from collections.abc import Iterator
from dataclasses import dataclass

from idp.accounts.models import School
from idp.desk.statistics.tables import STATES
from idp.letters import figures
from idp.letters.figures import Row, State


@dataclass(frozen=True)
class Part:
    """A part of a bar, from `x`, in percent; `css` is the class of its state."""

    css: str
    x: float
    width: float


@dataclass(frozen=True)
class Line:
    """A line of the board.

    Attributes:
        name: the class; empty for pupils without a class.
        accounts: the number of accounts.
        cells: the number of accounts in each state, with the name of the state.
        parts: the same as a bar.
        words: the same in words.
    """

    name: str
    accounts: int
    cells: list[tuple[str, int]]
    parts: list[Part]
    words: str


def of_school(school: School) -> tuple[list[Line], Line]:
    """Return the lines of the classes of a school, and that of the whole school."""
    rows = figures.by_class(school.id)
    sums = [sum(row.counts[place] for row in rows) for place in range(len(State))]
    return [_line(row) for row in rows], _line(Row("", "", sums))


def titles() -> list[str]:
    """Return the names of the states, in the order of the cells."""
    return [str(STATES[state]) for state in State]


def _line(row: Row) -> Line:
    cells = list(zip(titles(), row.counts, strict=True))
    words = ", ".join(f"{title}\u00a0: {count}" for title, count in cells)
    return Line(row.key, row.accounts, cells, list(_parts(row)), words)


def _parts(row: Row) -> Iterator[Part]:
    x = 0.0
    for state, count in zip(State, row.counts, strict=True):
        width = round(100 * count / max(row.accounts, 1), 2)
        if width:
            yield Part(f"s-{state.value}", round(x, 2), width)
        x += width


def legend() -> list[tuple[str, str]]:
    """Return the class and the name of each state, for the legend of the bars."""
    return [(f"s-{state.value}", str(STATES[state])) for state in State]
