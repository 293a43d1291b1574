"""Reads `ResponsablesAvecAdresses.xml`: the people, their links to pupils, then the postal addresses."""

from collections.abc import Iterator
from typing import NamedTuple

from idp.rostering.files.xml_stream import Element
from idp.rostering.readers.siecle.content import Content, Fields, fields_of, first_of
from idp.rostering.readers.xml_values import (
    LINES,
    Reporter,
    civility_of,
    kinship_of,
    too_long,
    too_long_address,
    yes_or_no,
)
from idp.rostering.records import LONGEST, Form, Guardian, Issue, Link, Record, StudentLink

_WORDS = """
PERSONNE_ID NOM NOM_DE_FAMILLE NOM_USAGE PRENOM LC_CIVILITE LL_CIVILITE CODE_CIVILITE TEL_PERSONNEL TEL_PORTABLE
TEL_PROFESSIONNEL MEL ACCEPTE_SMS ADRESSE_ID CODE_PROFESSION CODE_SITUATION COMMUNICATION_ADRESSE NB_ENF_CHARGE
DATE_MODIFICATION
"""
_KNOWN = frozenset(_WORDS.split())
_NEW_AUTHORITIES = {"1": 1, "2": 2, "3": 3}
_OLD_AUTHORITIES = {"1": 1, "2": 1, "0": 3}
"""`RESP_LEGAL` 1 and 2 were the first and the second legal representative; 0 was another person."""
_CUT = "Le fichier est coupé avant de dire l’adresse de cette personne : elle n’est pas prise."


class _Address(NamedTuple):
    lines: tuple[str, ...] = ()
    postcode: str = ""
    city: str = ""
    country: str = ""


class _Row(NamedTuple):
    line: int
    key: str
    civility: str
    family_name: str
    birth_name: str
    given_name: str
    email: str
    address_diffusion: bool | None


def _held(postal_address: _Address) -> _Address:
    """Return an address shortened for memory; one that is too long stays so, and is refused later."""
    lines = tuple(line[: LONGEST["line"] + 1] for line in postal_address.lines[: LINES + 1])
    rest = (value[: LONGEST["city"] + 1] for value in postal_address[1:])
    return _Address(lines, *rest)


class Guardians(Content):
    """The guardians of a school's pupils."""

    tags = frozenset(["PERSONNE", "RESPONSABLE_ELEVE", "ADRESSE"])

    def __init__(self, reporter: Reporter, form: Form) -> None:
        super().__init__(reporter, form)
        self._held: dict[str, list[_Row]] = {}
        self._addresses: dict[str, _Address] = {}
        self._first_legal: dict[str, str] = {}

    def take_row(self, tag: str, element: Element) -> Iterator[Record]:
        """Yield a link, or the people whose address is known now."""
        fields = fields_of(element)
        if tag == "PERSONNE":
            yield from self._take_person(element, fields)
        elif tag == "RESPONSABLE_ELEVE":
            yield from self._take_link(element.line, fields)
        else:
            key = fields.get("ADRESSE_ID", "")
            if len(key) > LONGEST["key"]:
                return  # no person can have such a key
            postal_address = _held(_address(fields))
            if rows := self._held.pop(key, None):
                for row in rows:
                    yield self._guardian(row, postal_address)
            else:
                self._addresses[key] = postal_address

    def release_all(self) -> Iterator[Record]:
        """Yield the people whose address is not in the file."""
        for rows in self._held.values():
            for row in rows:
                message = "L’adresse de cette personne n’est pas dans le fichier : elle est prise sans adresse."
                yield self.reporter.warning(row.line, row.key, "address_missing", message)
                yield self._guardian(row, _Address())

    def refuse_all(self) -> Iterator[Issue]:
        """Yield a refusal of each person whose address has not come yet."""
        for rows in self._held.values():
            for row in rows:
                yield self._refusal(row.line, row.key, "cut_off", _CUT)

    def _take_person(self, element: Element, fields: Fields) -> Iterator[Record]:
        if not fields.keys() <= _KNOWN:
            yield from self.reporter.unknown(element.line, sorted(fields.keys() - _KNOWN))
        row = _Row(
            line=element.line,
            key=fields.get("PERSONNE_ID", ""),
            civility=civility_of(first_of(fields, "LC_CIVILITE", "LL_CIVILITE")),
            family_name=first_of(fields, "NOM_USAGE", "NOM_DE_FAMILLE", "NOM"),
            birth_name=fields.get("NOM_DE_FAMILLE", ""),
            given_name=fields.get("PRENOM", ""),
            email=fields.get("MEL", ""),
            address_diffusion=yes_or_no(fields.get("COMMUNICATION_ADRESSE", "")),
        )
        where = fields.get("ADRESSE_ID", "")[: LONGEST["key"] + 1]
        if refusal := self._refuse(row):
            yield refusal
        elif not where or where in self._addresses:
            yield self._guardian(row, self._addresses.get(where, _Address()))
        else:
            self._held.setdefault(where, []).append(row)

    def _refuse(self, row: _Row) -> Issue | None:
        """Return why a person is not taken; None for those who are."""
        if not row.key:
            message = "Cette personne n’a pas de numéro (PERSONNE_ID) : elle n’est pas prise."
            return self._refusal(row.line, "", "no_key", message)
        if not row.family_name:
            message = "Cette personne n’a pas de nom de famille : elle n’est pas prise."
            return self._refusal(row.line, row.key, "no_name", message)
        names = (("name", name) for name in (row.family_name, row.birth_name, row.given_name))
        sentence = too_long(
            [("key", f"siecle:{row.key}"), ("civility", row.civility), ("mail", row.email), *names],
        )
        return self._refusal(row.line, row.key, "too_long", sentence) if sentence else None

    def _guardian(self, row: _Row, postal_address: _Address) -> Record:
        _, postcode, city, country = postal_address
        sentence = too_long([("postcode", postcode), ("city", city), ("city", country)])
        if sentence := sentence or too_long_address(postal_address.lines):
            return self._refusal(row.line, row.key, "too_long", sentence)
        return Guardian(
            place=self.reporter.place(row.line),
            key=f"siecle:{row.key}",
            civility=row.civility,
            family_name=row.family_name,
            birth_name=row.birth_name,
            given_name=row.given_name,
            address_lines=postal_address.lines,
            postcode=postcode,
            city=city,
            country=country,
            email=row.email,
            address_diffusion=row.address_diffusion,
        )

    def _take_link(self, line: int, fields: Fields) -> Iterator[Record]:
        student, person = fields.get("ELEVE_ID", ""), fields.get("PERSONNE_ID", "")
        level = fields.get("NIVEAU_RESPONSABILITE", "")
        legal = fields.get("RESP_LEGAL", "")
        authority = _NEW_AUTHORITIES.get(level) if level else _OLD_AUTHORITIES.get(legal)
        longest = max(len(student), len(person)) + len("siecle:")
        if not student or not person or longest > LONGEST["key"] or authority is None:
            message = "Ce lien entre un élève et un responsable n’est pas écrit comme prévu : il n’est pas pris."
            yield self.reporter.warning(line, student, "bad_link", message)
            return
        kinship = kinship_of(fields.get("CODE_PARENTE", ""))
        if kinship is None:
            message = "Le lien de parenté d’un responsable n’est pas un code connu."
            yield self.reporter.warning(line, student, "unknown_kinship", message)
        if not level and legal == "1" and self._first_legal.setdefault(student, person) != person:
            message = "Deux responsables de cet élève sont « légal 1 » : corrigez SIECLE. Les deux sont pris."
            yield self.reporter.warning(line, student, "two_first_legal", message)
        link = Link(f"siecle:{person}", kinship or "", authority)
        yield StudentLink(place=self.reporter.place(line), student=f"siecle:{student}", link=link)

    def _refusal(self, line: int, key: str, code: str, message: str) -> Issue:
        return self.reporter.error(line, key, code, message, refuses="guardian")


def _address(fields: Fields) -> _Address:
    lines = (fields.get(f"LIGNE{number}_ADRESSE", "") for number in range(1, 5))
    city = first_of(fields, "LIBELLE_POSTAL", "LL_COMMUNE_INSEE", "COMMUNE_ETRANGERE")
    return _Address(
        tuple(line for line in lines if line), fields.get("CODE_POSTAL", ""), city, fields.get("LL_PAYS", "")
    )
