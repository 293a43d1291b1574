"""Rendering of the charter. The ENT renders the Markdown itself, because it does not trust the provider's HTML."""

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
    """Return the charter as HTML, without raw HTML and images, with headings that start at h2."""
    parser = MarkdownIt("commonmark", {"html": False}).disable("image")
    tokens = parser.parse(markdown)
    levels = [int(token.tag[1]) for token in tokens if token.type == "heading_open"]
    shift = 2 - min(levels, default=2)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + shift, _LOWEST)}"
    return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704 - markdown-it escapes all text, html is off


def french_date(moment: object) -> str:
    """Return the French date of an ISO 8601 instant, « 1er septembre 2026 », or an empty text if it is invalid."""
    try:
        day = datetime.fromisoformat(str(moment))
        day = day.astimezone(ZoneInfo("Europe/Paris")) if day.tzinfo else day
    except (ValueError, OverflowError, KeyError):  # KeyError: the machine has no time zone data
        return ""
    return f"{'1er' if day.day == 1 else day.day} {_MONTHS[day.month - 1]} {day.year}"
