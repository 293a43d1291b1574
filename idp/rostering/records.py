"""What every reader yields, whatever the file's format.

A record says what its file says, word for word: spaces at the ends are taken away, nothing else. In a full record, what
the file leaves out is the empty text. In a partial one (`Act.MODIFY`, of an AAF Delta) it is None: « the file says
nothing of it », which is not the same as « the file empties it ».

Keys name a person or a school for ever. Each begins with the name of what made it (`aaf:9100001`, `siecle:812`), since
two sources give the same number to different people.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from idp.accounts.models import Degree


class Format(enum.Enum):
    """The formats that can be read; the value is what an operator types."""

    AAF = "aaf"
    AAF1D = "aaf1d"
    SIECLE = "siecle"
    ONDE = "onde"
    CSV = "csv"


class Mode(enum.Enum):
    """Whether a file holds all the families of its schools, or what has changed since the one before."""

    COMPLETE = "complete"
    DELTA = "delta"


class Act(enum.Enum):
    """What a record asks for: to be as it says, to change what it names, to go."""

    PUT = "put"
    MODIFY = "modify"
    DELETE = "delete"


class Severity(enum.Enum):
    """An error keeps something out of the database; a warning does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: the file as the operator named it (`archive.tgz/part.xml`), and its line, from 1."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Issue:
    """What is wrong, for a secretary.

    Attributes:
        code: A stable word for programs, such as `student_without_class`.
        message: A French sentence, which names no other family's person.
        key: The person's or the school's key as the file has it; empty when it has none.
        refuses: Which records are left out because of it: `student`, `guardian`, or nothing. A reader that could not
            make a record of a row says so here, so that no row is lost without being counted.
    """

    severity: Severity
    place: Place
    key: str
    code: str
    message: str
    refuses: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A school. `key` is the source's own, by which pupils name it; the UAI where the source has no other."""

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
    """That somebody is responsible for a pupil.

    Attributes:
        guardian: The guardian's key.
        kinship: SDET's code (`10` mother, `20` father, …); old codes are translated by the reader.
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
        student_id: The number of FrEduVecteur's fourth field: SIECLE's ELEVE_ID. Empty where the source has none.
        class_name: Empty for a pupil without a class: no account is opened for such a pupil's family.
        left_on: The leaving date, of a pupil who left or will.
        links: The responsible people, in the file's order; None where the file says nothing of them, also because they
            come as records of their own (`StudentLink`).
        is_second_hand: Whether a guardian's row describes the pupil, as every guardian's row of the pupil does: it
            repeats no other row.
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
    """A link in a record of its own, as SIECLE and CSV have them; `student` is the pupil's key."""

    place: Place
    student: str
    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Guardian:
    """A person who is responsible for pupils.

    Attributes:
        family_name: The usual name (AAF `sn`), released in claims letter by letter.
        birth_name: AAF `ENTPersonNomPatro`; may be empty.
        address_lines: The lines of the postal address above the town, without empty ones.
        email: The email in the school's file; nobody has confirmed that it is the person's.
        address_diffusion: Whether the address may be given to parents' associations; None when the file does not say.
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
"""SIECLE's old kinship codes, and SDET's in their place."""

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
}
"""The most characters of a field; a record with a longer one is refused before anything else looks at it (R-11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How files are to be read, as the operator said it; None where the files themselves decide.

    Attributes:
        school: The school's UAI, needed by formats that name none (ONDE, most CSV).
        encoding: A Python codec for CSV files.
        degree: Primary or secondary, for a school that is not known and whose file does not say.
        today: The day against which a leaving date is compared.
    """

    today: date
    format: Format | None = None
    mode: Mode | None = None
    school: str | None = None
    encoding: str | None = None
    degree: Degree | None = None
