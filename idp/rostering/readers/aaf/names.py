"""Defines the vocabulary of the AAF: requests, categories, and the known names of attributes.

Secondary schools (2D) and primary schools (1D) share the envelope and differ in the names of attributes.
"""

import re
import unicodedata
from collections.abc import Mapping

from idp.rostering.records import Act

ROOT = "ficAlimMENESR"
ACTS: Mapping[str, Act] = {"addRequest": Act.PUT, "modifyRequest": Act.MODIFY, "deleteRequest": Act.DELETE}

STUDENT = "student"
GUARDIAN = "guardian"
SCHOOL = "school"

_PERSONS = {"Eleve": STUDENT, "PersRelEleve": GUARDIAN}
_SCHOOLS = re.compile(r"etab|ecole")
_FILES = {
    STUDENT: re.compile(r"_Eleve_"),
    GUARDIAN: re.compile(r"_PersRelEleve_"),
    SCHOOL: re.compile(r"_EtabEducNat_"),
}
_OTHERS = re.compile(r"_PersEducNat_")
_LONGEST_WORD = 60


def kind_of(category: str) -> str:
    """Return `STUDENT`, `GUARDIAN` or `SCHOOL` for a category; the empty text for others, such as teachers."""
    if kind := _PERSONS.get(category):
        return kind
    return SCHOOL if _SCHOOLS.match(folded(category)) else ""


def kind_of_file(name: str) -> str | None:
    """Return the kind of a file's content by its name, as `kind_of` does; None if the name has no kind."""
    for kind, form in _FILES.items():
        if form.search(name):
            return kind
    return "" if _OTHERS.search(name) else None


def is_primary(structure_type: str) -> bool:
    """Return whether a type of school is a primary one."""
    return folded(structure_type).startswith("ecole")


def folded(word: str) -> str:
    """Return a word of the nomenclature without accents and capitals."""
    return "".join(
        c for c in unicodedata.normalize("NFD", word[:_LONGEST_WORD]) if not unicodedata.combining(c)
    ).lower()


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

KNOWN = frozenset(_WORDS.split())
"""The attributes of the AAF, 2D and 1D, read or ignored on purpose. Any other name is reported."""
