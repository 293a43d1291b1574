"""Reads a pupil of the AAF: school, class, leaving date, and guardians."""

from collections.abc import Sequence
from datetime import date

from idp.rostering.readers.aaf.request import Request
from idp.rostering.readers.xml_values import Reporter, date_of, kinship_of, too_long
from idp.rostering.records import LONGEST, Form, Format, Issue, Link, Student

_LINK_FIELDS = 6
_CLASS_FIELDS = (2, 5)
_AUTHORITIES = ("0", "1", "2", "3")
Class = tuple[str, str]
"""The key of a school, and the name of a class in it."""


class StudentReader:
    """Make pupils from requests; `issues` are those of the last pupil."""

    def __init__(self, reporter: Reporter, form: Form) -> None:
        self.issues: list[Issue] = []
        self._reporter = reporter
        self._is_primary = form.format is Format.AAF1D

    def student(self, request: Request, key: str) -> tuple[Student, str]:
        """Return the pupil, and a message if a field is too long."""
        self.issues = []
        schools = request.texts("ENTPersonStructRattach")
        school = None if schools is None else next(iter(schools), "")
        if schools is not None and len(schools) > 1:
            self._warn(request, "several_schools", "Cet élève a plusieurs établissements : seul le premier est pris.")
        student_id = request.text("ENTEleveStructRattachId")
        family_name = request.text("sn", "ENTPersonNom")
        given_name = request.text("givenName", "ENTPersonPrenom")
        class_name = self._class_name(request, school)
        links = self._links(request)
        sentence = too_long(
            (
                ("key", key),
                ("key", f"aaf:{school}" if school else ""),
                ("student_id", student_id),
                ("name", family_name),
                ("name", given_name),
                ("class_name", class_name),
            )
        )
        student = Student(
            place=request.place,
            key=key,
            act=request.act,
            school=f"aaf:{school}" if school else school,
            student_id=student_id,
            family_name=family_name,
            given_name=given_name,
            birth_date=self._date(request, "date de naissance", "ENTPersonDateNaissance"),
            class_name=class_name,
            left_on=self._date(request, "date de sortie", "ENTEleveDateSortie", "ENTPersonDateSortie"),
            links=links,
        )
        return student, sentence

    def _warn(self, request: Request, code: str, message: str) -> None:
        self.issues.append(self._reporter.warning(request.place.line, request.key, code, message))

    def _date(self, request: Request, label: str, *names: str) -> date | None:
        if not (text := request.text(*names)):
            return None
        if (day := date_of(text)) is None:
            self._warn(request, "bad_date", f"La {label} n’est pas une date (JJ/MM/AAAA) : elle n’est pas prise.")
        return day

    def _class_name(self, request: Request, school: str | None) -> str | None:
        """Return the class in the pupil's school; a pupil may have classes in several schools."""
        values = request.texts("ENTEleveClasses", "ENTPersonClasses")
        if not values:
            return None if values is None else ""
        classes = [fields for value in values if (fields := self._class(request, value))]
        if not classes:
            return ""
        if school is None and len({structure for structure, _ in classes}) > 1:
            self._warn(
                request,
                "class_of_which_school",
                "L’élève a des classes dans plusieurs établissements : aucune n’est prise.",
            )
            return None
        mine = [name for structure, name in classes if school is None or structure == school]
        if not mine:
            self._warn(
                request,
                "class_of_other_school",
                "La classe de cet élève est d’un autre établissement : elle n’est pas prise.",
            )
        return next(iter(mine), "")

    def _class(self, request: Request, value: str) -> Class | None:
        """Parse `structure$CLASS`, or in the 1D `structure$?$?$classKey$className`."""
        fields = value.split("$", 5)
        if len(fields) not in _CLASS_FIELDS:
            self._warn(
                request, "bad_class", "La classe de cet élève n’est pas écrite comme prévu : elle n’est pas prise."
            )
            return None
        return fields[0].strip(), fields[-1].strip()

    def _links(self, request: Request) -> tuple[Link, ...] | None:
        is_primary = self._is_primary or "ENTPersonNom" in request.values
        if is_primary and "ENTElevePersRelEleve" not in request.values:
            values = request.values.get("ENTEleveAutoriteParentale")
            if values is not None:
                parents = (value.partition("$")[0].strip() for value in values)
                return tuple(link for parent in parents if (link := self._link(request, parent, "", "1")))
        values = request.texts("ENTElevePersRelEleve")
        return None if values is None else self._full_links(request, values)

    def _full_links(self, request: Request, values: Sequence[str]) -> tuple[Link, ...]:
        """Parse values of the form `parentKey$kinship$financial$authority$contact$payment`."""
        links = []
        for value in values:
            fields = value.split("$", _LINK_FIELDS)
            if len(fields) != _LINK_FIELDS:
                fields = ["", "", "", ""]
            if link := self._link(request, fields[0].strip(), fields[1].strip(), fields[3].strip()):
                links.append(link)
        return tuple(links)

    def _link(self, request: Request, parent: str, kinship: str, authority: str) -> Link | None:
        key = f"aaf:{parent}"
        if not parent or len(key) > LONGEST["key"] or authority not in _AUTHORITIES:
            self._warn(
                request, "bad_link", "Un responsable de cet élève n’est pas écrit comme prévu : ce lien n’est pas pris."
            )
            return None
        code = kinship_of(kinship)
        if code is None:
            self._warn(request, "unknown_kinship", "Le lien de parenté d’un responsable n’est pas un code connu.")
        return Link(key, code or "", int(authority))
