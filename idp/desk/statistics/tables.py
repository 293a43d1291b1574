"""The tables of `/activation`: a school sees all its present numbers, others the stored ones (`counting`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l

from idp.accounts.models import School
from idp.desk import access
from idp.desk.staff.posts import AT_A_SCHOOL
from idp.desk.statistics import counting, suppression
from idp.desk.statistics.counting import Figures
from idp.desk.statistics.suppression import Cell, Hidden
from idp.letters import figures
from idp.letters.figures import Row, State

STATES: Mapping[State, Any] = {
    State.ACTIVATED: _l("Activés"),
    State.WAITING: _l("Mail à confirmer"),
    State.PRINTED: _l("Courrier imprimé"),
    State.EXPIRED: _l("Courrier expiré"),
    State.NEVER: _l("Jamais imprimé"),
    State.DISPUTED: _l("Contestés"),
}
"""The words for the states of an account."""


@dataclass(frozen=True)
class Table:
    """A table as it is shown and exported.

    Attributes:
        key: its name in URLs and in the journal.
        title: its title.
        head: the titles of the columns.
        rows: the cells, in words; the first of each row is its name.
        total: the last row, empty for a table without totals.
    """

    key: str
    title: str
    head: list[str]
    rows: list[list[str]]
    total: list[str]


def sees_all() -> bool:
    """Return whether the person works in a school, which knows its families and sees all numbers."""
    return access.role() in AT_A_SCHOOL


def in_words(cell: Cell) -> str:
    """Return a number, or the words in its place."""
    if cell is Hidden.SMALL:
        return str(gettext("moins de 10").replace(" ", "\u00a0"))
    if cell is Hidden.MASKED:
        return str(gettext("masqué"))
    return f"{cell:,}".replace(",", "\u202f")


def number(count: int) -> str:
    """Return a number of accounts of one school in words: a person outside the school sees it in tens."""
    cells: list[Cell] = [count] if sees_all() else suppression.rounded([suppression.alone([count])])[0]
    return in_words(cells[0])


def of_school(school: School) -> tuple[list[Row], list[tuple[date, int]], list[Table]]:
    """Return the present figures of a school by class and by week, and their tables."""
    rows, weeks = figures.by_class(school.id), figures.by_week(School.id == school.id)
    lines = [[*row.counts, row.accounts] for row in rows]
    names = [row.name or gettext("Sans classe") for row in rows]
    body = [[name, *map(in_words, line)] for name, line in zip(names, lines, strict=True)]
    sums = [gettext("Total"), *(in_words(sum(column)) for column in zip(*lines, strict=True))] if lines else []
    activated = [(week.monday, week.activated) for week in weeks]
    of_weeks = [gettext("Total"), in_words(sum(number for _, number in activated))]
    classes = Table("classes", gettext("Par classe"), _head(gettext("Classe")), body, sums)
    return rows, activated, [classes, _by_week(activated, of_weeks)]


def of_scope() -> Figures | None:
    """Return the stored figures of the person's scope, an ENT or the académie; None before the first count."""
    client = access.post().client
    return counting.stored(client.id.hex if client else counting.ACADEMY)


def of_figures(figures: Figures) -> list[Table]:
    """Return the tables of stored figures: by ENT, by school, by week without a total, which would not be rounded."""
    schools = [[name, *map(in_words, cells)] for name, cells in figures.schools]
    total = [gettext("Total"), *map(in_words, figures.total)] if figures.total else []
    nothing = ["–"] * (len(STATES) + 1)
    ents = [[name, *([_sum(*each) for each in sums] or nothing)] for name, sums in figures.ents]
    return [
        Table("ents", gettext("Par ENT"), _head(gettext("ENT")), ents, []),
        Table("schools", gettext("Par établissement"), _head(gettext("Établissement")), schools, total),
        _by_week(figures.weeks, []),
    ]


def _head(first: str) -> list[str]:
    return [first, *(str(words) for words in STATES.values()), gettext("Comptes")]


def _sum(cell: Cell, has_all: bool) -> str:  # noqa: FBT001 - a pair of the stored figures
    """Return a sum of shown numbers, « au moins » where a number is hidden."""
    is_known = has_all or isinstance(cell, Hidden)
    return in_words(cell) if is_known else str(gettext("au moins %(n)s", n=in_words(cell)))


def _by_week(weeks: Sequence[tuple[date, Cell]], total: list[str]) -> Table:
    head = [gettext("Semaine du"), gettext("Mots de passe choisis pour la première fois")]
    body = [[f"{monday:%d/%m/%Y}", in_words(cell)] for monday, cell in weeks]
    return Table("weeks", gettext("Par semaine"), head, body, total)


def summary(rows: Sequence[Row]) -> str:
    """Return « 412 comptes activés sur 530, soit 78 %. » for the person, and how many wait for a confirmation."""
    accounts, activated = sum(row.accounts for row in rows), sum(row.activated for row in rows)
    if not accounts:
        return str(gettext("Aucun compte. Importez d’abord le fichier de l’établissement."))
    waiting = sum(row.waiting for row in rows)
    more = ngettext(
        "%(num)s attend la confirmation de son adresse mail.",
        "%(num)s attendent la confirmation de leur adresse mail.",
        waiting,
    )
    return f"{_activated(accounts, activated)} {more}" if waiting else _activated(accounts, activated)


def _activated(accounts: int, activated: int) -> str:
    if not activated:
        return str(ngettext("Le compte n’est pas activé.", "Aucun des %(num)s comptes n’est activé.", accounts))
    return str(
        ngettext(
            "%(num)s compte activé sur %(all)s, soit %(percent)s %%.",
            "%(num)s comptes activés sur %(all)s, soit %(percent)s %%.",
            activated,
            all=accounts,
            percent=100 * activated // accounts,
        )
    )
