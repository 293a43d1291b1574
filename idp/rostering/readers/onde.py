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
from idp.rostering.readers.columns import Vocabulary, clean_headers, find_columns, issues_of
from idp.rostering.readers.csv_file import RowReader
from idp.rostering.records import Form, Issue, Place, Record, School, Severity
from idp.uai import SCHOOL_OPTION_IS_WRONG, is_uai, normalised_uai

PUPILS = Vocabulary(
    once={
        "nomeleve": "family_name",
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
        "nomresponsable": "family_name",
        "prenomresponsable": "given_name",
        "adresseresponsable": "address1",
        "cpresponsable": "postcode",
        "communeresponsable": "city",
        "pays": "country",
        "paysresponsable": "country",
        "courriel": "mail",
    },
    blocks={
        "nomdusageenfant": "usual_name",
        "nomusageenfant": "usual_name",
        "nomdefamilleenfant": "family_name",
        "nomenfant": "family_name",
        "prenomenfant": "given_name",
        "classesenfants": "class_name",
        "classesenfant": "class_name",
        "classeenfant": "class_name",
    },
    ignored={"telephonedomicile", "telephonetravail", "telephoneportable"},
)

_NEEDED = ("family_name", "given_name")
_MESSAGES = {
    "school_needed": "ONDE ne dit pas de quelle école vient le fichier : donnez son UAI.",
    "school_wrong": SCHOOL_OPTION_IS_WRONG,
    "columns_missing": "Il manque des colonnes de l’export d’ONDE : noms et prénoms d’élèves ou de responsables.",
}
_LOST_LINK = (
    "child_unreadable",
    "Le nom ou le prénom d’un enfant manque ou ne se lit pas : le lien avec lui n’est pas pris.",
)


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
    header = next(rows)
    if isinstance(header, Issue):
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
    reader = RowReader(
        "onde", columns, uai, Degree.PRIMARY, describes_children=False, lost_link=_LOST_LINK, schools={uai}
    )
    yield from reader.records(rows, source.name, has_pupils=pupils)


def _error(code: str, place: Place) -> Issue:
    return Issue(Severity.ERROR, place, "", code, _MESSAGES[code])
