"""Reads a plain CSV file of families, with the headers that ENTs use: a row is a guardian or a pupil.

The headers decide which. A file of guardians is enough if it names the children and their classes. The key of a person
is the file's number, or a digest of the names, within the school: the column `uai` or the school that the operator
names. An unknown column is reported and not read (R-09).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from idp.accounts.models import Degree
from idp.rostering.files.sources import Source
from idp.rostering.files.text import Row, read_rows
from idp.rostering.readers import values
from idp.rostering.readers.columns import (
    Cells,
    Columns,
    UnreadableCellError,
    Vocabulary,
    checked,
    clean_headers,
    find_columns,
    issues_of,
    records_of,
)
from idp.rostering.records import (
    LONGEST,
    Form,
    Guardian,
    Issue,
    Link,
    Place,
    Record,
    School,
    Severity,
    Student,
    StudentLink,
)
from idp.uai import SCHOOL_OPTION_IS_WRONG, is_uai, normalised_uai

_PERSON = {
    "id": "id",
    "externalid": "id",
    "nom": "family_name",
    "nomdefamille": "family_name",
    "lastname": "family_name",
    "nomdusage": "usual_name",
    "nomusage": "usual_name",
    "prenom": "given_name",
    "firstname": "given_name",
    "uai": "uai",
}
_RIGHTS = {"autorite": "authority", "niveauresponsabilite": "authority", "parente": "kinship", "lien": "kinship"}
_PHONES = {"telephone", "telephonedomicile", "telephonetravail", "telephoneportable", "portable", "mobile"}
PUPILS = Vocabulary(
    once={
        **_PERSON,
        **_RIGHTS,
        "datedenaissance": "birth_date",
        "datenaissance": "birth_date",
        "birthdate": "birth_date",
        "classe": "class_name",
        "datedesortie": "left_on",
        "datesortie": "left_on",
    },
    blocks={"persreleleve": "guardian", "relative": "guardian", "idresponsable": "guardian", **_RIGHTS},
    ignored={"ine", "niveau", "sexe", "profil", "type"},
)
GUARDIANS = Vocabulary(
    once={
        **_PERSON,
        **_RIGHTS,
        "civilite": "civility",
        "adresse": "address1",
        **{f"adresse{number}": f"address{number}" for number in range(1, 6)},
        "cp": "postcode",
        "codepostal": "postcode",
        "commune": "city",
        "ville": "city",
        "pays": "country",
        "email": "mail",
        "courriel": "mail",
        "mail": "mail",
    },
    blocks={
        "idenfant": "id",
        "childid": "id",
        "nomenfant": "family_name",
        "prenomenfant": "given_name",
        "classeenfant": "class_name",
        "datenaissanceenfant": "birth_date",
        "datedenaissanceenfant": "birth_date",
        **_RIGHTS,
    },
    ignored={*_PHONES, "profil", "type"},
)

_ADDRESS = tuple(f"address{number}" for number in range(1, 6))
_OF_PUPILS = {"birth_date", "class_name", "left_on"}
_OF_GUARDIANS = {"civility", "postcode", "city", "mail", *_ADDRESS}
_MOST_REMEMBERED = 50_000

_MESSAGES = {
    "school_needed": "Le fichier ne dit pas de quel établissement il vient : donnez son UAI.",
    "school_wrong": SCHOOL_OPTION_IS_WRONG,
    "columns_missing": "Les colonnes ne sont pas celles d’un fichier d’élèves ou de responsables : il faut au moins "
    "« nom », « prenom », et « classe » pour des élèves, ou « idenfant » pour des responsables.",
    "row_without_school": "Cette ligne ne dit pas de quel établissement elle vient, ou son UAI est faux.",
    "student_without_name": "Il manque le nom ou le prénom de l’élève : la ligne n’est pas prise.",
    "guardian_without_name": "Il manque le nom ou le prénom du responsable : la ligne n’est pas prise.",
    "child_without_name": "Il manque le nom ou le prénom d’un enfant de cette ligne : l’enfant n’est pas pris.",
    "link_unreadable": "Le numéro d’un enfant ou d’un responsable ne se lit pas : le lien n’est pas pris.",
    "authority_unclear": "Le niveau de responsabilité n’est pas clair (1, 2, 3 ou 0) : aucun droit n’en est tiré.",
    "kinship_unknown": "Le lien de parenté n’est pas connu : il est laissé vide.",
}


def kind_of(headers: list[str]) -> Vocabulary | None:
    """Return the vocabulary of a file with these cleaned headers; None if it is not a file of families."""
    if not PUPILS.needs(headers, "family_name", "given_name"):
        return None
    of_guardians = find_columns(headers, GUARDIANS)
    of_pupils = find_columns(headers, PUPILS)
    if _have(of_guardians, "id", "family_name"):
        return GUARDIANS
    if _have(of_pupils, "guardian") or _OF_PUPILS & of_pupils.once.keys():
        return PUPILS
    return GUARDIANS if _OF_GUARDIANS & of_guardians.once.keys() else None


def read(source: Source, form: Form) -> Iterator[Record]:
    """Yield the schools, pupils, guardians and links of a CSV file."""
    rows = read_rows(source, form.encoding)
    header = next(rows)
    if isinstance(header, Issue):
        yield header
        return
    place = Place(source.name, header.line)
    headers = clean_headers(header.cells)
    vocabulary = kind_of(headers)
    school = normalised_uai(form.school or "")
    code = ""
    if school and not is_uai(school):
        code = "school_wrong"
    elif not school and not PUPILS.needs(headers, "uai"):
        code = "school_needed"
    elif vocabulary is None:
        code = "columns_missing"
    if code or vocabulary is None:
        yield Issue(Severity.ERROR, place, "", code, _MESSAGES[code])
        return
    columns = find_columns(headers, vocabulary)
    yield from issues_of(columns, place)
    if columns.doubled:
        return
    reader = RowReader("csv", columns, school, form.degree)
    yield from reader.records(rows, source.name, has_pupils=vocabulary is PUPILS)


def _have(columns: Columns, *names: str) -> bool:
    return any(name in block for block in columns.blocks for name in names)


@dataclass(slots=True)
class RowReader:
    """Make records from the rows of one file.

    Attributes:
        source: The beginning of the keys.
        school: The UAI of the rows that do not name their school.
        degree: That of new schools.
        describes_children: Whether the row of a guardian may describe pupils of whom there is no other row.
        lost_link: The code and the message if a child in the row of a guardian cannot be read.
        schools: The schools that were yielded.
    """

    source: str
    columns: Columns
    school: str
    degree: Degree | None
    describes_children: bool = True
    lost_link: tuple[str, str] = ("link_unreadable", _MESSAGES["link_unreadable"])
    schools: set[str] = field(default_factory=set)
    pupils: set[tuple[str, ...]] = field(default_factory=set)

    def records(self, rows: Iterable[Row | Issue], file: str, *, has_pupils: bool) -> Iterator[Record]:
        """Yield the records of the rows of a file, which has pupils or guardians."""
        kind, make = ("student", self.pupil) if has_pupils else ("guardian", self.family)
        return records_of(rows, self.columns, file, kind, make)

    def pupil(self, cells: Cells) -> Iterator[Record]:
        """Yield the school if it is new, the pupil, and the links of the row."""
        uai = self._uai(cells)
        family_name, usual_name, given_name = _names(cells, "student_without_name")
        number, born = cells.text("id", "key"), cells.day("birth_date")
        student = Student(
            place=cells.place,
            key=self._key(uai, number, family_name, given_name, born=born),
            school=uai,
            student_id=_student_id(number),
            family_name=usual_name or family_name,
            given_name=given_name,
            birth_date=born,
            class_name=cells.text("class_name", "class_name"),
            left_on=cells.day("left_on"),
        )
        yield from self._new_school(uai, cells.place)
        yield student
        for block in self.columns.blocks:
            if not cells.raw("guardian", block):
                continue
            try:
                guardian = self._key(uai, cells.text("guardian", "key", block))
            except UnreadableCellError:
                cells.warn("link_unreadable", _MESSAGES["link_unreadable"])
            else:
                link = _link(cells, guardian, block)
                yield StudentLink(place=cells.place, student=student.key, link=link, birth_date=born)

    def family(self, cells: Cells) -> Iterator[Record]:
        """Yield the children that the row describes, then the guardian and the links.

        The children come first because they are pupils even if the guardian's cells cannot be read.
        """
        uai = self._uai(cells)
        yield from self._new_school(uai, cells.place)
        children: list[tuple[StudentLink, dict[str, int]]] = []
        for block in self.columns.blocks:
            for record in self._child(cells, uai, block):
                if isinstance(record, Student):
                    yield from self._new_pupil(record)
                elif isinstance(record, Issue):
                    yield record
                else:
                    children.append((record, block))
        guardian = self._guardian(cells, uai)
        yield guardian
        for child, block in children:
            yield replace(child, link=_link(cells, guardian.key, block))

    def _child(self, cells: Cells, uai: str, block: Mapping[str, int]) -> Iterator[Student | Issue | StudentLink]:
        """Yield the pupil if the row describes the child, then the link, which has no guardian yet."""
        if not any(cells.raw(name, block) for name in ("id", "family_name", "usual_name", "given_name", "class_name")):
            return
        described = self.describes_children and "class_name" in block and "family_name" in block
        try:
            number = cells.text("id", "key", block)
            missing = "child_without_name" if described or not number else ""
            family_name, _, given_name = _names(cells, missing, block)
            class_name = cells.text("class_name", "class_name", block) if described else ""
            born = cells.day("birth_date", block)
            if described:
                yield Student(
                    place=cells.place,
                    key=self._key(uai, number, family_name, given_name, born=born),
                    school=uai,
                    student_id=_student_id(number),
                    family_name=family_name,
                    given_name=given_name,
                    birth_date=born,
                    class_name=class_name,
                    is_second_hand=True,
                )
            key = self._key(uai, number, family_name, given_name)
            named_class = class_name if self.describes_children else cells.raw("class_name", block)
            yield StudentLink(place=cells.place, student=key, link=Link(""), class_name=named_class, birth_date=born)
        except UnreadableCellError as unfit:
            if described:
                yield Issue(Severity.ERROR, cells.place, "", unfit.code, str(unfit), "student")
            else:
                cells.warn(*self.lost_link)

    def _uai(self, cells: Cells) -> str:
        uai = normalised_uai(cells.raw("uai")) or self.school
        if not is_uai(uai):
            raise UnreadableCellError("row_without_school", _MESSAGES["row_without_school"])
        return uai

    def _new_school(self, uai: str, place: Place) -> Iterator[School]:
        if uai not in self.schools:
            self.schools.add(uai)
            yield School(place=place, key=uai, uai=uai, degree=self.degree)

    def _new_pupil(self, student: Student) -> Iterator[Student]:
        """Yield a pupil, unless the row of the other parent has described the same one."""
        identity = (student.key, student.family_name or "", student.given_name or "", student.class_name or "")
        if identity in self.pupils:
            return
        if len(self.pupils) >= _MOST_REMEMBERED:
            self.pupils.clear()  # to limit memory; the records of one pupil are merged later
        self.pupils.add(identity)
        yield student

    def _guardian(self, cells: Cells, uai: str) -> Guardian:
        family_name, usual_name, given_name = _names(cells, "guardian_without_name")
        number = cells.text("id", "key")
        return Guardian(
            place=cells.place,
            key=self._key(uai, number, family_name, usual_name or family_name, given_name),
            civility=cells.civility(),
            family_name=usual_name or family_name,
            birth_name=family_name if "usual_name" in self.columns.once or not self.describes_children else "",
            given_name=given_name,
            address_lines=cells.lines(*_ADDRESS),
            postcode=cells.text("postcode", "postcode"),
            city=cells.text("city", "city"),
            country=cells.text("country", "city"),
            email=cells.text("mail", "mail"),
        )

    def _key(self, uai: str, number: str, *names: str, born: date | None = None) -> str:
        """Return the key of a person: made of the file's number as it is written, or of the names."""
        if number:
            return checked(f"{self.source}:{uai}:{number}", "key")
        return values.key_of_names(self.source, uai, *names, born=born)


def _names(cells: Cells, missing: str, block: Mapping[str, int] | None = None) -> tuple[str, str, str]:
    """Return the family name, the usual name (may be empty) and the given name of a person."""
    usual_name = cells.text("usual_name", "name", block)
    family_name = cells.text("family_name", "name", block) or usual_name
    given_name = cells.text("given_name", "name", block)
    if missing and not (family_name and given_name):
        raise UnreadableCellError(missing, _MESSAGES[missing])
    return family_name, usual_name, given_name


def _student_id(number: str) -> str:
    """Return a number that may be SIECLE's ELEVE_ID: only digits; otherwise the empty text."""
    return number if number.isascii() and number.isdecimal() and len(number) <= LONGEST["student_id"] else ""


def _link(cells: Cells, guardian: str, block: Mapping[str, int]) -> Link:
    """Return a link with the rights of its block, or of the row; without such a column the guardian is legal."""
    authority: int | None = 1
    kinship: str | None = ""
    for name in ("authority", "kinship"):
        where = block if name in block else None
        if where is None and name not in cells.columns.once:
            continue
        text = cells.raw(name, where)[: LONGEST["line"]]
        if name == "authority":
            authority = values.authority(text)
        else:
            kinship = values.kinship(text)
    if authority is None:
        cells.warn("authority_unclear", _MESSAGES["authority_unclear"])
    if kinship is None:
        cells.warn("kinship_unknown", _MESSAGES["kinship_unknown"])
    return Link(guardian, kinship or "", authority or 0)
