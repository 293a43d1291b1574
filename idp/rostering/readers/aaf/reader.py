"""Reads the AAF (`ficAlimMENESR`), secondary (2D) and primary (1D), Complet and Delta (SDET annex on the AAF).

A request is about one school, one pupil or one guardian; requests about others (teachers, services) are skipped.
Attributes are read by their names in both vocabularies. An unknown name is reported once per file and not read (R-09).
A key is `aaf:` and the identifier.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from idp.accounts.models import Degree
from idp.rostering.files.xml_stream import Element, XmlStream
from idp.rostering.readers.aaf import names
from idp.rostering.readers.aaf.request import Request, parse
from idp.rostering.readers.aaf.student import StudentReader
from idp.rostering.readers.xml_values import Reporter, civility_of, too_long, too_long_address, yes_or_no
from idp.rostering.records import Act, Form, Format, Guardian, Record, School, Student
from idp.uai import is_uai

if TYPE_CHECKING:
    from idp.rostering.files.sources import Source


def read(source: "Source", form: Form) -> Iterator[Record]:
    """Yield the records and the issues of a file; a bad file raises no exception."""
    stream = XmlStream(source, frozenset(names.ACTS))
    reader = _Reader(source.name, form)
    seen = False
    for element in stream:
        seen = True
        yield from reader.records(element)
        if reader.is_lost:
            return
    if stream.refusal:
        yield stream.refusal
    elif not seen and stream.root != names.ROOT:
        yield reader.reporter.error(1, "", "not_aaf", "Ce fichier n’est pas un fichier de l’AAF (ficAlimMENESR).")


class _Reader:
    """Make records from the requests of one file. `is_lost` says that the file does not say its category."""

    def __init__(self, file: str, form: Form) -> None:
        self.reporter = Reporter(file)
        self.is_lost = False
        self._form = form
        self._students = StudentReader(self.reporter, form)
        self._kind_of_file = names.kind_of_file(file)

    def records(self, element: Element) -> list[Record]:
        """Return the records and the issues of a request."""
        request, issues = parse(element, self.reporter)
        kind = self._kind_of_file if request.kind is None else request.kind
        items: list[Record] = [*issues]
        if kind is None:
            self.is_lost = True
            message = (
                "Ni cette ligne ni le nom du fichier ne dit s’il s’agit d’élèves ou de responsables : il n’est pas lu."
            )
            items.append(self.reporter.error(element.line, request.key, "category_unknown", message))
        elif kind == names.SCHOOL:
            items.append(self._school(request))
        elif kind:
            items.append(self._person(request, kind))
            items += self._students.issues
            self._students.issues = []
        return items

    def _person(self, request: Request, kind: str) -> Record:
        key = f"aaf:{request.key}"
        is_student = kind == names.STUDENT
        if not request.key:
            return self._refusal(
                request, kind, "no_key", "Cette personne n’a pas d’identifiant : elle n’est pas prise."
            )
        if request.act is Act.DELETE:
            person = _leaving_student(request, key) if is_student else _leaving_guardian(request, key)
            sentence = too_long([("key", key)])
        else:
            person, sentence = self._students.student(request, key) if is_student else _guardian(request, key)
            if person.family_name == "":
                return self._refusal(
                    request, kind, "no_name", "Cette personne n’a pas de nom de famille : elle n’est pas prise."
                )
        return self._refusal(request, kind, "too_long", sentence) if sentence else person

    def _refusal(self, request: Request, kind: str, code: str, message: str) -> Record:
        return self.reporter.error(request.place.line, request.key, code, message, refuses=kind)

    def _school(self, request: Request) -> Record:
        """Return the school, or a warning if it cannot be taken: its pupils are refused one by one later."""
        key = f"aaf:{request.key}"
        uai = request.text("ENTStructureUAI") or request.text("ENTEtablissementUAI") or ""
        name = request.text("ENTStructureNomCourant") or ""
        postal_address = _school_address(request)
        phone = request.text("telephoneNumber", "ENTStructureTelephone") or ""
        sentence = too_long([("key", key), ("school_name", name), ("phone", phone)]) or too_long_address(postal_address)
        if not request.key:
            sentence = "Cet établissement n’a pas d’identifiant : il n’est pas pris."
        elif not sentence and not is_uai(uai) and (uai or request.act is Act.PUT):
            sentence = "Le numéro UAI de cet établissement manque ou est faux : il n’est pas pris."
        if sentence:
            return self.reporter.warning(request.place.line, request.key, "bad_school", sentence)
        return School(
            place=request.place,
            key=key,
            uai=uai,
            name=name,
            degree=self._degree(request),
            address_lines=postal_address,
            phone=phone,
            act=request.act,
        )

    def _degree(self, request: Request) -> Degree | None:
        if self._form.format is Format.AAF1D:
            return Degree.PRIMARY
        if structure_type := request.text("ENTStructureTypeStruct"):
            return Degree.PRIMARY if names.is_primary(structure_type) else Degree.SECONDARY
        return self._form.degree


def _guardian(request: Request, key: str) -> tuple[Guardian, str]:
    """Return the guardian, and a message if a field is too long."""
    text = request.text
    postal_address = text("ENTPersonAdresse")
    lines = None if postal_address is None else _lines(postal_address)
    title = text("personalTitle", "ENTPersonCivilite")
    guardian = Guardian(
        place=request.place,
        key=key,
        act=request.act,
        civility=title and civility_of(title),
        family_name=text("sn", "ENTPersonNom"),
        birth_name=text("ENTPersonNomPatro"),
        given_name=text("givenName", "ENTPersonPrenom"),
        address_lines=lines,
        postcode=text("ENTPersonCodePostal"),
        city=text("ENTPersonVille"),
        country=text("ENTPersonPays"),
        email=text("mail", "ENTPersonMail"),
        address_diffusion=yes_or_no(text("ENTPersonAdresseDiffusion") or ""),
    )
    sentence = too_long(
        (
            ("key", key),
            ("civility", guardian.civility),
            ("name", guardian.family_name),
            ("name", guardian.birth_name),
            ("name", guardian.given_name),
            ("postcode", guardian.postcode),
            ("city", guardian.city),
            ("city", guardian.country),
            ("mail", guardian.email),
        )
    )
    return guardian, sentence or (too_long_address(lines) if lines else "")


def _lines(postal_address: str) -> tuple[str, ...]:
    return tuple(line for part in postal_address.split("$") if (line := part.strip()))


def _leaving_student(request: Request, key: str) -> Student:
    return Student(
        place=request.place, key=key, act=Act.DELETE, school=None, student_id=None, family_name=None, given_name=None
    )


def _leaving_guardian(request: Request, key: str) -> Guardian:
    nothing = dict.fromkeys(
        ("civility", "family_name", "birth_name", "given_name", "postcode", "city", "country", "email")
    )
    return Guardian(place=request.place, key=key, act=Act.DELETE, address_lines=None, **nothing)


def _school_address(request: Request) -> tuple[str, ...]:
    """Return the lines of a school's address, the town with its postcode last."""
    street = request.text("street", "ENTStructureAdresse") or ""
    box = request.text("postOfficeBox", "ENTStructureBoitePostale") or ""
    postcode = request.text("postalCode", "ENTStructureCodePostal") or ""
    town = request.text("l", "ENTStructureVille") or ""
    return (*_lines(street), *_lines(box), *_lines(f"{postcode} {town}"))
