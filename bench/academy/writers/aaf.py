"""AAF files (`ficAlimMENESR`): a Complet or a Delta, in the vocabulary of the second degree or of the first.

An AAF has no pupils who left. That of the first degree has legal representatives only, and no numbers of SIECLE. Every
school is written, in either degree: both vocabularies can represent the same families.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from xml.sax.saxutils import escape

from bench.academy.delta import Change
from bench.academy.families import Household, Link, Person, Pupil
from bench.academy.mistakes import Kind
from bench.academy.schools import SCHOOL_YEAR, School
from bench.academy.writers.output import Output, Parts
from bench.academy.writers.representable import legal, staying, without_left

MISTAKES = frozenset(Kind) - {Kind.TWO_FIRST}
COMPLETE_ON = f"{SCHOOL_YEAR}0921"
DELTA_ON = f"{SCHOOL_YEAR}1012"

_FIRST_DEGREE = {
    "sn": "ENTPersonNom",
    "givenName": "ENTPersonPrenom",
    "personalTitle": "ENTPersonCivilite",
    "mail": "ENTPersonMail",
    "homePhone": "ENTPersonTelPerso",
    "telephoneNumber": "ENTPersRelEleveTelPro",
    "mobile": "ENTPersRelEleveTelMobile",
    "ENTAuxPersRelEleveEleve": "ENTPersRelEleveEleve",
    "ENTElevePersRelEleve": "ENTEleveAutoriteParentale",
    "ENTEleveClasses": "ENTPersonClasses",
    "street": "ENTStructureAdresse",
    "postalCode": "ENTStructureCodePostal",
    "l": "ENTStructureVille",
    "ENTPersonMobileSMS": "",
    "ENTEleveStructRattachId": "",
    "ENTEleveStatutEleve": "",
}
"""The first degree's names for attributes of the second; empty if there is none."""

Attributes = list[tuple[str, Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The style of the files.

    Attributes:
        first_degree: whether they use the vocabulary of the first degree.
        encoding: `UTF-8` or `ISO-8859-15`; missing letters become character references.
        part: the most records of a file.
    """

    first_degree: bool = False
    encoding: str = "UTF-8"
    part: int = 5_000

    @property
    def name(self) -> str:
        """The beginning of the files' names."""
        return "ENT_1D" if self.first_degree else "ENT_2D"


class _Record(NamedTuple):
    key: int
    attributes: Attributes


class _Files:
    """The three families of files."""

    def __init__(self, output: Output, style: Style, mode: str, day: str) -> None:
        head = (
            f'<?xml version="1.0" encoding="{style.encoding}"?>\n'
            '<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">\n<ficAlimMENESR>\n'
        )
        frame = (head, "</ficAlimMENESR>\n")
        self._parts = {
            category: Parts(output, f"{style.name}_{mode}_{day}_{category}_{{}}.xml", frame, style.encoding, style.part)
            for category in ("EtabEducNat", "Eleve", "PersRelEleve")
        }
        self._renamed = _FIRST_DEGREE if style.first_degree else {}

    def add(self, category: str, record: _Record) -> None:
        attributes = "".join(self._attributes(record.attributes))
        self._request("addRequest", category, record.key, f"  <attributes>\n{attributes}  </attributes>\n")

    def modify(self, category: str, before: _Record, after: _Record) -> None:
        """Write the changed attributes of a record; nothing if there are none."""
        former = dict(before.attributes)
        changed = [
            f'   <modification name="{renamed}" operation="replace">{_values(values)}</modification>\n'
            for name, values in after.attributes
            if former.get(name) != values and (renamed := self._renamed.get(name, name))
        ]
        if changed:
            self._request(
                "modifyRequest", category, after.key, f"  <modifications>\n{''.join(changed)}  </modifications>\n"
            )

    def delete(self, category: str, record: _Record) -> None:
        self._request("deleteRequest", category, record.key, "")

    def close(self) -> None:
        for parts in self._parts.values():
            parts.flush()

    def _request(self, request: str, category: str, key: int, body: str) -> None:
        kind = "categorieStructure" if category == "EtabEducNat" else "categoriePersonne"
        self._parts[category].add(
            f' <{request}>\n  <operationalAttributes><attr name="{kind}"><value>{category}</value></attr>'
            f"</operationalAttributes>\n  <identifier><id>{key}</id></identifier>\n{body} </{request}>\n"
        )

    def _attributes(self, attributes: Attributes) -> Iterable[str]:
        renamed = self._renamed.get
        for name, values in attributes:
            written = renamed(name, name)
            if written:
                yield f'   <attr name="{written}">{_values(values)}</attr>\n'


def write_complete(output: Output, schools: Sequence[School], households: Iterable[Household], style: Style) -> None:
    """Write a Complet of these schools and households, prepared by `representable`."""
    files = _Files(output, style, "Complet", COMPLETE_ON)
    for school in schools:
        files.add("EtabEducNat", _school(school))
    for household in households:
        for pupil in household.pupils:
            files.add("Eleve", _pupil(pupil, style))
        for person in household.people:
            files.add("PersRelEleve", _person(person, household.pupils))
    files.close()


def representable(households: Iterable[Household], style: Style) -> Iterable[Household]:
    """Return the part of these households that a Complet can represent."""
    staying_ones = without_left(households)
    return map(legal, staying_ones) if style.first_degree else staying_ones


def write_delta(output: Output, changed: Iterable[Household | Change], style: Style) -> Counter[str]:
    """Write the Delta of the changes (`changes`) in households that `write_complete` wrote.

    Returns:
        The number of changes of each kind.
    """
    files = _Files(output, style, "Delta", DELTA_ON)
    counts: Counter[str] = Counter()
    for change in changed:
        if isinstance(change, Change):
            counts[change.event.value] += 1
            before, after = (_representable(household, style) for household in (change.before, change.after))
            _compare(files, "Eleve", _pupils(before, style), _pupils(after, style))
            _compare(files, "PersRelEleve", _people(before), _people(after))
    files.close()
    return counts


def _representable(household: Household, style: Style) -> Household:
    there = staying(household)
    return legal(there) if style.first_degree else there


def _compare(files: _Files, category: str, before: dict[int, _Record], after: dict[int, _Record]) -> None:
    for key, record in after.items():
        if key in before:
            files.modify(category, before[key], record)
        else:
            files.add(category, record)
    for key, record in before.items():
        if key not in after:
            files.delete(category, record)


def _pupils(household: Household, style: Style) -> dict[int, _Record]:
    return {pupil.key: _pupil(pupil, style) for pupil in household.pupils}


def _people(household: Household) -> dict[int, _Record]:
    return {person.key: _person(person, household.pupils) for person in household.people}


def _values(values: Sequence[str]) -> str:
    return "".join([f"<value>{escape(value)}</value>" if value else "<value/>" for value in values])


def _school(school: School) -> _Record:
    attributes: Attributes = [
        ("ENTStructureJointure", (str(school.key),)),
        ("ENTStructureUAI", (school.uai,)),
        ("ENTStructureNomCourant", (school.name,)),
        ("ENTStructureTypeStruct", (school.kind,)),
        ("street", ("1 place de l'École",)),
        ("postalCode", (school.town.postcode,)),
        ("l", (school.town.name,)),
        ("ENTStructureTelephone", ("0353010100",)),
        ("ENTServAcAcademie", ("RIVEBELLE",)),
    ]
    return _Record(school.key, attributes)


def _pupil(pupil: Pupil, style: Style) -> _Record:
    school = str(pupil.school.key)
    attributes: Attributes = [
        ("ENTPersonJointure", (str(pupil.key),)),
        ("ENTEleveINE", (f"{pupil.key:09d}AA",)),
        ("ENTEleveStructRattachId", (str(pupil.student_id),)),
        ("ENTPersonDateNaissance", (pupil.birth_date,)),
        ("ENTPersonNomPatro", (pupil.family_name,)),
        ("sn", (pupil.family_name,)),
        ("givenName", (pupil.given_name,)),
        ("personalTitle", ("Mme" if pupil.female else "M.",)),
        ("ENTElevePersRelEleve", [_link(link) for link in pupil.links]),
        ("ENTPersonStructRattach", (school,)),
        ("ENTEleveClasses", (_class(pupil, school, style),)),
        ("ENTEleveStatutEleve", ("SCOLAIRE",)),
    ]
    return _Record(pupil.key, attributes)


def _link(link: Link) -> str:
    """Return the six fields of a link; three, the first of them empty, for a broken one."""
    if link.broken:
        return f"${link.kinship}$1"
    payer = int(link.rank == 1)
    return f"{link.person}${link.kinship}${payer}${link.authority}$1${payer}"


def _class(pupil: Pupil, school: str, style: Style) -> str:
    if not pupil.class_name:
        return ""
    if style.first_degree:
        return f"{school}$$${school}{pupil.class_name}${pupil.class_name}"
    return f"{school}${pupil.class_name}"


def _person(person: Person, pupils: Iterable[Pupil]) -> _Record:
    key, home = person.key, person.postal_address
    children = [str(pupil.key) for pupil in pupils if key in [link.person for link in pupil.links]]
    attributes: Attributes = [
        ("ENTPersonJointure", (str(key),)),
        ("ENTPersonDateNaissance", ("",)),
        ("ENTPersonNomPatro", (person.birth_name,)),
        ("sn", (person.family_name,)),
        ("givenName", (person.given_name,)),
        ("personalTitle", (person.civility,)),
        ("homePhone", ("",)),
        ("telephoneNumber", ("",)),
        ("mobile", (person.mobile,)),
        ("ENTPersonMobileSMS", (person.mobile,)),
        ("mail", (person.mail,)),
        ("ENTPersonAdresse", ("$".join(home.lines) + "$" * (4 - len(home.lines)),)),
        ("ENTPersonCodePostal", (home.postcode,)),
        ("ENTPersonVille", (home.city,)),
        ("ENTPersonPays", ("FRANCE",)),
        ("ENTPersonAdresseDiffusion", ("O" if person.diffusion else "N",)),
        ("ENTAuxPersRelEleveEleve", children or ("",)),
    ]
    if person.unknown:
        attributes.append(("ENTPersonCouleurPreferee", (person.unknown,)))
    return _Record(key, attributes)
