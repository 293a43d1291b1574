"""`/activation` and its export: tables, and pictures that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from flask import Blueprint, Response, abort, request, url_for

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import FiguresExported
from idp.clock import now, today
from idp.db import unit_of_work
from idp.desk import access, naming
from idp.desk.access import Right, needs
from idp.desk.kept_forms import keeps
from idp.desk.statistics import figures, tables
from idp.desk.statistics.suppression import Cell
from idp.families.standing import Group
from idp.spreadsheet import rows_to_csv
from idp.web.redirects import render_page

WIDTH = 320
_LABELS = 72
_MARGIN = 10  # the letters of a name that the labels have room for
_ROW = 22
_HEIGHT = 120
_ACTIVE = Group.ACTIVE.value
_APART = 3  # the fewest weeks from one label to the next


@dataclass(frozen=True)
class Picture:
    """A picture: rectangles by place, size and the class of the style sheet; and texts by place."""

    height: int
    rectangles: Sequence[tuple[float, float, float, float, str]]
    labels: Sequence[tuple[float, float, str]]
    width: int = WIDTH


def of_classes(rows: Sequence[figures.Row]) -> Picture:
    """Return one bar for each class, divided by state; all have the same length."""
    rectangles, labels = [], []
    for i, row in enumerate(rows):
        y, x, scale = i * _ROW + 2, float(_LABELS), (WIDTH - _LABELS) / max(row.accounts, 1)
        labels.append((0, y + 13, row.name if len(row.name) <= _MARGIN else f"{row.name[: _MARGIN - 1]}…"))
        for state, count in zip(figures.STATES, row.counts, strict=True):
            if count:
                rectangles.append((round(x, 2), y, round(count * scale, 2), _ROW - 5, state.value))
            x += count * scale
    return Picture(len(rows) * _ROW, rectangles, labels)


def of_weeks(weeks: Sequence[tuple[date, Cell]]) -> Picture | None:
    """Return one column for each week; a hidden number has none. Return None if there is nothing to see."""
    numbers = [cell if isinstance(cell, int) else 0 for _, cell in weeks]
    if not any(numbers):
        return None
    most, step = max(numbers), WIDTH / len(weeks)
    rectangles, labels, labelled = [], [], -_APART
    for i, ((monday, _), number) in enumerate(zip(weeks, numbers, strict=True)):
        height = round((_HEIGHT - 14) * number / most, 2)
        rectangles.append((round(i * step + 1, 2), _HEIGHT - height, round(step - 2, 2), height, _ACTIVE))
        if i - labelled >= _APART and (i == 0 or monday.day <= 7):  # noqa: PLR2004 - days of a week
            labels.append((round(i * step + 1, 2), _HEIGHT + 14, f"{monday:%d/%m}"))
            labelled = i
    i = numbers.index(most)
    labels.append((min(round(i * step + 1, 2), WIDTH - 30.0), 10, str(most)))
    return Picture(_HEIGHT + 20, rectangles, labels)


blueprint = Blueprint("statistics", __name__)
_PAGE = 100


@blueprint.get("/activation")
@needs(Right.READ_STATISTICS)
def show() -> Response:
    """Show the present figures of the school by class, or the stored ones of the scope by school and ENT; by week."""
    number = min(max(request.args.get("page", 1, type=int), 1), 1000)
    nothing = {"weeks": None, "classes": None, "summary": "", "closed": 0, "at": None, "next": ""}
    shown = _figures(slice((number - 1) * _PAGE, number * _PAGE), url_for("statistics.show", page=number + 1))
    return render_page(
        "desk/statistics/activation.html",
        states=[(state.value, title) for state, title in zip(figures.STATES, tables.titles(), strict=True)],
        may_force=access.may(Right.FORCE_PASSWORDS),
        hides=not access.own_spec().is_at_school,
        **{**nothing, **shown},
    )


def _figures(schools: slice, following: str = "") -> dict[str, Any]:
    """Return what the page shows, with some of the schools of an ENT or the académie; `following` shows the next."""
    if access.own_spec().is_at_school:
        school = access.own_school()
        (rows, whole), weeks = figures.by_class(school.id), figures.by_week(School.id == school.id)
        return {
            "tables": tables.of_school(rows, whole, weeks),
            "weeks": of_weeks(weeks),
            "classes": of_classes(rows) if rows else None,
            "summary": tables.summary(whole),
            "closed": whole.closed,
            "at": now(),
        }
    stored = tables.of_scope()
    if stored is None:
        return {"tables": []}
    return {
        "tables": tables.of_figures(replace(stored, schools=stored.schools[schools])),
        "weeks": of_weeks(stored.weeks),
        "at": stored.counted_at,
        "next": following if stored.schools[schools.stop :] else "",
    }


@blueprint.post("/activation/export")
@needs(Right.READ_STATISTICS)
@keeps()
def export() -> Response:
    """Return a table of the person's page as a CSV file, with the numbers of the page and all schools."""
    key = request.form.get("table", "")
    table = next((table for table in _figures(slice(None))["tables"] if table.key == key), None)
    if table is None:
        abort(404)
    rows = [*table.rows, *([table.total] if table.total else [])]
    content = b"".join(rows_to_csv(table.head, ([_for_spreadsheet(cell) for cell in row] for row in rows)))
    with unit_of_work():
        log.record(FiguresExported(table=table.key))
    return naming.as_download(content, f"activation-{table.key}-{today().isoformat()}.csv", naming.CSV)


def _for_spreadsheet(cell: str) -> str:
    """Return a cell without the spaces that a page needs: a spreadsheet reads « 1 234 » as a text."""
    return cell.replace("\u202f", "").replace("\u00a0", " ")
