"""The figures of the board: the accounts of each class by state, their sum, and a bar of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from idp.accounts import directory
from idp.accounts.models import Child, Guardianship, School
from idp.clock import now
from idp.db import db
from idp.desk.statistics import figures
from idp.desk.statistics.figures import STATES, Row
from idp.desk.words import GROUPS
from idp.families.standing import Group

_RARE = (Group.BLOCKED, Group.RELETTER)
"""The states after a change of passwords."""


@dataclass(frozen=True)
class Part:
    """A part of a bar, from `x`, in percent; `css` is the class of its state."""

    css: str
    x: float
    width: float


@dataclass(frozen=True)
class Cell:
    """The number of accounts in a state, with the name of the state."""

    state: Group
    title: str
    count: int


@dataclass(frozen=True)
class Line:
    """A line of the board.

    Attributes:
        name: the class; empty for pupils without a class.
        accounts: the number of accounts.
        cells: the number of accounts in each state.
        parts: the same as a bar.
        words: the same in words.
    """

    name: str
    accounts: int
    cells: list[Cell]
    parts: list[Part]
    words: str

    @property
    def has_unconfirmed(self) -> bool:
        """Whether a reminder has somebody to go to: an account whose mail address waits for its confirmation."""
        return any(cell.count for cell in self.cells if cell.state is Group.UNCONFIRMED)


@dataclass(frozen=True)
class Board:
    """The lines of the classes of a school, that of the whole school, and the states of its columns.

    `closed` is the number of accounts that are closed or closed, and so on no line.
    """

    lines: list[Line]
    whole: Line
    states: Sequence[Group]
    closed: int

    @property
    def titles(self) -> list[str]:
        """The names of the states, in the order of the cells."""
        return [_title(state) for state in self.states]

    @property
    def legend(self) -> list[tuple[str, str]]:
        """The class of the style sheet and the name of each state, for the legend of the bars."""
        return [(f"s-{state.value}", _title(state)) for state in self.states]


def of_school(school: School) -> Board:
    """Return the board of a school. Passwords that have to be changed, which are rare, have a column only then."""
    rows, whole = figures.by_class(school.id)
    counted = dict(zip(STATES, whole.counts, strict=True))
    states = [state for state in STATES if state not in _RARE or counted[state]]
    return Board([_line(row, states) for row in rows], _line(whole, states), states, whole.closed)


def leaves_out(school: School) -> bool:
    """Return whether an account counts in no line because each of its ties to pupils of the school is closed."""
    of_school = select(Guardianship.account_id).join(Child, Child.id == Guardianship.child_id)
    of_school = of_school.where(Child.school_id == school.id, Child.left_at.is_(None))
    moment = now()
    closed = set(db.session.scalars(of_school.where(Guardianship.is_unended, Guardianship.where_shut(moment))))
    if not closed:
        return False
    theirs = of_school.where(Guardianship.account_id.in_(closed), directory.counts_in_class(moment))
    return bool(closed.difference(db.session.scalars(theirs)))


def _line(row: Row, states: Sequence[Group]) -> Line:
    counted = dict(zip(STATES, row.counts, strict=True))
    cells = [Cell(state, _title(state), counted[state]) for state in states]
    words = ", ".join(f"{cell.title}\u00a0: {cell.count}" for cell in cells)
    return Line(row.key, row.accounts, cells, list(_parts(cells, row.accounts)), words)


def _title(state: Group) -> str:
    return str(GROUPS[state])


def _parts(cells: Sequence[Cell], accounts: int) -> Iterator[Part]:
    x = 0.0
    for cell in cells:
        width = round(100 * cell.count / max(accounts, 1), 2)
        if width:
            yield Part(f"s-{cell.state.value}", round(x, 2), width)
        x += width
