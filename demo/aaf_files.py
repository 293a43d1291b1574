"""Writes the families of the lycée professionnel as an AAF: a Complet of the second degree, in UTF-8.

The vocabulary is SDET's (annex on the AAF): three files, of schools, of pupils and of the people responsible for them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from xml.etree import ElementTree as ET

from demo.families import AAF, CHILDREN, RESPONSIBLES, SCHOOLS, DemoChild, DemoGuardian, DemoSchool

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">\n'
_KEYS = {school.uai: str(52001 + rank) for rank, school in enumerate(SCHOOLS)}
_ADDRESS_PARTS = 4

Attributes = Mapping[str, str | Sequence[str]]


def aaf_files(today: date) -> dict[str, bytes]:
    """Return the files of an export made `today`, by name."""
    categories = {
        "EtabEducNat": [(_KEYS[school.uai], _school(school)) for school in SCHOOLS if school.source == AAF],
        "Eleve": [(_key(child), _pupil(child)) for child in CHILDREN if child.school.source == AAF],
        "PersRelEleve": [(person.key, _person(person)) for person in RESPONSIBLES if person.source == AAF],
    }
    return {
        f"ENT_2D_Complet_{today:%Y%m%d}_{category}_0000.xml": _document(category, people)
        for category, people in categories.items()
    }


def _document(category: str, people: Iterable[tuple[str, Attributes]]) -> bytes:
    root = ET.Element("ficAlimMENESR")
    kind = "categorieStructure" if category == "EtabEducNat" else "categoriePersonne"
    for key, attributes in people:
        request = ET.SubElement(root, "addRequest")
        _add(ET.SubElement(request, "operationalAttributes"), {kind: category})
        ET.SubElement(ET.SubElement(request, "identifier"), "id").text = key
        _add(ET.SubElement(request, "attributes"), attributes)
    ET.indent(root)
    return (_HEAD + ET.tostring(root, encoding="unicode") + "\n").encode()


def _add(parent: ET.Element, attributes: Attributes) -> None:
    for name, values in attributes.items():
        attribute = ET.SubElement(parent, "attr", name=name)
        for value in [values] if isinstance(values, str) else values:
            ET.SubElement(attribute, "value").text = value


def _school(school: DemoSchool) -> Attributes:
    return {
        "ENTStructureJointure": _KEYS[school.uai],
        "ENTStructureUAI": school.uai,
        "ENTStructureNomCourant": school.name,
        "ENTStructureTypeStruct": school.kind,
        "ENTServAcAcademie": "DEUX-RIVES",
        "street": "$".join(school.home.lines),
        "postalCode": school.home.postcode,
        "l": school.home.city,
        "telephoneNumber": school.phone,
    }


def _key(child: DemoChild) -> str:
    """Return the pupil's number in the AAF, which differs from the one in the school's SIECLE."""
    return f"9{child.student_id}"


def _pupil(child: DemoChild) -> Attributes:
    school = _KEYS[child.school.uai]
    return {
        "ENTPersonJointure": _key(child),
        "ENTEleveStructRattachId": child.student_id,
        "sn": child.family_name,
        "givenName": child.given_name,
        "ENTElevePersRelEleve": [_link(person) for person in RESPONSIBLES if child in person.children],
        "ENTPersonStructRattach": school,
        "ENTEleveClasses": f"{school}${child.class_name}" if child.class_name else "",
        "ENTEleveStatutEleve": "SCOLAIRE",
    }


def _link(person: DemoGuardian) -> str:
    """Return a tie: the person's number, kinship, who pays, authority, whom to call, who is paid."""
    return f"{person.key}${person.kinship}$0${person.authority}$1$0"


def _person(person: DemoGuardian) -> Attributes:
    home = person.home
    return {
        "ENTPersonJointure": person.key,
        "ENTPersonDateNaissance": "",
        "ENTPersonNomPatro": person.birth_name,
        "sn": person.family_name,
        "givenName": person.given_name,
        "personalTitle": person.civility,
        "mail": person.school_email,
        "ENTPersonAdresse": "$".join([*home.lines, "", "", ""][:_ADDRESS_PARTS]),
        "ENTPersonCodePostal": home.postcode,
        "ENTPersonVille": home.city,
        "ENTPersonPays": "FRANCE",
        "ENTPersonAdresseDiffusion": "O",
        "ENTAuxPersRelEleveEleve": [_key(child) for child in person.children],
    }
