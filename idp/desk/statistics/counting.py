"""Counts the figures of the académie and of each ENT once an hour, and replaces the stored ones.

What is stored is what may be shown: small numbers are hidden first (`suppression.protected`), then each number is
rounded down to tens. Two counts of one number therefore differ by tens, and their difference says about the change only
that it is less than ten more or less: nobody learns from two counts that three accounts were activated in between.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import delete, select, true

from idp.clients.models import Client, ClientSchool
from idp.clock import now
from idp.db import db, retry_unit_of_work, upsert
from idp.desk.statistics import figures, suppression
from idp.desk.statistics.figures import Row, Week
from idp.desk.statistics.models import StoredFigures
from idp.desk.statistics.suppression import Cell, Hidden
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Outcome

ACADEMY = "academy"
"""The scope of the académie."""
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


_Served = tuple[uuid.UUID, str, set[str]]
"""The key and the name of an ENT, with the schools that it serves."""


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
    """Return the sum of the shown numbers of each column, and whether it has all of them."""
    sums = []
    for column in zip(*lines, strict=True):
        shown = [cell for cell in column if isinstance(cell, int)]
        sums.append([*_stored([sum(shown) if shown else Hidden.MASKED]), len(shown) == len(column)])
    return sums


def _stored(cells: Iterable[Cell]) -> list[int | str]:
    return [cell.value if isinstance(cell, Hidden) else cell for cell in cells]


def _replace(scopes: Mapping[str, Mapping[str, Any]], counted_at: datetime) -> None:
    """Replace the figures of all scopes by those of this count, unless a later count was stored meanwhile."""
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
        [(name, _shown(cells)) for name, cells in tables["schools"]],
        _shown(tables["total"]),
        [(name, [(_cell(value), whole) for value, whole in sums]) for name, sums in tables["ents"]],
        [(date.fromisoformat(monday), _cell(value)) for monday, value in tables["weeks"]],
    )


def _shown(values: Iterable[int | str]) -> list[Cell]:
    return [_cell(value) for value in values]


def _cell(value: int | str) -> Cell:
    return value if isinstance(value, int) else Hidden(value)
