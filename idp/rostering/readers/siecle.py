"""Reads SIECLE's XML exports: `ElevesAvecAdresses.xml` and `ResponsablesAvecAdresses.xml`; the root says which.

The class comes after the pupil, and the address after the person, so that incomplete rows are held in memory. If a file
breaks off, held rows are refused: an incomplete pupil would look like a pupil without a class. A key is `siecle:` and
ELEVE_ID or PERSONNE_ID.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import date
from sys import intern
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from idp.accounts.models import Degree
from idp.rostering.files.xml_stream import Element, XmlStream
from idp.rostering.readers.values import (
    Reporter,
    civility_of,
    date_of,
    kinship_of,
    too_long,
    too_long_address,
    yes_or_no,
)
from idp.rostering.records import LONGEST, Form, Guardian, Issue, Link, Record, School, Student, StudentLink
from idp.uai import is_uai

if TYPE_CHECKING:
    from idp.rostering.files.sources import Source

_CLASS = "D"
_STUDENT_WORDS = """
ELEVE_ID ELENOET ID_NATIONAL INE_RNIE INE_BEA ID_ELEVE_ETAB NOM NOM_DE_FAMILLE NOM_USAGE PRENOM PRENOM2 PRENOM3
DATE_NAISS CODE_SEXE DATE_ENTREE DATE_SORTIE CODE_MOTIF_SORTIE CODE_REGIME CODE_MEF CODE_STATUT CODE_PROVENANCE
CODE_COMMUNE_INSEE_NAISS CODE_DEPARTEMENT_NAISS VILLE_NAISS CODE_PAYS CODE_PAYS_NAT CODE_PAYS_NAISS MEL
TEL_PERSONNEL TEL_PORTABLE TEL_PROFESSIONNEL ACCEPTE_SMS ADRESSE_ID DOUBLEMENT MAJEUR EMANCIPE ADHESION_TRANSPORT
CODE_BOURSE DATE_MODIFICATION TAILLE_FRATRIE
"""
_PERSON_WORDS = """
PERSONNE_ID NOM NOM_DE_FAMILLE NOM_USAGE PRENOM LC_CIVILITE LL_CIVILITE CODE_CIVILITE TEL_PERSONNEL TEL_PORTABLE
TEL_PROFESSIONNEL MEL ACCEPTE_SMS ADRESSE_ID CODE_PROFESSION CODE_SITUATION COMMUNICATION_ADRESSE NB_ENF_CHARGE
DATE_MODIFICATION
"""
_DATES = {"DATE_NAISS": "naissance", "DATE_SORTIE": "sortie"}
_NEW_AUTHORITIES = {"1": 1, "2": 2, "3": 3}
# `RESP_LEGAL` 1 and 2 were the first and the second legal representative; 0 was another person.
_OLD_AUTHORITIES = {"1": 1, "2": 1, "0": 3}

Fields = dict[str, str]


class _StudentRow(NamedTuple):
    line: int
    key: str
    family_name: str
    given_name: str
    birth_date: date | None
    left_on: date | None


class _PersonRow(NamedTuple):
    line: int
    key: str
    civility: str
    family_name: str
    birth_name: str
    given_name: str
    email: str
    address_diffusion: bool | None


class _Address(NamedTuple):
    lines: tuple[str, ...] = ()
    postcode: str = ""
    city: str = ""
    country: str = ""


_Row = TypeVar("_Row", _StudentRow, _PersonRow)


class _Content(ABC, Generic[_Row]):
    """The rows of a file. A row that waits for a later one is held in memory, as compactly as possible.

    Attributes:
        tags: The names of the rows that are read.
        known: The names of the fields of a person, read or ignored on purpose.
        refuses: The kind of the people, for the count of refused records.
        cut: Why a held row is refused if the file breaks off.
        school: The UAI of the school, or the empty text as long as it is unknown.
    """

    tags: frozenset[str]
    known: frozenset[str]
    refuses: str
    cut: str

    def __init__(self, reporter: Reporter, form: Form) -> None:
        self.school = ""
        self._reporter = reporter
        self._form = form
        self._has_parameters = False
        self._held: dict[str, list[_Row]] = {}

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
        """Yield the records of held rows at the end of a complete file: what they wait for is not there."""
        if not self._has_parameters:
            yield self._find_school(1, "")
        for rows in self._held.values():
            for row in rows:
                yield from self.release(row)

    def refuse_all(self) -> Iterator[Issue]:
        """Yield a refusal of each held row: the file broke off before it was complete."""
        for rows in self._held.values():
            for row in rows:
                yield self._refusal(row.line, row.key, "cut_off", self.cut)

    @abstractmethod
    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Read a row, and yield the records that it completes."""

    @abstractmethod
    def release(self, row: _Row) -> Iterator[Record]:
        """Yield the records of a row that is held to the end."""

    def _find_school(self, line: int, uai: str) -> Record:
        self.school = next((text for text in (uai, self._form.school or "") if is_uai(text)), "")
        if not self.school:
            message = "Le numéro UAI de l’établissement (UAJ) manque ou est faux : indiquez l’établissement."
            return self._reporter.error(line, "", "school_unknown", message)
        return School(place=self._reporter.place(line), key=self.school, uai=self.school, degree=Degree.SECONDARY)

    def _unknown(self, line: int, fields: Fields) -> list[Issue]:
        return [] if fields.keys() <= self.known else self._reporter.unknown(line, sorted(fields.keys() - self.known))

    def _refusal(self, line: int, key: str, code: str, message: str) -> Issue:
        return self._reporter.error(line, key, code, message, refuses=self.refuses)


class _Students(_Content[_StudentRow]):
    tags = frozenset(["ELEVE", "STRUCTURES_ELEVE"])
    known = frozenset(_STUDENT_WORDS.split())
    refuses = "student"
    cut = "Le fichier est coupé avant de dire la classe de cet élève : l’élève n’est pas pris."

    def __init__(self, reporter: Reporter, form: Form) -> None:
        super().__init__(reporter, form)
        self._classes: dict[str, str] = {}

    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Yield the issues of a pupil's row, or the pupils whose class is known now."""
        fields = fields_of(element)
        key = fields.get("ELEVE_ID", "")
        if tag == "ELEVE":
            yield from self._take_student(element.line, key, fields)
        elif (name := _class_name(element)) and len(key) <= LONGEST["key"]:
            self._classes.setdefault(key, intern(name[: LONGEST["class_name"] + 1]))
        if self.school and key in self._classes:
            for row in self._held.pop(key, ()):
                yield from self.release(row)

    def _take_student(self, line: int, key: str, fields: Fields) -> Iterator[Issue]:
        yield from self._unknown(line, fields)
        family_name = first_of(fields, "NOM_USAGE", "NOM_DE_FAMILLE", "NOM")
        given_name = fields.get("PRENOM", "")
        if not key:
            yield self._refusal(line, "", "no_key", "Cet élève n’a pas de numéro (ELEVE_ID) : l’élève n’est pas pris.")
        elif not family_name:
            yield self._refusal(line, key, "no_name", "Cet élève n’a pas de nom de famille : l’élève n’est pas pris.")
        elif sentence := too_long(
            (("key", f"siecle:{key}"), ("student_id", key), ("name", family_name), ("name", given_name))
        ):
            yield self._refusal(line, key, "too_long", sentence)
        else:
            days = {name: date_of(fields.get(name, "")) for name in _DATES}
            for name, label in _DATES.items():
                if fields.get(name) and days[name] is None:
                    message = f"La date de {label} n’est pas une date (JJ/MM/AAAA) : elle n’est pas prise."
                    yield self._reporter.warning(line, key, "bad_date", message)
            row = _StudentRow(line, key, family_name, given_name, days["DATE_NAISS"], days["DATE_SORTIE"])
            self._held.setdefault(key, []).append(row)

    def release(self, row: _StudentRow) -> Iterator[Record]:
        """Yield the pupil, without a class if the file has none."""
        class_name = self._classes.get(row.key, "")
        if not self.school:
            message = "L’établissement de cet élève n’est pas connu : l’élève n’est pas pris."
            yield self._refusal(row.line, row.key, "school_unknown", message)
        elif sentence := too_long([("class_name", class_name)]):
            yield self._refusal(row.line, row.key, "too_long", sentence)
        else:
            yield Student(
                place=self._reporter.place(row.line),
                key=f"siecle:{row.key}",
                school=self.school,
                student_id=row.key,
                family_name=row.family_name,
                given_name=row.given_name,
                birth_date=row.birth_date,
                class_name=class_name,
                left_on=row.left_on,
            )


class _Guardians(_Content[_PersonRow]):
    tags = frozenset(["PERSONNE", "RESPONSABLE_ELEVE", "ADRESSE"])
    known = frozenset(_PERSON_WORDS.split())
    refuses = "guardian"
    cut = "Le fichier est coupé avant de dire l’adresse de cette personne : elle n’est pas prise."

    def __init__(self, reporter: Reporter, form: Form) -> None:
        super().__init__(reporter, form)
        self._addresses: dict[str, _Address] = {}
        self._first_legal: dict[str, str] = {}

    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Yield a link, or the people whose address is known now."""
        fields = fields_of(element)
        if tag == "PERSONNE":
            yield from self._take_person(element.line, fields)
        elif tag == "RESPONSABLE_ELEVE":
            yield from self._take_link(element.line, fields)
        else:
            key = fields.get("ADRESSE_ID", "")
            if len(key) > LONGEST["key"]:
                return  # no person can have such a key
            postal_address = _address(fields)
            if rows := self._held.pop(key, None):
                for row in rows:
                    yield self._guardian(row, postal_address)
            else:
                self._addresses[key] = postal_address

    def release(self, row: _PersonRow) -> Iterator[Record]:
        """Yield a person whose address is not in the file."""
        message = "L’adresse de cette personne n’est pas dans le fichier : elle est prise sans adresse."
        yield self._reporter.warning(row.line, row.key, "address_missing", message)
        yield self._guardian(row, _Address())

    def _take_person(self, line: int, fields: Fields) -> Iterator[Record]:
        yield from self._unknown(line, fields)
        row = _PersonRow(
            line=line,
            key=fields.get("PERSONNE_ID", ""),
            civility=civility_of(first_of(fields, "LC_CIVILITE", "LL_CIVILITE")),
            family_name=first_of(fields, "NOM_USAGE", "NOM_DE_FAMILLE", "NOM"),
            birth_name=fields.get("NOM_DE_FAMILLE", ""),
            given_name=fields.get("PRENOM", ""),
            email=fields.get("MEL", ""),
            address_diffusion=yes_or_no(fields.get("COMMUNICATION_ADRESSE", "")),
        )
        where = fields.get("ADRESSE_ID", "")[: LONGEST["key"] + 1]
        if refusal := self._refuse(row):
            yield refusal
        elif not where or where in self._addresses:
            yield self._guardian(row, self._addresses.get(where, _Address()))
        else:
            self._held.setdefault(where, []).append(row)

    def _refuse(self, row: _PersonRow) -> Issue | None:
        if not row.key:
            message = "Cette personne n’a pas de numéro (PERSONNE_ID) : elle n’est pas prise."
            return self._refusal(row.line, "", "no_key", message)
        if not row.family_name:
            message = "Cette personne n’a pas de nom de famille : elle n’est pas prise."
            return self._refusal(row.line, row.key, "no_name", message)
        names = [("name", name) for name in (row.family_name, row.birth_name, row.given_name)]
        sentence = too_long([("key", f"siecle:{row.key}"), ("civility", row.civility), ("mail", row.email), *names])
        return self._refusal(row.line, row.key, "too_long", sentence) if sentence else None

    def _guardian(self, row: _PersonRow, postal_address: _Address) -> Record:
        _, postcode, city, country = postal_address
        sentence = too_long([("postcode", postcode), ("city", city), ("city", country)])
        if sentence := sentence or too_long_address(postal_address.lines):
            return self._refusal(row.line, row.key, "too_long", sentence)
        return Guardian(
            place=self._reporter.place(row.line),
            key=f"siecle:{row.key}",
            civility=row.civility,
            family_name=row.family_name,
            birth_name=row.birth_name,
            given_name=row.given_name,
            address_lines=postal_address.lines,
            postcode=postcode,
            city=city,
            country=country,
            email=row.email,
            address_diffusion=row.address_diffusion,
        )

    def _take_link(self, line: int, fields: Fields) -> Iterator[Record]:
        student, person = fields.get("ELEVE_ID", ""), fields.get("PERSONNE_ID", "")
        level, legal = fields.get("NIVEAU_RESPONSABILITE", ""), fields.get("RESP_LEGAL", "")
        authority = _NEW_AUTHORITIES.get(level) if level else _OLD_AUTHORITIES.get(legal)
        longest = max(len(student), len(person)) + len("siecle:")
        if not student or not person or longest > LONGEST["key"] or authority is None:
            message = "Ce lien entre un élève et un responsable n’est pas écrit comme prévu : il n’est pas pris."
            yield self._reporter.warning(line, student, "bad_link", message)
            return
        kinship = kinship_of(fields.get("CODE_PARENTE", ""))
        if kinship is None:
            message = "Le lien de parenté d’un responsable n’est pas un code connu."
            yield self._reporter.warning(line, student, "unknown_kinship", message)
        if not level and legal == "1" and self._first_legal.setdefault(student, person) != person:
            message = "Deux responsables de cet élève sont « légal 1 » : corrigez SIECLE. Les deux sont pris."
            yield self._reporter.warning(line, student, "two_first_legal", message)
        link = Link(f"siecle:{person}", kinship or "", authority)
        yield StudentLink(place=self._reporter.place(line), student=f"siecle:{student}", link=link)


_CONTENTS: Mapping[str, type[_Students | _Guardians]] = {
    "BEE_ELEVES": _Students,
    "BEE_EPHC_ELEVES": _Students,
    "BEE_RESPONSABLES": _Guardians,
    "BEE_EPHC_RESPONSABLES": _Guardians,
}
ROOTS = frozenset(_CONTENTS)  # the roots of the exports about families


def read(source: "Source", form: Form) -> Iterator[Record]:
    """Yield the records and the issues of a file; a bad file raises no exception."""
    reporter = Reporter(source.name)
    stream = XmlStream(source, _Students.tags | _Guardians.tags | {"PARAMETRES"})
    content: _Students | _Guardians | None = None
    for element in stream:
        if (content := content or _content(stream.root, reporter, form)) is None:
            break
        yield from content.take(element)
    content = content or _content(stream.root, reporter, form)
    if stream.refusal:
        yield stream.refusal
        if content:
            yield from content.refuse_all()
    elif content:
        yield from content.finish()
    elif stream.root.startswith("BEE_"):
        yield reporter.warning(1, "", "not_needed", "Cet export de SIECLE ne parle pas des familles : il est laissé.")
    else:
        yield reporter.error(
            1, "", "not_siecle", "Ce fichier n’est pas un export d’élèves ou de responsables de SIECLE."
        )


def _content(root: str, reporter: Reporter, form: Form) -> _Students | _Guardians | None:
    return _CONTENTS[root](reporter, form) if root in _CONTENTS else None


def fields_of(element: Element) -> Fields:
    """Return the fields of an element by name: its attributes and its children without children."""
    own = element.node
    attributes = own[1]
    fields = dict(zip(attributes[::2], (text.strip() for text in attributes[1::2]), strict=True))
    for parent, (tag, _), text in element.leaves:
        if parent is own and not fields.get(tag):
            fields[tag] = text
    return fields


def first_of(fields: Fields, *names: str) -> str:
    """Return the first field that is not empty, or the empty text."""
    return next((text for name in names if (text := fields.get(name))), "")


def _class_name(element: Element) -> str:
    groups: dict[int, Fields] = {}
    for parent, (tag, _), text in element.leaves:
        if parent[0] == "STRUCTURE":
            groups.setdefault(id(parent), {})[tag] = text
    return next((s.get("CODE_STRUCTURE", "") for s in groups.values() if s.get("TYPE_STRUCTURE") == _CLASS), "")


def _address(fields: Fields) -> _Address:
    """Return a postal address shortened for memory; one that is too long stays so, and is refused later."""
    lines = [line for number in range(1, 5) if (line := fields.get(f"LIGNE{number}_ADRESSE", ""))]
    city = first_of(fields, "LIBELLE_POSTAL", "LL_COMMUNE_INSEE", "COMMUNE_ETRANGERE")
    rest = (fields.get("CODE_POSTAL", ""), city, fields.get("LL_PAYS", ""))
    return _Address(
        tuple(line[: LONGEST["line"] + 1] for line in lines),
        *(value[: LONGEST["city"] + 1] for value in rest),
    )
