"""What both exports of SIECLE have in common: the school in the parameters, and fields by their names."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from idp.accounts.models import Degree
from idp.rostering.files.xml_stream import Element
from idp.rostering.readers.xml_values import Reporter
from idp.rostering.records import Form, Issue, Record, School
from idp.uai import is_uai

Fields = dict[str, str]


class Content(ABC):
    """One file, row by row; what is not complete yet is held back, as compactly as it can be.

    Attributes:
        tags: The names of the rows that matter.
        school: The school's UAI; empty until it is known, and when it cannot be.
    """

    tags: frozenset[str]

    def __init__(self, reporter: Reporter, form: Form) -> None:
        self.reporter = reporter
        self.school = ""
        self._form = form
        self._has_parameters = False

    def take(self, element: Element) -> Iterator[Record]:
        """Yield what is complete now that `element` is there."""
        tag = element.node[0]
        if tag == "PARAMETRES":
            if not self._has_parameters:
                self._has_parameters = True
                yield self._find_school(element.line, fields_of(element).get("UAJ", ""))
        elif tag in self.tags:
            yield from self.take_row(tag, element)

    def finish(self) -> Iterator[Record]:
        """Yield what was held back, at the end of a whole file."""
        if not self._has_parameters:
            yield self._find_school(1, "")
        yield from self.release_all()

    @abstractmethod
    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Yield what is complete now that this row is there."""

    @abstractmethod
    def release_all(self) -> Iterator[Record]:
        """Yield what is held back still: what it was waiting for does not come."""

    @abstractmethod
    def refuse_all(self) -> Iterator[Issue]:
        """Yield a refusal of each row that is held back: the file broke off before it was complete."""

    def _find_school(self, line: int, uai: str) -> Record:
        """Return the school that the file names, or else the operator; an error when neither does."""
        self.school = next((text for text in (uai, self._form.school or "") if is_uai(text)), "")
        if not self.school:
            message = "Le numéro UAI de l’établissement (UAJ) manque ou est faux : indiquez l’établissement."
            return self.reporter.error(line, "", "school_unknown", message)
        return School(place=self.reporter.place(line), key=self.school, uai=self.school, degree=Degree.SECONDARY)


def fields_of(element: Element) -> Fields:
    """Return what an element says under each name: its own attributes, and its children that hold no others."""
    own = element.node
    attributes = own[1]
    fields = dict(zip(attributes[::2], (text.strip() for text in attributes[1::2]), strict=True))
    for parent, (tag, _), text in element.leaves:
        if parent is own and not fields.get(tag):
            fields[tag] = text
    return fields


def groups_of(element: Element, name: str) -> list[Fields]:
    """Return the fields of each element `name` inside of `element`."""
    groups: dict[int, Fields] = {}
    for parent, (tag, _), text in element.leaves:
        if parent[0] == name:
            groups.setdefault(id(parent), {})[tag] = text
    return list(groups.values())


def first_of(fields: Fields, *names: str) -> str:
    """Return the first of these fields that is not empty."""
    return next((text for name in names if (text := fields.get(name))), "")
