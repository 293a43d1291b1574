"""Reads the sign-in form of a page, with all its hidden fields. A full HTML parser would cost the driver too much."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape

_FORM = re.compile(r"<form\b([^>]*)>(.*?)</form>", re.DOTALL | re.IGNORECASE)
_INPUT = re.compile(r"<input\b([^>]*)>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")


@dataclass(frozen=True)
class FilledIn:
    """A form to send: its target (empty for the page's own URL) and its fields."""

    action: str
    fields: dict[str, str]


def fill_in(page: bytes, values: Mapping[str, str]) -> FilledIn | None:
    """Return the first form that has a field of `values`, filled in; None if the page has no such form."""
    for attributes, content in _FORM.findall(page.decode("utf-8", "replace")):
        inputs = [_attributes(text) for text in _INPUT.findall(content)]
        if any(each.get("name") in values for each in inputs):
            fields = {each["name"]: each.get("value", "") for each in inputs if each.get("type") == "hidden"}
            fields |= {each["name"]: values[each["name"]] for each in inputs if each.get("name") in values}
            return FilledIn(_attributes(attributes).get("action", ""), fields)
    return None


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(text)}
