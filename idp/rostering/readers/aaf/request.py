"""Parses a request of the AAF: its act, its person or school, and the values of its attributes."""

from collections.abc import Iterable
from typing import NamedTuple

from idp.rostering.files.xml_stream import Element
from idp.rostering.readers.aaf.names import ACTS, KNOWN, kind_of
from idp.rostering.readers.xml_values import Reporter
from idp.rostering.records import Act, Issue, Place

_NAMED = ("attr", "modification")


class Request(NamedTuple):
    """A request.

    Attributes:
        key: The identifier in the file, or the empty text.
        kind: `STUDENT`, `GUARDIAN`, `SCHOOL`; empty for another category; None for a request without category.
        values: The texts of each attribute of the request, in the order of the file; an emptied one has no text.
        missing: The value of an attribute that the request does not have: the empty text; None in a partial request.
    """

    act: Act
    place: Place
    key: str
    kind: str | None
    values: dict[str, list[str]]
    missing: str | None

    def text(self, name: str, other: str = "") -> str | None:
        """Return the first text of `name`, or of `other` if the request has no `name`, or `missing`."""
        values = self.values.get(name)
        if values is None and (values := self.values.get(other)) is None:
            return self.missing
        return values[0] if values else ""

    def texts(self, name: str, other: str = "") -> list[str] | None:
        """Return all texts of `name` or `other`; None if a partial request has neither."""
        values = self.values.get(name)
        if values is None and (values := self.values.get(other)) is None:
            return None if self.missing is None else []
        return values


def parse(element: Element, reporter: Reporter) -> tuple[Request, list[Issue]]:
    """Return the request of an element, and issues for the parts that are unknown."""
    values: dict[str, list[str]] = {}
    issues: list[Issue] = []
    key = ""
    for (parent, attributes), (tag, own), text in element.leaves:
        if tag == "value" and parent in _NAMED:
            if parent == "modification" and (operation := _attribute(attributes, "operation")) not in {"", "replace"}:
                issues.append(_not_done(element.line, operation, reporter))
                continue
            name = attributes[1] if len(attributes) == 2 else _attribute(attributes, "name")  # noqa: PLR2004 - a pair
            if name not in values:
                values[name] = [text] if text else []
            elif text:
                values[name].append(text)
        elif tag == "id" and parent == "identifier":
            key = text
        elif tag in _NAMED:  # an attribute without value is emptied
            values.setdefault(_attribute(own, "name"), [])
        elif tag not in _ENVELOPE:
            issues += reporter.unknown(element.line, [tag])
    if not values.keys() <= KNOWN:
        issues += reporter.unknown(element.line, sorted(values.keys() - KNOWN))
    act = ACTS[element.node[0]]
    category = _first(values, ("categoriePersonne", "categorieStructure"))
    kind = None if category is None else kind_of(category)
    key = key or _first(values, ("ENTPersonJointure", "ENTStructureJointure")) or ""
    missing = "" if act is Act.PUT else None
    return Request(act, Place(reporter.file, element.line), key, kind, values, missing), issues


_ENVELOPE = {"operationalAttributes", "identifier", "attributes", "modifications"}


def _first(values: dict[str, list[str]], names: Iterable[str]) -> str | None:
    return next((values[name][0] for name in names if values.get(name)), None)


def _attribute(attributes: list[str], name: str) -> str:
    """Return the text of an XML attribute, or the empty text."""
    pairs = zip(attributes[::2], attributes[1::2], strict=True)
    return next((text for own, text in pairs if own == name), "")


def _not_done(line: int, operation: str, reporter: Reporter) -> Issue:
    message = f"La modification « {operation[:20]} » n’est pas connue : seul le remplacement (« replace ») l’est."
    return reporter.warning(line, "", "unknown_operation", message)
