"""Opening hours in the notation of OpenStreetMap: one rule of days and of one or two ranges of hours."""

import re
from dataclasses import dataclass
from datetime import time

_DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
_DAY = "|".join(_DAYS)
_HOURS = r"(?:[01]\d|2[0-3]):[0-5]\d-(?:[01]\d|2[0-3]):[0-5]\d"
_RULE = re.compile(rf"((?:{_DAY})(?:-(?:{_DAY})|(?:,(?:{_DAY}))*)) ({_HOURS}(?:,{_HOURS})?)")
_LOOKS_LIKE_RULE = re.compile(rf"(?:{_DAY})\b")


@dataclass(frozen=True)
class OpeningHours:
    """A rule that was read.

    Attributes:
        days: the days in order, Monday being 0.
        is_span: whether the notation gives the first and the last day.
        times: when it opens and closes, once or twice a day.
    """

    days: tuple[int, ...]
    is_span: bool
    times: tuple[time, ...]


def read(text: str) -> OpeningHours | None:
    """Return the rule that `text` states, such as `Mo-Fr 08:00-12:00,14:00-18:00`, or None for any other text."""
    match = _RULE.fullmatch(text)
    if match is None:
        return None
    days = tuple(_DAYS.index(day) for day in re.split("[-,]", match[1]))
    times = tuple(map(time.fromisoformat, re.split("[-,]", match[2])))
    if list(days) != sorted(set(days)) or list(times) != sorted(set(times)):
        return None
    return OpeningHours(days, "-" in match[1], times)


def check(text: str) -> str:
    """Check that a text that begins as the notation is a whole rule; other texts are shown as they are.

    Raises:
        ValueError: the rule cannot be read.
    """
    if _LOOKS_LIKE_RULE.match(text) and read(text) is None:
        raise ValueError(
            "must be days and one or two ranges of hours, such as Mo-Fr 08:00-18:00 or"
            " Mo,Tu,Th,Fr 08:30-12:00,13:30-17:00, or a text in French"
        )
    return text
