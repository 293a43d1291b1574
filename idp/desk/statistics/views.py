"""`/activation` and its export: tables, and pictures that say the same."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from flask import Blueprint, Response, make_response, render_template, request, url_for

from idp.accounts.models import School
from idp.audit import log
from idp.audit.desk_events import FiguresExported
from idp.clock import now, today
from idp.db import unit_of_work
from idp.desk import access, downloads
from idp.desk.access import Right, needs
from idp.desk.kept_forms import keeps
from idp.desk.statistics import tables
from idp.desk.statistics.figures import STATES, Row
from idp.desk.statistics.suppression import Cell
from idp.desk.statistics.tables import Table
from idp.families.standing import Group
from idp.spreadsheet import rows_to_csv
from idp.web.errors import not_found

WIDTH = 320
_LABELS = 72
_ROW = 22
_HEIGHT = 120
_ACTIVE = Group.ACTIVE.value
_APART = 3
"""The fewest weeks from one label to the next."""


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture; `kind` is its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    kind: str


@dataclass(frozen=True)
class Label:
    """A text of a picture."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture: its height, rectangles and labels."""

    height: int
    rectangles: list[Rectangle]
    labels: list[Label]
    width: int = WIDTH


def of_classes(rows: Sequence[Row]) -> Picture:
    """Return one bar for each class, divided by state; all have the same length."""
    rectangles, labels = [], []
    for i, row in enumerate(rows):
        y, x, scale = i * _ROW + 2, float(_LABELS), (WIDTH - _LABELS) / max(row.accounts, 1)
        labels.append(Label(0, y + 13, _short(row.name)))
        for state, count in zip(STATES, row.counts, strict=True):
            if count:
                rectangles.append(Rectangle(round(x, 2), y, round(count * scale, 2), _ROW - 5, state.value))
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
        rectangles.append(Rectangle(round(i * step + 1, 2), _HEIGHT - height, round(step - 2, 2), height, _ACTIVE))
        if i - labelled >= _APART and (i == 0 or monday.day <= 7):  # noqa: PLR2004 - days of a week
            labels.append(Label(round(i * step + 1, 2), _HEIGHT + 14, f"{monday:%d/%m}"))
            labelled = i
    i = numbers.index(most)
    labels.append(Label(min(round(i * step + 1, 2), WIDTH - 30.0), 10, str(most)))
    return Picture(_HEIGHT + 20, rectangles, labels)


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}…"  # noqa: PLR2004 - what the margin holds


blueprint = Blueprint("statistics", __name__)
_PAGE = 100


@blueprint.get("/activation")
@needs(Right.READ_STATISTICS)
def show() -> Response:
    """Show the present figures of the school by class, or the stored ones of the scope by school and ENT; by week."""
    page = _of_school(access.own_school()) if access.own_spec().is_at_school else _of_scope()
    context = {
        "states": [(state.value, title) for state, title in zip(STATES, tables.titles(), strict=True)],
        "may_force": access.may(Right.FORCE_PASSWORDS),
        "hides": not access.own_spec().is_at_school,
    }
    return make_response(render_template("desk/statistics/activation.html", **page, **context))


def _of_school(school: School) -> dict[str, Any]:
    shown = tables.of_school(school)
    return {
        "tables": shown.tables,
        "weeks": of_weeks(shown.weeks),
        "classes": of_classes(shown.rows) if shown.rows else None,
        "summary": tables.summary(shown.whole),
        "closed": shown.whole.closed,
        "at": now(),
        "next": "",
    }


def _of_scope() -> dict[str, Any]:
    figures = tables.of_scope()
    page: dict[str, Any] = {
        "tables": [],
        "weeks": None,
        "classes": None,
        "summary": "",
        "closed": 0,
        "at": None,
        "next": "",
    }
    if figures is None:
        return page
    number = min(max(request.args.get("page", 1, type=int), 1), 1000)
    shown = replace(figures, schools=figures.schools[(number - 1) * _PAGE : number * _PAGE])
    is_last = number * _PAGE >= len(figures.schools)
    return page | {
        "tables": tables.of_figures(shown),
        "weeks": of_weeks(figures.weeks),
        "at": figures.counted_at,
        "next": "" if is_last else url_for("statistics.show", page=number + 1),
    }


@blueprint.post("/activation/export")
@needs(Right.READ_STATISTICS)
@keeps()
def export() -> Response:
    """Return a table as a CSV file, with the numbers of the page."""
    table = _table(request.form.get("table", ""))
    if table is None:
        not_found()
    rows = [*table.rows, *([table.total] if table.total else [])]
    content = b"".join(rows_to_csv(table.head, ([_for_spreadsheet(cell) for cell in row] for row in rows)))
    with unit_of_work():
        log.record(FiguresExported(table=table.key))
    return downloads.as_download(content, f"activation-{table.key}-{today().isoformat()}.csv", downloads.CSV)


def _for_spreadsheet(cell: str) -> str:
    """Return a cell without the spaces that a page needs: a spreadsheet reads « 1 234 » as a text."""
    return cell.replace("\u202f", "").replace("\u00a0", " ")


def _table(key: str) -> Table | None:
    """Return a table that the person's page has, by its key."""
    if access.own_spec().is_at_school:
        shown = tables.of_school(access.own_school()).tables
    else:
        figures = tables.of_scope()
        shown = tables.of_figures(figures) if figures else []
    return next((table for table in shown if table.key == key), None)
