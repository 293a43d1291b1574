"""SIECLE's exports: for each school `ElevesAvecAdresses.xml` and `ResponsablesAvecAdresses.xml`, in Latin-9."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from bench.academy.families import Household, Link, Person, PostalAddress, Pupil
from bench.academy.mistakes import Kind
from bench.academy.schools import SCHOOL_YEAR, School
from bench.academy.writers.output import Output, zipped
from bench.academy.writers.representable import by_school

ENCODING = "ISO-8859-15"
_OLD_KINSHIPS = {"10": "2", "20": "1", "50": "3", "39": "4"}
_OTHER = "6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The style of the files.

    Attributes:
        old: whether they have the field names, kinships and ranks of older exports.
        root: the beginning of the roots' names: `BEE`, or `BEE_EPHC`.
        zipped: whether each file is in a zip archive of its own, as SIECLE delivers it.
    """

    old: bool = False
    root: str = "BEE"
    zipped: bool = False


def mistakes(style: Style) -> frozenset[Kind]:
    """Return the mistakes that files of that style can have: new ones do not rank legal representatives."""
    return frozenset(Kind) if style.old else frozenset(Kind) - {Kind.TWO_FIRST}


def write(output: Output, schools: Sequence[School], households: Iterable[Household], style: Style) -> None:
    """Write a pair of files for each school that has pupils, in a folder named by its UAI."""
    for school, group in by_school(households, schools):
        _add(output, school, style, "ELEVES", _pupils(group, style))
        _add(output, school, style, "RESPONSABLES", _guardians(group, style))


def _add(output: Output, school: School, style: Style, content: str, body: str) -> None:
    root = f"{style.root}_{content}"
    document = (
        f'<?xml version="1.0" encoding="{ENCODING}"?>\n<{root} VERSION="2.0">\n<PARAMETRES>\n<UAJ>{school.uai}</UAJ>\n'
        f"<ANNEE_SCOLAIRE>{SCHOOL_YEAR}</ANNEE_SCOLAIRE>\n<DATE_EXPORT>21/09/{SCHOOL_YEAR}</DATE_EXPORT>\n"
        f"<HORODATAGE>21/09/{SCHOOL_YEAR} 08:30:00</HORODATAGE>\n</PARAMETRES>\n"
        f"<DONNEES>\n{body}</DONNEES>\n</{root}>\n"
    ).encode(ENCODING, "xmlcharrefreplace")
    name = f"{content.capitalize()}AvecAdresses"
    if style.zipped:
        output.add(f"{school.uai}/{name}.zip", zipped(f"{name}.xml", document))
    else:
        output.add(f"{school.uai}/{name}.xml", document)


def _pupils(group: Iterable[Household], style: Style) -> str:
    pupils, structures, homes = [], [], []
    for household in group:
        home = household.people[0].postal_address
        homes.append(home)
        for pupil in household.pupils:
            pupils.append(_pupil(pupil, home, style))
            structures.append(_structures(pupil))
    return (
        f"<ELEVES>\n{''.join(pupils)}</ELEVES>\n<STRUCTURES>\n{''.join(structures)}</STRUCTURES>\n{_addresses(homes)}"
    )


def _guardians(group: Iterable[Household], style: Style) -> str:
    people, links, homes = [], [], []
    for household in group:
        for person in household.people:
            people.append(_person(person, style))
            homes.append(person.postal_address)
        links += [_link(pupil, link, style) for pupil in household.pupils for link in pupil.links]
    return (
        f"<PERSONNES>\n{''.join(people)}</PERSONNES>\n<RESPONSABLES>\n{''.join(links)}</RESPONSABLES>\n"
        f"{_addresses(homes)}"
    )


def _element(name: str, value: str) -> str:
    """Return an element on a line of its own; SIECLE omits empty elements."""
    return f"<{name}>{escape(value)}</{name}>\n" if value else ""


def _pupil(pupil: Pupil, home: PostalAddress, style: Style) -> str:
    return (
        f'<ELEVE ELEVE_ID="{pupil.student_id}" ELENOET="{pupil.student_id % 100_000}">\n'
        + _element("INE_BEA" if style.old else "ID_NATIONAL", f"{pupil.key:09d}AA")
        + _element("NOM_DE_FAMILLE", pupil.family_name)
        + _element("PRENOM", pupil.given_name)
        + _element("DATE_NAISS", pupil.birth_date)
        + _element("CODE_SEXE", "2" if pupil.female else "1")
        + _element("DATE_SORTIE", pupil.left_on)
        + _element("ADRESSE_ID", str(home.key))
        + "</ELEVE>\n"
    )


def _structures(pupil: Pupil) -> str:
    """Return the pupil's class, and for some pupils a group before it, which a reader must not take for the class."""
    if not pupil.class_name:
        return ""
    group = _structure("LATIN GR1", "G") if pupil.key % 3 == 0 else ""
    return (
        f'<STRUCTURES_ELEVE ELEVE_ID="{pupil.student_id}">\n{group}{_structure(pupil.class_name, "D")}'
        "</STRUCTURES_ELEVE>\n"
    )


def _structure(code: str, kind: str) -> str:
    return f"<STRUCTURE>\n{_element('CODE_STRUCTURE', code)}{_element('TYPE_STRUCTURE', kind)}</STRUCTURE>\n"


def _person(person: Person, style: Style) -> str:
    if style.old:
        names = _element("NOM", person.family_name)
    else:
        usual = person.family_name if person.family_name != person.birth_name else ""
        names = _element("NOM_DE_FAMILLE", person.birth_name) + _element("NOM_USAGE", usual)
    return (
        f'<PERSONNE PERSONNE_ID="{person.key}">\n{names}'
        + _element("PRENOM", person.given_name)
        + _element("LC_CIVILITE", person.civility.upper())
        + _element("TEL_PORTABLE", person.mobile)
        + _element("MEL", person.mail)
        + _element("ADRESSE_ID", str(person.postal_address.key))
        + _element("COMMUNICATION_ADRESSE", str(int(person.diffusion)))
        + _element("COULEUR_PREFEREE", person.unknown)
        + "</PERSONNE>\n"
    )


def _link(pupil: Pupil, link: Link, style: Style) -> str:
    """Return the tie between a person and a pupil; the level of a broken link is a letter."""
    first = str(int(link.rank == 1))
    if style.old:
        kinship = _OLD_KINSHIPS.get(link.kinship, _OTHER)
        level = _element("RESP_LEGAL", "X" if link.broken else str(link.rank))
        roles = _element("RESP_FINANCIER", first) + _element("PERS_PAIMENT", first) + _element("PERS_CONTACT", "1")
    else:
        kinship = link.kinship
        level = _element("NIVEAU_RESPONSABILITE", "X" if link.broken else str(link.authority))
        roles = _element("PAIE_FRAIS_SCOLAIRES", first) + _element("A_CONTACTER_EN_PRIORITE", first)
    return (
        f"<RESPONSABLE_ELEVE>\n<ELEVE_ID>{pupil.student_id}</ELEVE_ID>\n<PERSONNE_ID>{link.person}</PERSONNE_ID>\n"
        f"<CODE_PARENTE>{kinship}</CODE_PARENTE>\n{level}{roles}</RESPONSABLE_ELEVE>\n"
    )


def _addresses(homes: Iterable[PostalAddress]) -> str:
    once = {home.key: home for home in homes}
    return f"<ADRESSES>\n{''.join(map(_address, once.values()))}</ADRESSES>\n"


def _address(home: PostalAddress) -> str:
    lines = "".join(_element(f"LIGNE{number}_ADRESSE", line) for number, line in enumerate(home.lines, 1))
    return (
        f'<ADRESSE ADRESSE_ID="{home.key}">\n{lines}'
        + _element("CODE_POSTAL", home.postcode)
        + _element("LIBELLE_POSTAL", home.city)
        + _element("CODE_PAYS", "100")
        + _element("LL_PAYS", "FRANCE")
        + "</ADRESSE>\n"
    )
