"""Reads the two CSV exports of ONDE, from a primary school: the pupils, and their guardians.

ONDE has no numbers. A key is made of the names, within the school that the operator names. A pupil's key has the family
name, the given name and the birth date, and not the class, which changes. The second file says the class of a child and
no birth date. All people in it are legal representatives. The postal addresses in the first file are the household's
and are not read.
"""

from collections.abc import Iterator

from idp.accounts.models import Degree
from idp.rostering.files.sources import Source
from idp.rostering.files.text import read_rows
from idp.rostering.readers.columns import (
    Cells,
    UnreadableCellError,
    Vocabulary,
    clean_headers,
    find_columns,
    issues_of,
    records_of,
)
from idp.rostering.readers.values import key_of_names
from idp.rostering.records import Form, Guardian, Issue, Link, Place, Record, School, Severity, Student, StudentLink
from idp.uai import SCHOOL_OPTION_IS_WRONG, is_uai, normalised_uai

PUPILS = Vocabulary(
    once={
        "nomeleve": "birth_name",
        "nomdusageeleve": "usual_name",
        "prenomeleve": "given_name",
        "datenaissance": "birth_date",
        "datedenaissance": "birth_date",
        "classe": "class_name",
    },
    blocks={},
    ignored={
        *("sexe", "cycle", "niveau", "regroupement", "ine", "libelleclasse"),
        *(f"{name}{number}" for name in ("adresse", "cp", "commune", "pays") for number in (1, 2)),
    },
)
GUARDIANS = Vocabulary(
    once={
        "civiliteresponsable": "civility",
        "nomusageresponsable": "usual_name",
        "nomdusageresponsable": "usual_name",
        "nomresponsable": "birth_name",
        "prenomresponsable": "given_name",
        "adresseresponsable": "postal_address",
        "cpresponsable": "postcode",
        "communeresponsable": "city",
        "pays": "country",
        "paysresponsable": "country",
        "courriel": "mail",
    },
    blocks={
        "nomdusageenfant": "usual_name",
        "nomusageenfant": "usual_name",
        "nomdefamilleenfant": "birth_name",
        "nomenfant": "birth_name",
        "prenomenfant": "given_name",
        "classesenfants": "class_name",
        "classesenfant": "class_name",
        "classeenfant": "class_name",
    },
    ignored={"telephonedomicile", "telephonetravail", "telephoneportable"},
)

_NEEDED = ("birth_name", "given_name")
_MESSAGES = {
    "school_needed": "ONDE ne dit pas de quelle école vient le fichier : donnez son UAI.",
    "school_wrong": SCHOOL_OPTION_IS_WRONG,
    "columns_missing": "Il manque des colonnes de l’export d’ONDE : noms et prénoms d’élèves ou de responsables.",
    "student_without_name": "Il manque le nom ou le prénom de l’élève : la ligne n’est pas prise.",
    "guardian_without_name": "Il manque le nom ou le prénom du responsable : la ligne n’est pas prise.",
    "child_unreadable": "Le nom ou le prénom d’un enfant manque ou ne se lit pas : le lien avec lui n’est pas pris.",
}


def is_onde(headers: list[str]) -> bool:
    """Return whether cleaned headers are those of one of the two exports."""
    return PUPILS.needs(headers, *_NEEDED) or GUARDIANS.needs(headers, *_NEEDED)


def read(source: Source, form: Form) -> Iterator[Record]:
    """Yield the school, then the pupil of each row, or the guardian and the links with the children."""
    uai = normalised_uai(form.school or "")
    if not is_uai(uai):
        yield _error("school_wrong" if uai else "school_needed", Place(source.name, 1))
        return
    rows = read_rows(source, form.encoding)
    header = next(rows, None)
    if header is None or isinstance(header, Issue):
        if header is not None:
            yield header
        return
    place = Place(source.name, header.line)
    headers = clean_headers(header.cells)
    pupils = PUPILS.needs(headers, *_NEEDED)
    columns = find_columns(headers, PUPILS if pupils else GUARDIANS)
    if not set(_NEEDED) <= columns.once.keys():
        yield _error("columns_missing", place)
        return
    yield from issues_of(columns, place)
    if columns.doubled:
        return
    yield School(place=place, key=uai, uai=uai, degree=Degree.PRIMARY)
    if pupils:
        yield from records_of(rows, columns, source.name, "student", lambda cells: [_student(cells, uai)])
    else:
        yield from records_of(rows, columns, source.name, "guardian", lambda cells: _family(cells, uai))


def _student(cells: Cells, uai: str) -> Student:
    birth_name, usual_name, given_name = _names(cells)
    if not (birth_name and given_name):
        raise _unfit("student_without_name")
    born = cells.day("birth_date")
    return Student(
        place=cells.place,
        key=key_of_names("onde", uai, birth_name, given_name, born=born),
        school=uai,
        family_name=usual_name,
        given_name=given_name,
        birth_date=born,
        class_name=cells.text("class_name", "class_name"),
    )


def _family(cells: Cells, uai: str) -> list[Record]:
    """Return a guardian and the links with the children."""
    birth_name, usual_name, given_name = _names(cells)
    if not (birth_name and given_name):
        raise _unfit("guardian_without_name")
    guardian = Guardian(
        place=cells.place,
        key=key_of_names("onde", uai, birth_name, usual_name, given_name),
        civility=cells.civility(),
        family_name=usual_name,
        birth_name=birth_name,
        given_name=given_name,
        address_lines=cells.lines("postal_address"),
        postcode=cells.text("postcode", "postcode"),
        city=cells.text("city", "city"),
        country=cells.text("country", "city"),
        email=cells.text("mail", "mail"),
    )
    return [guardian, *_links(cells, uai, guardian.key)]


def _links(cells: Cells, uai: str, guardian: str) -> Iterator[StudentLink]:
    for block in cells.columns.blocks:
        if not any(cells.raw(name, block) for name in block):
            continue
        try:
            birth_name, _, given_name = _names(cells, block)
        except UnreadableCellError:
            birth_name = given_name = ""
        if birth_name and given_name:
            key = key_of_names("onde", uai, birth_name, given_name)
            of_class = cells.raw("class_name", block)
            yield StudentLink(place=cells.place, student=key, link=Link(guardian), class_name=of_class)
        else:
            cells.warn("child_unreadable", _MESSAGES["child_unreadable"])


def _names(cells: Cells, block: dict[str, int] | None = None) -> tuple[str, str, str]:
    """Return the birth name, the usual name and the given name; one family name replaces a missing other one."""
    birth_name = cells.text("birth_name", "name", block)
    usual_name = cells.text("usual_name", "name", block)
    return birth_name or usual_name, usual_name or birth_name, cells.text("given_name", "name", block)


def _unfit(code: str) -> UnreadableCellError:
    return UnreadableCellError(code, _MESSAGES[code])


def _error(code: str, place: Place) -> Issue:
    return Issue(Severity.ERROR, place, "", code, _MESSAGES[code])
