"""The tables of `/activation` in the scope of the person: a school sees them whole, others without small numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext, ngettext
from flask_babel import lazy_gettext as _l
from sqlalchemy import select

from idp.clients.models import Client, ClientSchool
from idp.db import db
from idp.desk import access
from idp.desk.staff.posts import AT_A_SCHOOL, AT_AN_ENT
from idp.desk.statistics import suppression
from idp.desk.statistics.suppression import Cell, Hidden
from idp.letters import figures
from idp.letters.figures import Row, State, Week

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


def of_states(key: str, title: str, first: str, rows: Sequence[Row], cells: Sequence[Sequence[Cell]]) -> Table:
    """Return the table of states of classes or schools; the last of `cells` are the totals."""
    head = [first, *(str(words) for words in STATES.values()), gettext("Comptes")]
    shown = [[in_words(cell) for cell in row] for row in cells]
    names = [[row.name or gettext("Sans classe")] for row in rows]
    body = [name + row for name, row in zip(names, shown, strict=False)]
    return Table(key, title, head, body, [gettext("Total"), *shown[-1]] if shown else [])


def cells_of(rows: Sequence[Row]) -> list[list[Cell]]:
    """Return the numbers of rows with totals, as the person may see them."""
    numbers = [row.counts for row in rows]
    if not sees_all():
        return suppression.protected(numbers)
    whole: list[list[Cell]] = [[*row, sum(row)] for row in numbers]
    return [*whole, [sum(column) for column in zip(*whole, strict=True)]] if whole else []


def classes() -> tuple[list[Row], Table]:
    """Return the figures of the classes of the person's school."""
    school = access.post().school
    rows = figures.by_class(school.id) if school else []
    return rows, of_states("classes", gettext("Par classe"), gettext("Classe"), rows, cells_of(rows))


def schools() -> tuple[Table, Table]:
    """Return the tables by school and by ENT. The figures of an ENT are sums of shown numbers only."""
    rows = figures.by_school(access.schools())
    cells = cells_of(rows)
    by_school = of_states("schools", gettext("Par établissement"), gettext("Établissement"), rows, cells)
    return by_school, _ents({row.key: line for row, line in zip(rows, cells, strict=False)})


def _ents(cells: Mapping[str, Sequence[Cell]]) -> Table:
    served = db.session.execute(
        select(Client.name, Client.id, ClientSchool.uai)
        .join(ClientSchool, ClientSchool.client_id == Client.id)
        .where(access.clients(), Client.disabled_at.is_(None))
        .order_by(Client.name, Client.id)
    ).all()
    lines: dict[Any, tuple[str, list[Sequence[Cell]]]] = {}
    for name, key, uai in served:
        lines.setdefault(key, (name, []))[1].extend([cells[uai]] if uai in cells else [])
    head = [gettext("ENT"), *(str(words) for words in STATES.values()), gettext("Comptes")]
    body = [[name, *_sums(rows)] for name, rows in lines.values()]
    return Table("ents", gettext("Par ENT"), head, body, [])


def _sums(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Return the sums of the shown numbers, « au moins » where a number is hidden."""
    return [_sum(column) for column in zip(*rows, strict=True)] if rows else ["–"] * (len(STATES) + 1)


def _sum(column: Sequence[Cell]) -> str:
    known = [cell for cell in column if isinstance(cell, int)]
    if len(known) == len(column):
        return in_words(sum(known))
    return str(gettext("au moins %(n)s", n=in_words(sum(known)))) if known else in_words(Hidden.MASKED)


def weeks() -> tuple[list[Week], list[Cell], Table]:
    """Return the activations by week. Outside a school there is no total, from which small numbers would follow."""
    everybody = access.role() not in AT_A_SCHOOL | AT_AN_ENT
    rows = figures.by_week(None if everybody else access.schools())
    numbers = [row.activated for row in rows]
    cells: list[Cell] = list(numbers) if sees_all() else suppression.alone(numbers)
    body = [[_week(row), in_words(cell)] for row, cell in zip(rows, cells, strict=True)]
    head = [gettext("Semaine du"), gettext("Mots de passe choisis pour la première fois")]
    total = [gettext("Total"), in_words(sum(numbers))] if sees_all() else []
    return rows, cells, Table("weeks", gettext("Par semaine"), head, body, total)


def _week(row: Week) -> str:
    return f"{row.monday:%d/%m/%Y}"


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
