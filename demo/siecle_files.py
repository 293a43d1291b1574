"""Writes families of a school as a SIECLE export: two files, in Latin-9; other characters are references of XML.

The names of the fields are those of today's exports; empty fields are omitted, as SIECLE does.
"""

from collections.abc import Sequence
from datetime import date
from xml.etree import ElementTree as ET

from demo.families import CHILDREN, RESPONSIBLES, DemoChild, DemoGuardian, DemoHome, DemoSchool

ENCODING = "iso-8859-15"
_SEPTEMBER = 9


def siecle_files(
    school: DemoSchool,
    today: date,
    children: Sequence[DemoChild] = CHILDREN,
    responsibles: Sequence[DemoGuardian] = RESPONSIBLES,
) -> dict[str, bytes]:
    """Return the files of an export of `school` made `today`, by name; it contains this school's families alone."""
    year = today.year - (today.month < _SEPTEMBER)
    pupils = [child for child in children if child.school == school]
    people = [person for person in responsibles if any(child.school == school for child in person.children)]
    numbers = {home: str(4001 + rank) for rank, home in enumerate(dict.fromkeys(person.home for person in people))}

    students, students_data = _export("BEE_ELEVES", school, year, today)
    group = ET.SubElement(students_data, "ELEVES")
    for child in pupils:
        _add_pupil(group, child, left_on=date(year, _SEPTEMBER, 1))
    group = ET.SubElement(students_data, "STRUCTURES")
    for child in pupils:
        _add_class(group, child)

    guardians, guardians_data = _export("BEE_RESPONSABLES", school, year, today)
    group = ET.SubElement(guardians_data, "PERSONNES")
    for person in people:
        _add_person(group, person, numbers[person.home])
    group = ET.SubElement(guardians_data, "RESPONSABLES")
    for person in people:
        for child in person.children:
            if child.school == school:
                _add_link(group, child, person)
    group = ET.SubElement(guardians_data, "ADRESSES")
    for home, number in numbers.items():
        _add_home(group, home, number)
    return {"ElevesAvecAdresses.xml": _bytes(students), "ResponsablesAvecAdresses.xml": _bytes(guardians)}


def _export(name: str, school: DemoSchool, year: int, today: date) -> tuple[ET.Element, ET.Element]:
    root = ET.Element(name, VERSION="2.0")
    parameters = ET.SubElement(root, "PARAMETRES")
    _add(
        parameters,
        UAJ=school.uai,
        ANNEE_SCOLAIRE=str(year),
        DATE_EXPORT=_day(today),
        HORODATAGE=f"{_day(today)} 08:30:00",
    )
    return root, ET.SubElement(root, "DONNEES")


def _bytes(root: ET.Element) -> bytes:
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding=ENCODING, xml_declaration=True)
    return written + b"\n"


def _add(parent: ET.Element, **fields: str) -> None:
    for name, value in fields.items():
        if value:
            ET.SubElement(parent, name).text = value


def _add_pupil(group: ET.Element, child: DemoChild, left_on: date) -> None:
    pupil = ET.SubElement(group, "ELEVE", ELEVE_ID=child.student_id, ELENOET=child.student_id[-4:])
    _add(
        pupil,
        NOM_DE_FAMILLE=child.family_name,
        PRENOM=child.given_name,
        DATE_SORTIE=_day(left_on) if child.has_left else "",
    )


def _add_class(group: ET.Element, child: DemoChild) -> None:
    pupil = ET.SubElement(group, "STRUCTURES_ELEVE", ELEVE_ID=child.student_id)
    _add(ET.SubElement(pupil, "STRUCTURE"), CODE_STRUCTURE=child.class_name, TYPE_STRUCTURE="D")


def _add_person(group: ET.Element, person: DemoGuardian, address_key: str) -> None:
    element = ET.SubElement(group, "PERSONNE", PERSONNE_ID=person.key)
    _add(
        element,
        NOM_DE_FAMILLE=person.birth_name or person.family_name,
        NOM_USAGE=person.family_name if person.birth_name else "",
        PRENOM=person.given_name,
        LC_CIVILITE=person.civility.upper(),
        MEL=person.school_email,
        ADRESSE_ID=address_key,
        COMMUNICATION_ADRESSE="1",
    )


def _add_link(group: ET.Element, child: DemoChild, person: DemoGuardian) -> None:
    _add(
        ET.SubElement(group, "RESPONSABLE_ELEVE"),
        ELEVE_ID=child.student_id,
        PERSONNE_ID=person.key,
        CODE_PARENTE=person.kinship,
        NIVEAU_RESPONSABILITE=person.authority,
        PAIE_FRAIS_SCOLAIRES="0",
        A_CONTACTER_EN_PRIORITE="1",
    )


def _add_home(group: ET.Element, home: DemoHome, number: str) -> None:
    lines = {f"LIGNE{rank}_ADRESSE": line for rank, line in enumerate(home.lines, 1)}
    element = ET.SubElement(group, "ADRESSE", ADRESSE_ID=number)
    _add(element, **lines, CODE_POSTAL=home.postcode, LIBELLE_POSTAL=home.city, CODE_PAYS="100", LL_PAYS="FRANCE")


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"
