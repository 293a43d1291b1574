"""Reads `ElevesAvecAdresses.xml`: the pupils, then their classes."""

from collections.abc import Iterator
from datetime import date
from sys import intern
from typing import NamedTuple

from idp.rostering.files.xml_stream import Element
from idp.rostering.readers.siecle.content import Content, Fields, fields_of, first_of, groups_of
from idp.rostering.readers.xml_values import Reporter, date_of, too_long
from idp.rostering.records import LONGEST, Form, Issue, Record, Student

_CLASS = "D"
_WORDS = """
ELEVE_ID ELENOET ID_NATIONAL INE_RNIE INE_BEA ID_ELEVE_ETAB NOM NOM_DE_FAMILLE NOM_USAGE PRENOM PRENOM2 PRENOM3
DATE_NAISS CODE_SEXE DATE_ENTREE DATE_SORTIE CODE_MOTIF_SORTIE CODE_REGIME CODE_MEF CODE_STATUT CODE_PROVENANCE
CODE_COMMUNE_INSEE_NAISS CODE_DEPARTEMENT_NAISS VILLE_NAISS CODE_PAYS CODE_PAYS_NAT CODE_PAYS_NAISS MEL
TEL_PERSONNEL TEL_PORTABLE TEL_PROFESSIONNEL ACCEPTE_SMS ADRESSE_ID DOUBLEMENT MAJEUR EMANCIPE ADHESION_TRANSPORT
CODE_BOURSE DATE_MODIFICATION TAILLE_FRATRIE
"""
_KNOWN = frozenset(_WORDS.split())
_DATES = {"DATE_NAISS": "naissance", "DATE_SORTIE": "sortie"}
_CUT = "Le fichier est coupé avant de dire la classe de cet élève : l’élève n’est pas pris."
_NOWHERE = "L’établissement de cet élève n’est pas connu : l’élève n’est pas pris."


class _Row(NamedTuple):
    line: int
    family_name: str
    given_name: str
    birth_date: date | None
    left_on: date | None


class Students(Content):
    """The pupils of a school."""

    tags = frozenset(["ELEVE", "STRUCTURES_ELEVE"])

    def __init__(self, reporter: Reporter, form: Form) -> None:
        super().__init__(reporter, form)
        self._held: dict[str, list[_Row]] = {}
        self._classes: dict[str, str] = {}

    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Yield the issues of a pupil's row, or the pupils whose class is known now."""
        fields = fields_of(element)
        key = fields.get("ELEVE_ID", "")
        if tag == "ELEVE":
            yield from self._take_student(element, key, fields)
        elif (name := _class_name(element)) and len(key) <= LONGEST["key"]:
            self._classes.setdefault(key, intern(name[: LONGEST["class_name"] + 1]))
        if self.school and key in self._classes:
            for row in self._held.pop(key, ()):
                yield self._student(key, row)

    def release_all(self) -> Iterator[Record]:
        """Yield the pupils whose class is not in the file."""
        for key, rows in self._held.items():
            for row in rows:
                yield self._student(key, row)

    def refuse_all(self) -> Iterator[Issue]:
        """Yield a refusal of each pupil whose class has not come yet."""
        for key, rows in self._held.items():
            for row in rows:
                yield self._refusal(row.line, key, "cut_off", _CUT)

    def _take_student(self, element: Element, key: str, fields: Fields) -> Iterator[Issue]:
        line = element.line
        if not fields.keys() <= _KNOWN:
            yield from self.reporter.unknown(line, sorted(fields.keys() - _KNOWN))
        family_name = first_of(fields, "NOM_USAGE", "NOM_DE_FAMILLE", "NOM")
        given_name = fields.get("PRENOM", "")
        if not key:
            yield self._refusal(line, "", "no_key", "Cet élève n’a pas de numéro (ELEVE_ID) : l’élève n’est pas pris.")
        elif not family_name:
            yield self._refusal(line, key, "no_name", "Cet élève n’a pas de nom de famille : l’élève n’est pas pris.")
        elif sentence := too_long(
            (("key", f"siecle:{key}"), ("student_id", key), ("name", family_name), ("name", given_name))
        ):
            yield self._refusal(line, key, "too_long", sentence)
        else:
            days = {}
            for name, label in _DATES.items():
                days[name] = date_of(fields.get(name, ""))
                if fields.get(name) and days[name] is None:
                    message = f"La date de {label} n’est pas une date (JJ/MM/AAAA) : elle n’est pas prise."
                    yield self.reporter.warning(line, key, "bad_date", message)
            row = _Row(line, family_name, given_name, days["DATE_NAISS"], days["DATE_SORTIE"])
            self._held.setdefault(key, []).append(row)

    def _student(self, key: str, row: _Row) -> Record:
        class_name = self._classes.get(key, "")
        if not self.school:
            return self._refusal(row.line, key, "school_unknown", _NOWHERE)
        if sentence := too_long([("class_name", class_name)]):
            return self._refusal(row.line, key, "too_long", sentence)
        return Student(
            place=self.reporter.place(row.line),
            key=f"siecle:{key}",
            school=self.school,
            student_id=key,
            family_name=row.family_name,
            given_name=row.given_name,
            birth_date=row.birth_date,
            class_name=class_name,
            left_on=row.left_on,
        )

    def _refusal(self, line: int, key: str, code: str, message: str) -> Issue:
        return self.reporter.error(line, key, code, message, refuses="student")


def _class_name(element: Element) -> str:
    """Return the pupil's class, which stands among the groups."""
    structures = groups_of(element, "STRUCTURE")
    return next((s.get("CODE_STRUCTURE", "") for s in structures if s.get("TYPE_STRUCTURE") == _CLASS), "")
