"""Pictures of the figures: coordinates for the SVG templates. The tables beside them say the same in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from idp.desk.statistics.figures import STATES, Row
from idp.desk.statistics.suppression import Cell
from idp.families.standing import Group

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
