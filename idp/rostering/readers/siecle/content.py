"""Reads what both exports of SIECLE share: the school in the parameters, and fields by their names."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from idp.accounts.models import Degree
from idp.rostering.files.xml_stream import Element
from idp.rostering.readers.xml_values import Reporter
from idp.rostering.records import Form, Issue, Record, School
from idp.uai import is_uai

Fields = dict[str, str]


class Content(ABC):
    """The rows of a file. A row that waits for a later one is held in memory, as compactly as possible.

    Attributes:
        tags: The names of the rows that are read.
        school: The UAI of the school, or the empty text as long as it is unknown.
    """

    tags: frozenset[str]

    def __init__(self, reporter: Reporter, form: Form) -> None:
        self.reporter = reporter
        self.school = ""
        self._form = form
        self._has_parameters = False

    def take(self, element: Element) -> Iterator[Record]:
        """Read an element, and yield the records that it completes."""
        tag = element.node[0]
        if tag == "PARAMETRES":
            if not self._has_parameters:
                self._has_parameters = True
                yield self._find_school(element.line, fields_of(element).get("UAJ", ""))
        elif tag in self.tags:
            yield from self.take_row(tag, element)

    def finish(self) -> Iterator[Record]:
        """Yield the records of held rows at the end of a complete file."""
        if not self._has_parameters:
            yield self._find_school(1, "")
        yield from self.release_all()

    @abstractmethod
    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Read a row, and yield the records that it completes."""

    @abstractmethod
    def release_all(self) -> Iterator[Record]:
        """Yield the records of held rows: what they wait for is not in the file."""

    @abstractmethod
    def refuse_all(self) -> Iterator[Issue]:
        """Yield a refusal of each held row: the file broke off before it was complete."""

    def _find_school(self, line: int, uai: str) -> Record:
        """Return the school that the file or the operator names, or an error."""
        self.school = next((text for text in (uai, self._form.school or "") if is_uai(text)), "")
        if not self.school:
            message = "Le numéro UAI de l’établissement (UAJ) manque ou est faux : indiquez l’établissement."
            return self.reporter.error(line, "", "school_unknown", message)
        return School(place=self.reporter.place(line), key=self.school, uai=self.school, degree=Degree.SECONDARY)


def fields_of(element: Element) -> Fields:
    """Return the fields of an element by name: its attributes and its children without children."""
    own = element.node
    attributes = own[1]
    fields = dict(zip(attributes[::2], (text.strip() for text in attributes[1::2]), strict=True))
    for parent, (tag, _), text in element.leaves:
        if parent is own and not fields.get(tag):
            fields[tag] = text
    return fields


def groups_of(element: Element, name: str) -> list[Fields]:
    """Return the fields of each descendant called `name`."""
    groups: dict[int, Fields] = {}
    for parent, (tag, _), text in element.leaves:
        if parent[0] == name:
            groups.setdefault(id(parent), {})[tag] = text
    return list(groups.values())


def first_of(fields: Fields, *names: str) -> str:
    """Return the first field that is not empty, or the empty text."""
    return next((text for name in names if (text := fields.get(name))), "")
