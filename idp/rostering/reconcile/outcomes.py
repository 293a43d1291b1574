"""Lists what follows from each outcome of `decide`: the fate of the record, and what the secretary reads."""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from idp.rostering.reconcile.decide import Outcome, StudentOutcome
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Severity


class Fate(enum.StrEnum):
    """What an import does with a record. A refused one changes nothing in the database."""

    REFUSED = "refused"
    GONE = "gone"
    OPEN = "open"  # a pupil in a class: the family may have accounts
    KEPT = "kept"  # a pupil without a class for now: nothing is opened and nothing is lost
    NEW = "new"
    KNOWN = "known"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True)
class Consequence:
    """The fate, and the issue if there is one; `is_doubt` says that the account's schools are told too."""

    fate: Fate
    code: str = ""
    message: str = ""
    severity: Severity = Severity.WARNING
    is_doubt: bool = False


# One sentence for all cases, so that nobody learns from it who has a key.
_OUTSIDE = Consequence(
    Fate.REFUSED,
    "outside",
    "Cette personne est aussi connue hors de votre établissement : l’académie fait le rattachement.",
    Severity.ERROR,
)

STUDENTS: Mapping[str, Consequence] = {
    StudentOutcome.CHANGE_OF_UNKNOWN: Consequence(
        Fate.REFUSED,
        "change_of_unknown",
        "Cet élève n’est pas connu ici : le prochain fichier complet l’apportera.",
    ),
    StudentOutcome.OTHER_PERSON: Consequence(
        Fate.REFUSED,
        "key_of_other_person",
        "Ce numéro est connu pour un autre élève, dont le nom est tout différent : rien n’est changé.",
        Severity.ERROR,
    ),
    StudentOutcome.OUTSIDE: _OUTSIDE,
    StudentOutcome.SCHOOL_UNKNOWN: Consequence(
        Fate.REFUSED,
        "student_school_unknown",
        "L’établissement de cet élève n’est ni dans le fichier ni connu ici : l’élève n’est pas pris.",
        Severity.ERROR,
    ),
    StudentOutcome.LEFT: Consequence(
        Fate.GONE, "student_left", "Cet élève a quitté l’établissement : il n’ouvre pas de compte."
    ),
    StudentOutcome.LEFT_ELSEWHERE: Consequence(
        Fate.REFUSED, "student_left", "Cet élève a quitté l’établissement : il n’ouvre pas de compte."
    ),
    StudentOutcome.WITHOUT_CLASS: Consequence(
        Fate.REFUSED, "student_without_class", "Cet élève n’est dans aucune classe : il n’ouvre pas de compte."
    ),
    StudentOutcome.KEPT_WITHOUT_CLASS: Consequence(
        Fate.KEPT, "student_without_class", "Cet élève n’est dans aucune classe : il n’ouvre pas de compte."
    ),
    StudentOutcome.OPEN: Consequence(Fate.OPEN),
    StudentOutcome.KEPT: Consequence(Fate.KEPT),
    StudentOutcome.GONE: Consequence(Fate.GONE),
    StudentOutcome.UNKNOWN_GONE: Consequence(Fate.REFUSED),
}

GUARDIANS: Mapping[str, Consequence] = {
    Outcome.CHANGE_OF_UNKNOWN: Consequence(
        Fate.REFUSED, "change_of_unknown", "Cette personne n’a pas de compte ici : rien n’est changé."
    ),
    Outcome.KEYS_EXCHANGED: Consequence(
        Fate.REFUSED,
        "keys_exchanged",
        "Ce numéro est connu pour une autre personne, et la personne de cette ligne est connue sous un autre numéro : "
        "rien n’est changé. Remettez à chaque personne son numéro.",
        Severity.ERROR,
        is_doubt=True,
    ),
    Outcome.KEY_OF_OTHER_PERSON: Consequence(
        Fate.REFUSED,
        "key_of_other_person",
        "Ce numéro est connu pour une autre personne : rien n’est changé. Une personne garde son numéro, et une "
        "autre personne en a un autre. Si c’est la même personne, sous un autre nom, dites-le dans Décisions après "
        "l’import.",
        Severity.ERROR,
        is_doubt=True,
    ),
    Outcome.NAME_IN_DOUBT: Consequence(
        Fate.REFUSED,
        "name_in_doubt",
        "Le nom ou la civilité de ce numéro a changé, et le reste ne dit pas que c’est la même personne : rien n’est "
        "changé. Si c’est la même personne, dites-le dans Décisions après l’import. Si c’est une autre, il lui faut "
        "un autre numéro.",
        Severity.ERROR,
        is_doubt=True,
    ),
    Outcome.NAME_CORRECTED: Consequence(
        Fate.KNOWN,
        "name_corrected",
        "Le prénom ou la civilité de ce numéro a changé. Aucun courrier n’a encore été imprimé : le compte prend le "
        "nouveau nom.",
    ),
    Outcome.NO_OPEN_STUDENT: Consequence(
        Fate.REFUSED, "no_open_student", "Aucun élève de cette personne n’est dans une classe : pas de compte."
    ),
    Outcome.NO_LEGAL_AUTHORITY: Consequence(
        Fate.REFUSED, "no_legal_authority", "Cette personne n’est pas représentante légale : pas de compte."
    ),
    Outcome.NO_STUDENT: Consequence(
        Fate.REFUSED, "no_student", "Aucun élève du fichier n’a cette personne pour responsable : pas de compte."
    ),
    Outcome.RETIRED_KEY: Consequence(
        Fate.REFUSED,
        "key_of_other_person",
        "Ce numéro était celui d’une autre personne, dont le compte a été supprimé : rien n’est changé.",
        Severity.ERROR,
    ),
    Outcome.OUTSIDE: _OUTSIDE,
    Outcome.NAMESAKE: Consequence(Fate.NEW),  # `former_accounts` says what becomes of the account that had the key
    Outcome.OTHER_NAMES: Consequence(Fate.NEW),
    Outcome.NEW: Consequence(Fate.NEW),
    Outcome.KNOWN: Consequence(Fate.KNOWN),
    Outcome.ALIAS: Consequence(Fate.ALIAS),
    Outcome.GONE: Consequence(Fate.GONE),
    Outcome.UNKNOWN_GONE: Consequence(Fate.REFUSED),
}

OF_TABLE = {"student": STUDENTS, "guardian": GUARDIANS}


def among(outcomes: Iterable[str]) -> str:
    """Return outcomes as the right side of IN."""
    quoted = (f"'{outcome}'" for outcome in outcomes)
    return f"({', '.join(quoted)})"


def with_fate(table: str, *fates: Fate) -> str:
    """Return the outcomes that lead to one of the fates, as the right side of IN."""
    return among(outcome for outcome, consequence in OF_TABLE[table].items() if consequence.fate in fates)


def fate_of(table: str) -> str:
    """Return the expression that gives the fate of an outcome."""
    cases = (f"WHEN '{outcome}' THEN '{consequence.fate}'" for outcome, consequence in OF_TABLE[table].items())
    return f"CASE outcome {' '.join(cases)} END"


def tell(staging: Staging, table: str) -> None:
    """Store the issues of the outcomes of a table; outcomes with the same issue are told together."""
    keys: dict[tuple[Severity, str, str], list[str]] = {}
    for outcome, consequence in OF_TABLE[table].items():
        if consequence.message:
            issue = (consequence.severity, consequence.code, consequence.message)
            keys.setdefault(issue, []).append(outcome)
    present = set(staging.values(f"SELECT DISTINCT outcome FROM {table}"))
    for issue, outcomes in keys.items():
        if present.intersection(outcomes):
            staging.tell_all(*issue, f"SELECT file, line, key FROM {table} WHERE outcome IN {among(outcomes)}")
