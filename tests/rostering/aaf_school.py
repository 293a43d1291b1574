"""A small school year in Python, which tests change and write as an AAF file, Complet or Delta."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLLEGE, LYCEE = "0599001N", "0599002P"
KEYS = {COLLEGE: "52001", LYCEE: "52002"}


@dataclass(frozen=True)
class Parent:
    key: str
    given: str = "Noémie"
    family: str = "LEROY"
    birth: str = ""
    civility: str = "Mme"
    street: str = "1 rue du Test"
    postcode: str = "59990"
    city: str = "Rivebelle"
    mail: str = ""
    diffusion: str = "O"

    def attributes(self) -> dict[str, list[str]]:
        return {
            "ENTPersonJointure": [self.key],
            "ENTPersonDateNaissance": [""],
            "ENTPersonNomPatro": [self.birth],
            "sn": [self.family],
            "givenName": [self.given],
            "personalTitle": [self.civility],
            "mail": [self.mail],
            "ENTPersonAdresse": [f"{self.street}$$"],
            "ENTPersonCodePostal": [self.postcode],
            "ENTPersonVille": [self.city],
            "ENTPersonPays": ["FRANCE"],
            "ENTPersonAdresseDiffusion": [self.diffusion],
        }


@dataclass(frozen=True)
class Pupil:
    """An élève of the file; `parents` are (key, kinship, authority)."""

    key: str
    given: str = "Malo"
    family: str = "LEROY"
    number: str = ""
    uai: str = COLLEGE
    group: str = "6EME1"
    parents: tuple[tuple[str, str, str], ...] = ()

    def attributes(self) -> dict[str, list[str]]:
        school = KEYS[self.uai]
        return {
            "ENTPersonJointure": [self.key],
            "ENTEleveStructRattachId": [self.number or f"7{self.key}"],
            "ENTPersonDateNaissance": ["14/09/2013"],
            "sn": [self.family],
            "givenName": [self.given],
            "ENTElevePersRelEleve": [f"{key}${kin}$1${authority}$1$0" for key, kin, authority in self.parents],
            "ENTPersonStructRattach": [school],
            "ENTEleveClasses": [f"{school}${self.group}"] if self.group else [""],
            "ENTEleveStatutEleve": ["SCOLAIRE"],
        }


@dataclass
class Year:
    pupils: dict[str, Pupil] = field(default_factory=dict)
    parents: dict[str, Parent] = field(default_factory=dict)
    schools: tuple[str, ...] = (COLLEGE, LYCEE)

    def add(self, *people: Pupil | Parent) -> "Year":
        for person in people:
            if isinstance(person, Pupil):
                self.pupils[person.key] = person
            else:
                self.parents[person.key] = person
        return self

    def change(self, key: str, /, **values: Any) -> "Year":
        if key in self.pupils:
            self.pupils[key] = replace(self.pupils[key], **values)
        else:
            self.parents[key] = replace(self.parents[key], **values)
        return self

    def write(self, folder: Path, name: str = "Complet_20260901") -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, requests in (
            ("EtabEducNat", [add("EtabEducNat", KEYS[uai], _school(uai)) for uai in self.schools]),
            ("Eleve", [add("Eleve", person.key, person.attributes()) for person in self.pupils.values()]),
            (
                "PersRelEleve",
                [add("PersRelEleve", person.key, person.attributes()) for person in self.parents.values()],
            ),
        ):
            write(folder / f"ENT_0599001N_{name}_{kind}_0000.xml", requests)
        return folder


def small_year(families: int = 12) -> Year:
    """Return families with two parents and a child each. One may leave without a refusal for too many removals."""
    year = Year()
    for number in range(families):
        mother, father, child = (str(base + number) for base in (9100000, 9150000, 9200000))
        name = f"FAMILLE{chr(65 + number % 26)}{chr(65 + number // 26)}"
        year.add(
            Parent(mother, f"Mère{chr(97 + number % 26)}", name, street=f"{number} rue du Test"),
            Parent(father, f"Père{chr(97 + number % 26)}", name, civility="M.", street=f"{number} rue du Test"),
            Pupil(
                child,
                f"Enfant{chr(97 + number % 26)}",
                name,
                uai=COLLEGE if number % 2 else LYCEE,
                parents=((mother, "10", "1"), (father, "20", "1")),
            ),
        )
    return year


def add(kind: str, key: str, attributes: dict[str, list[str]]) -> str:
    return f"<addRequest>{_head(kind, key)}<attributes>{_body('attr', attributes)}</attributes></addRequest>"


def modify(kind: str, key: str, attributes: dict[str, list[str]]) -> str:
    body = _body('modification operation="replace"', attributes)
    return f"<modifyRequest>{_head(kind, key)}<modifications>{body}</modifications></modifyRequest>"


def delete(kind: str, key: str) -> str:
    return f"<deleteRequest>{_head(kind, key)}</deleteRequest>"


def write(path: Path, requests: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE ficAlimMENESR SYSTEM "ficAlimMENESR.dtd">\n'
    path.write_text(f"{head}<ficAlimMENESR>\n" + "\n".join(requests) + "\n</ficAlimMENESR>\n", encoding="utf-8")
    return path


def _head(kind: str, key: str) -> str:
    name = "categorieStructure" if kind == "EtabEducNat" else "categoriePersonne"
    element = f'<attr name="{name}"><value>{kind}</value></attr>'
    return f"<operationalAttributes>{element}</operationalAttributes><identifier><id>{escape(key)}</id></identifier>"


def _body(tag: str, attributes: dict[str, list[str]]) -> str:
    end = tag.partition(" ")[0]
    return "".join(
        f'<{tag} name="{name}">{"".join(f"<value>{escape(value)}</value>" for value in values)}</{end}>'
        for name, values in attributes.items()
    )


def _school(uai: str) -> dict[str, list[str]]:
    college = uai == COLLEGE
    return {
        "ENTStructureJointure": [KEYS[uai]],
        "ENTStructureUAI": [uai],
        "ENTStructureNomCourant": ["CLG-TILLEULS" if college else "LYC-WEBER"],
        "ENTStructureTypeStruct": ["COLLEGE" if college else "LYCEE"],
        "ENTServAcAcademie": ["DEUX-RIVES"],
    }
