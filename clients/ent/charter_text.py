"""The charter as the ENT shows it: its own rendering of the Markdown, for HTML made elsewhere is not to be trusted."""

from datetime import datetime
from zoneinfo import ZoneInfo

from markdown_it import MarkdownIt
from markupsafe import Markup

_MONTHS = (
    "janvier", "février", "mars", "avril", "mai", "juin",
    "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip
_LOWEST = 6


def render(markdown: str) -> Markup:
    """Return the charter as HTML: no HTML of its own, no picture from elsewhere, titles under the page's h1."""
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    tokens = parser.parse(markdown)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = 2 - min(levels, default=2)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + shift, _LOWEST)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - markdown-it escapes all text, html is off


def french_date(moment: object) -> str:
    """Return an ISO 8601 instant as a day in France, « 1er septembre 2026 »; empty when it cannot be read."""
    try:
        day = datetime.fromisoformat(str(moment))
        day = day.astimezone(ZoneInfo("Europe/Paris")) if day.tzinfo else day
    except (ValueError, OverflowError, KeyError):  # KeyError: a machine without the time zones' data
        return ""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"
