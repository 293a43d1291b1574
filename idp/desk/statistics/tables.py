"""The tables of `/activation`: a school sees all its present numbers, others the stored ones (`counting`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from flask_babel import gettext, ngettext

from idp.desk import access, naming, words
from idp.desk.statistics import counting, suppression
from idp.desk.statistics.counting import Figures
from idp.desk.statistics.figures import STATES, Row, Week
from idp.desk.statistics.suppression import THRESHOLD, Cell, Hidden


@dataclass(frozen=True)
class Table:
    """A table as it is shown and exported: its name in URLs and in the journal, and its cells in words.

    The first cell of each row is its name. `total` is the last row, empty for a table without totals.
    """

    key: str
    title: str
    head: list[str]
    rows: list[list[str]]
    total: list[str]


def in_words(cell: Cell) -> str:
    """Return a number, or the words in its place."""
    if cell is Hidden.SMALL:
        return str(gettext("moins de 10").replace(" ", "\u00a0"))
    if cell is Hidden.MASKED:
        return str(gettext("masqué"))
    return f"{cell:,}".replace(",", "\u202f")


def number(count: int) -> str:
    """Return a number of accounts of a school or an ENT in words: a person outside the school sees « de 10 à 19 »."""
    if access.own_spec().is_at_school:  # a school knows its families and sees all numbers
        return in_words(count)
    [[cell]] = suppression.rounded([suppression.alone([count])])
    if isinstance(cell, Hidden):
        return in_words(cell)
    return str(gettext("de %(least)s à %(most)s", least=in_words(cell), most=in_words(cell + THRESHOLD - 1)))


def of_school(rows: Sequence[Row], whole: Row, weeks: Sequence[Week]) -> list[Table]:
    """Return the tables of the present figures of a school: by class and by week."""
    body = [_line(naming.class_title(row.name), row) for row in rows]
    total = _line(gettext("Total"), whole) if rows else []
    of_weeks = [gettext("Total"), in_words(sum(activated for _, activated in weeks))]
    classes = Table("classes", gettext("Par classe"), _head(gettext("Classe")), body, total)
    return [classes, _by_week(weeks, of_weeks)]


def _line(name: str, row: Row) -> list[str]:
    return [name, *map(in_words, [*row.counts, row.accounts])]


def of_scope() -> Figures | None:
    """Return the stored figures of the person's scope, an ENT or the académie; None before the first count."""
    client = access.post().client
    return counting.stored(client.id.hex if client else counting.ACADEMY)


def of_figures(stored: Figures) -> list[Table]:
    """Return the tables of stored figures: by ENT, by school, by week without a total, which would not be rounded."""
    schools = [[name, *map(in_words, cells)] for name, cells in stored.schools]
    total = [gettext("Total"), *map(in_words, stored.total)] if stored.total else []
    nothing = ["–"] * (len(STATES) + 1)
    ents = [[name, *([_sum(*each) for each in sums] or nothing)] for name, sums in stored.ents]
    return [
        Table("ents", gettext("Par ENT"), _head(gettext("ENT")), ents, []),
        Table("schools", gettext("Par établissement"), _head(gettext("Établissement")), schools, total),
        _by_week(stored.weeks, []),
    ]


def _head(first: str) -> list[str]:
    return [first, *titles(), gettext("Comptes")]


def titles() -> list[str]:
    """Return the names of the states, in the order of the figures."""
    return [str(words.GROUPS[state]) for state in STATES]


def _sum(cell: Cell, has_all: bool) -> str:  # noqa: FBT001 - a pair of the stored figures
    """Return a sum of shown numbers, « au moins » where a number is hidden."""
    is_known = has_all or isinstance(cell, Hidden)
    return in_words(cell) if is_known else str(gettext("au moins %(n)s", n=in_words(cell)))


def _by_week(weeks: Sequence[tuple[date, Cell]], total: list[str]) -> Table:
    head = [gettext("Semaine du"), gettext("Mots de passe choisis pour la première fois")]
    body = [[f"{monday:%d/%m/%Y}", in_words(cell)] for monday, cell in weeks]
    return Table("weeks", gettext("Par semaine"), head, body, total)


def summary(whole: Row) -> str:
    """Return « 412 comptes activés sur 530, soit 78 %. » for the person, and how many wait for a confirmation."""
    accounts, activated, waiting = whole.accounts, whole.activated, whole.waiting
    if not accounts:
        return str(gettext("Aucun compte. Importez d’abord le fichier de l’établissement."))
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
            percent=_percent(activated, accounts),
        )
    )


def _percent(part: int, whole: int) -> int:
    """Return a share in percent, rounded; 100 for the whole alone, and 0 for nothing alone."""
    if part in {0, whole}:
        return 100 * part // whole
    return min(max((200 * part + whole) // (2 * whole), 1), 99)
