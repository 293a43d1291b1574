"""The tables of `/activation`: a school sees all its present numbers, others the stored ones.

Those of the académie and of each ENT are counted once an hour. What is stored is what may be shown: small numbers are
hidden first (`suppression.protected`), then each number is rounded down to tens. Two counts of one number therefore
differ by tens, and their difference says about the change only that it is less than ten more or less: nobody learns
from two counts that three accounts were activated in between.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from flask_babel import gettext, ngettext
from sqlalchemy import delete, select, true

from idp.clients.models import Client, ClientSchool
from idp.clock import now
from idp.db import db, retry_unit_of_work, upsert
from idp.desk import access, naming, words
from idp.desk.statistics import figures, suppression
from idp.desk.statistics.figures import STATES, Row, Week
from idp.desk.statistics.models import StoredFigures
from idp.desk.statistics.suppression import THRESHOLD, Cell, Hidden
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome

ACADEMY = "academy"
_SERVED = select(ClientSchool.client_id, ClientSchool.uai)


@dataclass(frozen=True)
class Figures:
    """The stored figures of a scope.

    Attributes:
        schools: the name of each school, with its numbers by state and their sum.
        total: the sums of the schools.
        ents: the name of each ENT, with the sums of the shown numbers of its schools, and whether each sum has all.
        weeks: the Monday of each week, with the number of activated accounts.
    """

    counted_at: datetime
    schools: list[tuple[str, list[Cell]]]
    total: list[Cell]
    ents: list[tuple[str, list[tuple[Cell, bool]]]]
    weeks: list[tuple[date, Cell]]


_Served = tuple[uuid.UUID, str, set[str]]  # the key and the name of an ENT, with the schools that it serves


def hand_over(_message: OutboxMessage) -> Outcome:
    """Count everything, and replace all stored figures at once (outbox handler of the periodic job)."""
    counted_at = now()
    rows, clients = figures.by_school(true()), _clients()
    everybody, by_client = figures.by_week_of_all(_SERVED)
    nobody = [(monday, 0) for monday, _ in everybody]
    scopes = {ACADEMY: _tables(rows, clients, everybody)}
    for key, name, uais in clients:
        of_client = [row for row in rows if row.key in uais]
        scopes[key.hex] = _tables(of_client, [(key, name, uais)], by_client.get(key, nobody))
    retry_unit_of_work(lambda: _replace(scopes, counted_at))
    return Outcome.DONE


def _clients() -> list[_Served]:
    served: dict[uuid.UUID, set[str]] = {}
    for key, uai in db.session.execute(_SERVED):
        served.setdefault(key, set()).add(uai)
    enabled = select(Client.id, Client.name).where(Client.disabled_at.is_(None)).order_by(Client.name, Client.id)
    return [(key, name, served.get(key, set())) for key, name in db.session.execute(enabled)]


def _tables(rows: Sequence[Row], clients: Iterable[_Served], weeks: Sequence[Week]) -> dict[str, Any]:
    cells = suppression.rounded(suppression.protected([row.counts for row in rows]))
    by_uai = {row.key: line for row, line in zip(rows, cells, strict=False)}
    numbers = suppression.rounded([suppression.alone([activated for _, activated in weeks])])[0]
    return {
        "schools": [[row.name, _stored(line)] for row, line in zip(rows, cells, strict=False)],
        "total": _stored(cells[-1]) if cells else [],
        "ents": [[name, _sums([by_uai[uai] for uai in uais & by_uai.keys()])] for _, name, uais in clients],
        "weeks": [[monday.isoformat(), *_stored([cell])] for (monday, _), cell in zip(weeks, numbers, strict=True)],
    }


def _sums(lines: Sequence[Sequence[Cell]]) -> list[list[Any]]:
    sums = []
    for column in zip(*lines, strict=True):
        shown = [cell for cell in column if isinstance(cell, int)]
        sums.append([*_stored([sum(shown) if shown else Hidden.MASKED]), len(shown) == len(column)])
    return sums


def _stored(cells: Iterable[Cell]) -> list[int | str]:
    return [cell.value if isinstance(cell, Hidden) else cell for cell in cells]


def _replace(scopes: Mapping[str, Mapping[str, Any]], counted_at: datetime) -> None:
    for scope, tables in sorted(scopes.items()):
        statement = upsert(StoredFigures).values(scope=scope, counted_at=counted_at, tables=tables)
        db.session.execute(
            statement.on_conflict_do_update(
                index_elements=[StoredFigures.scope],
                set_={"counted_at": statement.excluded.counted_at, "tables": statement.excluded.tables},
                where=StoredFigures.counted_at < statement.excluded.counted_at,
            )
        )
    former = StoredFigures.scope.not_in(scopes), StoredFigures.counted_at < counted_at
    db.session.execute(delete(StoredFigures).where(*former).execution_options(synchronize_session=False))


def stored(scope: str) -> Figures | None:
    """Return the figures of a scope, or None before its first count."""
    row = db.session.get(StoredFigures, scope, populate_existing=True)
    if row is None:
        return None
    tables = row.tables
    return Figures(
        row.counted_at,
        [(name, _cells(cells)) for name, cells in tables["schools"]],
        _cells(tables["total"]),
        [(name, [(_cell(value), whole) for value, whole in sums]) for name, sums in tables["ents"]],
        [(date.fromisoformat(monday), _cell(value)) for monday, value in tables["weeks"]],
    )


def _cells(values: Iterable[int | str]) -> list[Cell]:
    return [_cell(value) for value in values]


def _cell(value: int | str) -> Cell:
    return value if isinstance(value, int) else Hidden(value)


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
    return stored(client.id.hex if client else ACADEMY)


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
