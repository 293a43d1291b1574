"""Reads the AAF (`ficAlimMENESR`), secondary (2D) and primary (1D), Complet and Delta (SDET annex on the AAF).

A request is about one school, one pupil or one guardian; requests about others (teachers, services) are skipped.
2D and 1D share the envelope and differ in the names of attributes, which are read in both vocabularies. An unknown name
is reported once per file and not read (R-09). A key is `aaf:` and the identifier.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from idp.accounts.models import Degree
from idp.rostering.files.xml_stream import Element, XmlStream
from idp.rostering.readers.values import (
    Reporter,
    civility_of,
    date_of,
    kinship_of,
    too_long,
    too_long_address,
    yes_or_no,
)
from idp.rostering.records import LONGEST, Act, Form, Format, Guardian, Issue, Link, Place, Record, School, Student
from idp.uai import is_uai

if TYPE_CHECKING:
    from idp.rostering.files.sources import Source

ROOT = "ficAlimMENESR"
_ACTS: Mapping[str, Act] = {"addRequest": Act.PUT, "modifyRequest": Act.MODIFY, "deleteRequest": Act.DELETE}
_STUDENT, _GUARDIAN, _SCHOOL = "student", "guardian", "school"
_PERSONS = {"Eleve": _STUDENT, "PersRelEleve": _GUARDIAN}
# The kind of a file's requests by its name; empty for others, such as teachers.
_FILES = {
    _STUDENT: re.compile(r"_Eleve_"),
    _GUARDIAN: re.compile(r"_PersRelEleve_"),
    _SCHOOL: re.compile(r"_EtabEducNat_"),
    "": re.compile(r"_PersEducNat_"),
}
_LONGEST_WORD = 60
_ENVELOPE = {"operationalAttributes", "identifier", "attributes", "modifications"}
_NAMED = ("attr", "modification")
_UNKNOWN_CATEGORY = (
    "Ni cette ligne ni le nom du fichier ne dit s’il s’agit d’élèves ou de responsables : il n’est pas lu."
)
_NOT_DONE = "La modification « %s » n’est pas connue : seul le remplacement (« replace ») l’est."
_LINK_FIELDS = 6
_CLASS_FIELDS = (2, 5)
_WORDS = """
categoriePersonne ENTPersonJointure ENTPersonDateNaissance ENTPersonNomPatro ENTPersonAutresPrenoms ENTPersonSexe
ENTPersonProfils ENTPersonStructRattach ENTPersonAdresse ENTPersonCodePostal ENTPersonVille ENTPersonPays
ENTPersonAdresseDiffusion ENTPersonMobileSMS ENTPersonAlias ENTPersonNationalite
sn givenName personalTitle mail mobile homePhone telephoneNumber
ENTPersonNom ENTPersonPrenom ENTPersonCivilite ENTPersonMail ENTPersonTelPerso ENTPersonClasses ENTPersonGroupes
ENTAuxPersRelEleveEleve ENTPersRelEleveEleve ENTPersRelEleveTelPro ENTPersRelEleveTelMobile
ENTEleveINE ENTEleveStructRattachId ENTEleveClasses ENTEleveGroupes ENTEleveStatutEleve ENTEleveRegime
ENTEleveMEF ENTEleveLibelleMEF ENTEleveMEFRattach ENTEleveNivFormation ENTEleveNivFormationDiplome
ENTEleveFiliere ENTEleveSpecialite ENTEleveEnseignements ENTEleveCodeEnseignements ENTEleveBoursier
ENTEleveTransport ENTEleveMajeur ENTEleveMajeurAnticipe ENTEleveVilleNaissance ENTEleveDeptNaissance
ENTElevePaysNaissance ENTEleveDateEntree ENTEleveDateSortie ENTPersonDateSortie ENTElevePersRelEleve
ENTElevePersRelEleve1 ENTElevePersRelEleve2 ENTEleveQualitePersRelEleve1 ENTEleveQualitePersRelEleve2
ENTEleveParents ENTElevePere ENTEleveMere ENTEleveAutoriteParentale ENTEleveDelegClasse ENTEleveDelegAutres
ENTEleveNiveau ENTEleveCycle ENTEleveTypeClasse ENTEleveDateEntreeClasses ENTEleveDateSortieClasses
ENTEleveRestaurantScolaire ENTEleveGarderieMatin ENTEleveGarderieSoir ENTEleveEtudesSurveillees
categorieStructure ENTStructureJointure ENTStructureUAI ENTStructureSIREN ENTStructureNomCourant
ENTStructureTypeStruct ENTStructureCodeTypeStruct ENTStructureClasses ENTStructureGroupes ENTStructureMailSI
ENTStructureEmail ENTStructureSiteWeb ENTStructureContactENT ENTStructureBoitePostale ENTStructureAdresse
ENTStructureCodePostal ENTStructureVille ENTStructureTelephone ENTStructureFax ENTEtablissementUAI
ENTEtablissementContrat ENTEtablissementMinistereTutelle ENTEtablissementCodeMinistereTutelle
ENTEtablissementStructRattachFctl ENTEtablissementStructRattachAdmin ENTEtablissementBassin ENTServAcAcademie
ENTServCodeAcAcademie ENTServAcCodeAcademie ENTEcoleMinistereTutelle ENTEcoleCodeMinistereTutelle
ENTEcoleSecteur ENTEcoleCirconscription ENTEcoleCommune ENTEcoleRPI
postOfficeBox street postalCode l facsimileTelephoneNumber
"""

# The attributes of the AAF, 2D and 1D, read or ignored on purpose. Any other name is reported.
_KNOWN = frozenset(_WORDS.split())


class _Request(NamedTuple):
    """A request.

    Attributes:
        key: The identifier in the file, or the empty text.
        kind: `student`, `guardian`, `school`; empty for another category; None for a request without category.
        values: The texts of each attribute of the request, in the order of the file; an emptied one has no text.
        missing: The value of an attribute that the request does not have: the empty text; None in a partial request.
    """

    act: Act
    place: Place
    key: str
    kind: str | None
    values: dict[str, list[str]]
    missing: str | None

    def texts(self, name: str, other: str = "") -> list[str] | None:
        """Return all texts of `name`, or of `other` if there is no `name`; None if a partial request has neither."""
        values = self.values.get(name, self.values.get(other))
        return [] if values is None and self.missing is not None else values

    def text(self, name: str, other: str = "") -> str | None:
        """Return the first of `texts`; the empty text if there is none."""
        values = self.texts(name, other)
        return None if values is None else next(iter(values), "")


def _parse(element: Element, reporter: Reporter) -> tuple[_Request, list[Issue]]:
    values: dict[str, list[str]] = {}
    issues: list[Issue] = []
    key = ""
    for (parent, attributes), (tag, own), text in element.leaves:
        if tag == "value" and parent in _NAMED:
            if parent == "modification" and (operation := _attribute(attributes, "operation")) not in {"", "replace"}:
                issues.append(reporter.warning(element.line, "", "unknown_operation", _NOT_DONE % operation[:20]))
                continue
            name = attributes[1] if len(attributes) == 2 else _attribute(attributes, "name")  # noqa: PLR2004 - a pair
            if name not in values:
                values[name] = [text] if text else []
            elif text:
                values[name].append(text)
        elif tag == "id" and parent == "identifier":
            key = text
        elif tag in _NAMED:  # an attribute without value is emptied
            values.setdefault(_attribute(own, "name"), [])
        elif tag not in _ENVELOPE:
            issues += reporter.unknown(element.line, [tag])
    if not values.keys() <= _KNOWN:
        issues += reporter.unknown(element.line, sorted(values.keys() - _KNOWN))
    act = _ACTS[element.node[0]]
    category = _first(values, ("categoriePersonne", "categorieStructure"))
    kind = None if category is None else _kind_of(category)
    key = key or _first(values, ("ENTPersonJointure", "ENTStructureJointure")) or ""
    missing = "" if act is Act.PUT else None
    return _Request(act, Place(reporter.file, element.line), key, kind, values, missing), issues


def _first(values: dict[str, list[str]], names: Iterable[str]) -> str | None:
    return next((values[name][0] for name in names if values.get(name)), None)


def _attribute(attributes: list[str], name: str) -> str:
    pairs = zip(attributes[::2], attributes[1::2], strict=True)
    return next((text for own, text in pairs if own == name), "")


def _kind_of(category: str) -> str:
    return _PERSONS.get(category) or (_SCHOOL if _folded(category).startswith(("etab", "ecole")) else "")


def _folded(word: str) -> str:
    letters = unicodedata.normalize("NFD", word[:_LONGEST_WORD])
    return "".join(letter for letter in letters if not unicodedata.combining(letter)).lower()


def read(source: "Source", form: Form) -> Iterator[Record]:
    """Yield the records and the issues of a file; a bad file raises no exception."""
    stream = XmlStream(source, frozenset(_ACTS))
    reader = _Reader(source.name, form)
    seen = False
    for element in stream:
        seen = True
        yield from reader.records(element)
        if reader.is_lost:
            return
    if stream.refusal:
        yield stream.refusal
    elif not seen and stream.root != ROOT:
        yield reader.reporter.error(1, "", "not_aaf", "Ce fichier n’est pas un fichier de l’AAF (ficAlimMENESR).")


class _Reader:
    """Make records from the requests of one file. `is_lost` says that the file does not say its category."""

    def __init__(self, file: str, form: Form) -> None:
        self.reporter = Reporter(file)
        self.is_lost = False
        self._form = form
        self._warnings: list[Issue] = []
        self._kind_of_file = next((kind for kind, form in _FILES.items() if form.search(file)), None)

    def records(self, element: Element) -> Iterator[Record]:
        """Yield the records and the issues of a request."""
        request, issues = _parse(element, self.reporter)
        yield from issues
        kind = self._kind_of_file if request.kind is None else request.kind
        if kind is None:
            self.is_lost = True
            yield self.reporter.error(element.line, request.key, "category_unknown", _UNKNOWN_CATEGORY)
        elif kind == _SCHOOL:
            yield self._school(request)
        elif kind:
            yield self._person(request, kind)
            yield from self._warnings
            self._warnings.clear()

    def _person(self, request: _Request, kind: str) -> Record:
        key = f"aaf:{request.key}"
        if not request.key:
            return self._refusal(
                request, kind, "no_key", "Cette personne n’a pas d’identifiant : elle n’est pas prise."
            )
        if request.act is Act.DELETE:
            request = request._replace(values={})
        person, sentence = self._student(request, key) if kind == _STUDENT else _guardian(request, key)
        if person.family_name == "":
            return self._refusal(
                request, kind, "no_name", "Cette personne n’a pas de nom de famille : elle n’est pas prise."
            )
        return self._refusal(request, kind, "too_long", sentence) if sentence else person

    def _refusal(self, request: _Request, kind: str, code: str, message: str) -> Record:
        return self.reporter.error(request.place.line, request.key, code, message, refuses=kind)

    def _school(self, request: _Request) -> Record:
        """Return the school, or a warning if it cannot be taken: its pupils are refused one by one later."""
        key = f"aaf:{request.key}"
        uai = request.text("ENTStructureUAI") or request.text("ENTEtablissementUAI") or ""
        name = request.text("ENTStructureNomCourant") or ""
        postal_address = _school_address(request)
        phone = request.text("telephoneNumber", "ENTStructureTelephone") or ""
        sentence = too_long([("key", key), ("school_name", name), ("phone", phone)]) or too_long_address(postal_address)
        if not request.key:
            sentence = "Cet établissement n’a pas d’identifiant : il n’est pas pris."
        elif not sentence and not is_uai(uai) and (uai or request.act is Act.PUT):
            sentence = "Le numéro UAI de cet établissement manque ou est faux : il n’est pas pris."
        if sentence:
            return self.reporter.warning(request.place.line, request.key, "bad_school", sentence)
        return School(
            place=request.place,
            key=key,
            uai=uai,
            name=name,
            degree=self._degree(request),
            address_lines=postal_address,
            phone=phone,
            act=request.act,
        )

    def _degree(self, request: _Request) -> Degree | None:
        if self._form.format is Format.AAF1D:
            return Degree.PRIMARY
        if structure_type := request.text("ENTStructureTypeStruct"):
            return Degree.PRIMARY if _folded(structure_type).startswith("ecole") else Degree.SECONDARY
        return self._form.degree

    def _student(self, request: _Request, key: str) -> tuple[Student, str]:
        school = request.text("ENTPersonStructRattach")
        if len(request.texts("ENTPersonStructRattach") or ()) > 1:
            self._warn(request, "several_schools", "Cet élève a plusieurs établissements : seul le premier est pris.")
        student_id = request.text("ENTEleveStructRattachId")
        family_name = request.text("sn", "ENTPersonNom")
        given_name = request.text("givenName", "ENTPersonPrenom")
        class_name = self._class_name(request, school)
        links = self._links(request)
        keys = [("key", key), ("key", f"aaf:{school}" if school else ""), ("student_id", student_id)]
        sentence = too_long([*keys, ("name", family_name), ("name", given_name), ("class_name", class_name)])
        student = Student(
            place=request.place,
            key=key,
            act=request.act,
            school=f"aaf:{school}" if school else school,
            student_id=student_id,
            family_name=family_name,
            given_name=given_name,
            birth_date=self._date(request, "date de naissance", "ENTPersonDateNaissance"),
            class_name=class_name,
            left_on=self._date(request, "date de sortie", "ENTEleveDateSortie", "ENTPersonDateSortie"),
            links=links,
        )
        return student, sentence

    def _warn(self, request: _Request, code: str, message: str) -> None:
        self._warnings.append(self.reporter.warning(request.place.line, request.key, code, message))

    def _date(self, request: _Request, label: str, *names: str) -> date | None:
        if not (text := request.text(*names)):
            return None
        if (day := date_of(text)) is None:
            self._warn(request, "bad_date", f"La {label} n’est pas une date (JJ/MM/AAAA) : elle n’est pas prise.")
        return day

    def _class_name(self, request: _Request, school: str | None) -> str | None:
        """Return the class in the pupil's school; a pupil may have classes in several schools."""
        values = request.texts("ENTEleveClasses", "ENTPersonClasses")
        if not values:
            return None if values is None and request.act is not Act.DELETE else ""
        classes = [fields for value in values if (fields := self._class(request, value))]
        if not classes:
            return ""
        if school is None and len({structure for structure, _ in classes}) > 1:
            self._warn(
                request,
                "class_of_which_school",
                "L’élève a des classes dans plusieurs établissements : aucune n’est prise.",
            )
            return None
        mine = [name for structure, name in classes if school is None or structure == school]
        if not mine:
            self._warn(
                request,
                "class_of_other_school",
                "La classe de cet élève est d’un autre établissement : elle n’est pas prise.",
            )
        return next(iter(mine), "")

    def _class(self, request: _Request, value: str) -> tuple[str, str] | None:
        """Parse `structure$CLASS`, or in the 1D `structure$?$?$classKey$className`."""
        fields = value.split("$", 5)
        if len(fields) not in _CLASS_FIELDS:
            self._warn(
                request, "bad_class", "La classe de cet élève n’est pas écrite comme prévu : elle n’est pas prise."
            )
            return None
        return fields[0].strip(), fields[-1].strip()

    def _links(self, request: _Request) -> tuple[Link, ...] | None:
        is_primary = self._form.format is Format.AAF1D or "ENTPersonNom" in request.values
        values = request.texts("ENTElevePersRelEleve")
        parents = request.values.get("ENTEleveAutoriteParentale")
        if is_primary and parents is not None and "ENTElevePersRelEleve" not in request.values:
            links = [self._link(request, parent.partition("$")[0].strip(), "", "1") for parent in parents]
        elif values is None:
            return None
        else:
            links = [self._full_link(request, value) for value in values]
        return tuple(link for link in links if link)

    def _full_link(self, request: _Request, value: str) -> Link | None:
        """Parse `parentKey$kinship$financial$authority$contact$payment`."""
        fields = [field.strip() for field in value.split("$", _LINK_FIELDS)]
        parent, kinship, _, authority, *_ = fields if len(fields) == _LINK_FIELDS else [""] * _LINK_FIELDS
        return self._link(request, parent, kinship, authority)

    def _link(self, request: _Request, parent: str, kinship: str, authority: str) -> Link | None:
        key = f"aaf:{parent}"
        if not parent or len(key) > LONGEST["key"] or authority not in {"0", "1", "2", "3"}:
            self._warn(
                request, "bad_link", "Un responsable de cet élève n’est pas écrit comme prévu : ce lien n’est pas pris."
            )
            return None
        code = kinship_of(kinship)
        if code is None:
            self._warn(request, "unknown_kinship", "Le lien de parenté d’un responsable n’est pas un code connu.")
        return Link(key, code or "", int(authority))


def _guardian(request: _Request, key: str) -> tuple[Guardian, str]:
    text = request.text
    postal_address = text("ENTPersonAdresse")
    lines = None if postal_address is None else _lines(postal_address)
    title = text("personalTitle", "ENTPersonCivilite")
    guardian = Guardian(
        place=request.place,
        key=key,
        act=request.act,
        civility=title and civility_of(title),
        family_name=text("sn", "ENTPersonNom"),
        birth_name=text("ENTPersonNomPatro"),
        given_name=text("givenName", "ENTPersonPrenom"),
        address_lines=lines,
        postcode=text("ENTPersonCodePostal"),
        city=text("ENTPersonVille"),
        country=text("ENTPersonPays"),
        email=text("mail", "ENTPersonMail"),
        address_diffusion=yes_or_no(text("ENTPersonAdresseDiffusion") or ""),
    )
    names = [("name", name) for name in (guardian.family_name, guardian.birth_name, guardian.given_name)]
    where = [("postcode", guardian.postcode), ("city", guardian.city), ("city", guardian.country)]
    sentence = too_long([("key", key), ("civility", guardian.civility), *names, *where, ("mail", guardian.email)])
    return guardian, sentence or (too_long_address(lines) if lines else "")


def _lines(postal_address: str) -> tuple[str, ...]:
    return tuple(line for part in postal_address.split("$") if (line := part.strip()))


def _school_address(request: _Request) -> tuple[str, ...]:
    text = request.text
    town = f"{text('postalCode', 'ENTStructureCodePostal') or ''} {text('l', 'ENTStructureVille') or ''}"
    parts = (text("street", "ENTStructureAdresse"), text("postOfficeBox", "ENTStructureBoitePostale"), town)
    return tuple(line for part in parts for line in _lines(part or ""))
