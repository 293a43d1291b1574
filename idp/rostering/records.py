"""Defines the records that all readers yield.

A field has the text of the file without surrounding spaces. A missing field is the empty text in a full record. In a
partial record (`Act.MODIFY`, in an AAF Delta) it is None, which means that the value does not change; the empty text
there removes the value.

A key identifies a person or a school permanently. It begins with its source (`aaf:9100001` from AAF and AAF1D,
`siecle:812`), because two sources may give the same number to different people. A school's key may be its UAI alone.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from idp.accounts.models import Degree


class Facts(NamedTuple):
    """What a format of files is.

    Attributes:
        label: The name of the software for a secretary.
        is_aaf: Whether the files are those of an académie, which have Deltas; others are complete.
        is_pair: Whether one file has the pupils and another one the guardians.
        degree: That of a school whose file does not say it.
    """

    label: str
    is_aaf: bool = False
    is_pair: bool = False
    degree: Degree = Degree.SECONDARY


class Format(enum.Enum):
    """The formats of files, with the values of the option --format."""

    AAF = "aaf"
    AAF1D = "aaf1d"
    SIECLE = "siecle"
    ONDE = "onde"
    CSV = "csv"

    @property
    def facts(self) -> Facts:
        """What the format is."""
        return _FACTS[self]


_FACTS: Mapping[Format, Facts] = {
    Format.AAF: Facts("AAF", is_aaf=True),
    Format.AAF1D: Facts("AAF 1D", is_aaf=True, degree=Degree.PRIMARY),
    Format.SIECLE: Facts("SIECLE", is_pair=True),
    Format.ONDE: Facts("ONDE", is_pair=True, degree=Degree.PRIMARY),
    Format.CSV: Facts("CSV"),
}


class Mode(enum.Enum):
    """Whether files have all families of their schools, or the changes since the last files."""

    COMPLETE = "complete"
    DELTA = "delta"


class Act(enum.Enum):
    """The request of a record: replace everything, change some fields, or remove."""

    PUT = "put"
    MODIFY = "modify"
    DELETE = "delete"


class Severity(enum.Enum):
    """Whether an issue keeps something out of the database (error) or not (warning)."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a record: the file as the operator named it (`archive.tgz/part.xml`), and the line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Issue:
    """A problem in the files, told to a secretary.

    Attributes:
        code: A stable word for programs, such as `student_without_class`.
        message: A French sentence that names nobody of another family.
        key: The key of the person or the school in the file, or the empty text. While a refused record has no key,
            nobody of its kind leaves, since it may be anybody's.
        refuses: The kind of the one record that the reader refused (`student` or `guardian`), or the empty text.
            Refused records are counted.
    """

    severity: Severity
    place: Place
    key: str
    code: str
    message: str
    refuses: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A school. Pupils name it by `key`, which is the UAI if the source has no other key."""

    place: Place
    key: str
    uai: str
    name: str = ""
    degree: Degree | None = None
    address_lines: tuple[str, ...] = ()
    phone: str = ""
    act: Act = Act.PUT


@dataclass(frozen=True, slots=True)
class Link:
    """The link of a guardian to a pupil.

    Attributes:
        guardian: The guardian's key.
        kinship: SDET's code (`10` mother, `20` father, …); readers translate old codes.
        authority: 1 legal representative, 2 in charge of the pupil, 3 to be contacted, 0 none of these.
    """

    guardian: str
    kinship: str = ""
    authority: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Student:
    """A pupil in a school.

    Attributes:
        school: The key of a `School`, or the UAI itself.
        student_id: The fourth field of FrEduVecteur: SIECLE's ELEVE_ID. Empty if the source has none.
        class_name: Empty for a pupil without a class: no account opens for the pupil's family.
        left_on: The leaving date, in the past or the future.
        links: The guardians in the order of the file; None if the record has none, also because they come as records of
            their own (`StudentLink`).
        is_second_hand: Whether the pupil is described in a guardian's row. The rows of several guardians describe the
            same pupil and are no repetition.
    """

    place: Place
    key: str
    act: Act = Act.PUT
    school: str | None = ""
    student_id: str | None = ""
    family_name: str | None = ""
    given_name: str | None = ""
    birth_date: date | None = None
    class_name: str | None = ""
    left_on: date | None = None
    links: tuple[Link, ...] | None = None
    is_second_hand: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudentLink:
    """A link in a record of its own, as in SIECLE and CSV; `student` is the pupil's key.

    The class and the birth date that it names tell pupils of one name apart.
    """

    place: Place
    student: str
    link: Link
    class_name: str = ""
    birth_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """A guardian of pupils.

    Attributes:
        family_name: The usual name (AAF `sn`), released unchanged in claims.
        birth_name: AAF `ENTPersonNomPatro`; may be empty.
        address_lines: The lines of the postal address above the town, without empty ones.
        email: The email in the school's file; nobody has confirmed that it is the person's.
        address_diffusion: Whether parents' associations may get the postal address; None if unknown.
    """

    place: Place
    key: str
    act: Act = Act.PUT
    civility: str | None = ""
    family_name: str | None = ""
    birth_name: str | None = ""
    given_name: str | None = ""
    address_lines: tuple[str, ...] | None = ()
    postcode: str | None = ""
    city: str | None = ""
    country: str | None = ""
    email: str | None = ""
    address_diffusion: bool | None = None


Record = School | Student | StudentLink | Guardian | Issue

KINSHIPS: Mapping[str, str] = {"1": "20", "2": "10", "3": "50", "4": "39", "5": "51", "6": "90", "7": "70"}
"""SDET's codes of kinship by SIECLE's old codes."""

LONGEST: Mapping[str, int] = {
    "key": 60,
    "name": 200,
    "school_name": 200,
    "class_name": 60,
    "student_id": 30,
    "civility": 10,
    "line": 80,
    "postcode": 20,
    "city": 80,
    "mail": 254,
    "phone": 30,
    "hours": 80,
}
"""The most characters of a field. A record with a longer field is refused before any other check (R-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The operator's options for reading; None if the files decide.

    Attributes:
        school: The UAI of the school, needed by formats that do not name it (ONDE, most CSV).
        encoding: A Python codec for CSV files.
        degree: Primary or secondary, for a new school whose files do not say it.
        refuses_others: Whether files that hold anything of another school than `school` are refused as a whole.
        hides_others: Whether nothing tells people of other schools from unknown ones; for a check, never for an import.
        most_refused: How many records may be refused before the files are refused as a whole; None for any number.
        today: The day against which leaving dates are compared.
    """

    today: date
    format: Format | None = None
    mode: Mode | None = None
    school: str | None = None
    encoding: str | None = None
    degree: Degree | None = None
    refuses_others: bool = False
    hides_others: bool = False
    most_refused: int | None = None


COMPARED = frozenset(
    {
        "change_of_unknown",
        "guardian_left",
        "guardian_missing",
        "guardian_waits",
        "key_changes_person",
        "key_of_other_person",
        "keys_exchanged",
        "name_corrected",
        "name_in_doubt",
        "namesake_starts_again",
        "near_duplicate",
        "no_legal_authority",
        "no_open_student",
        "no_student",
        "outside",
        "student_left",
        "student_missing",
        "student_school_unknown",
        "student_without_class",
        "student_without_representative",
        "tie_disputed",
        "tie_excluded",
    }
)
"""Codes of issues about a person whom the database knows, or does not know."""
WITHOUT_ACCOUNT = frozenset({"no_legal_authority", "no_open_student", "no_student", "student_left"})
"""Codes of issues that say why somebody has no account, as it is to be: nobody has to do anything."""
