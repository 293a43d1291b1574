"""Finds new people who may be one person under two keys: the same names in the same town (R-08).

They are proposed and never merged. Only new people are looked at, because older ones were proposed when they were new.
"""

from typing import Any

from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import Context
from idp.rostering.records import Severity

_PAGE = 500

_FIND_NEW = (
    "INSERT INTO new_person SELECT key, name_key(given_name, family_name), postcode FROM guardian WHERE fate = 'new'"
)
_FIND_AMONG_NEW = (
    "INSERT INTO near_duplicate SELECT n.key FROM new_person n WHERE postcode <> '' AND EXISTS "
    "(SELECT 1 FROM new_person o WHERE o.name_key = n.name_key AND o.postcode = n.postcode AND o.key <> n.key)"
)
_NEW = "SELECT name_key, postcode, key FROM new_person WHERE postcode <> ''"
_FOUND = "SELECT g.file, g.line, g.key FROM guardian g JOIN near_duplicate d ON d.key = g.key"


def find_near_duplicates(context: Context) -> None:
    """Tell which new people look like somebody else of the files or of the database."""
    staging = context.staging
    only_school = context.only_school if context.refuses_others else None  # nobody learns who is in other schools
    staging.run(_FIND_NEW)
    staging.create_index("new_person_name")
    staging.run(_FIND_AMONG_NEW)
    for page in staging.pages(_NEW, _PAGE):
        staging.insert("near_duplicate", [(key,) for key in _known_elsewhere(page, only_school)])
    staging.tell_all(
        Severity.WARNING,
        "near_duplicate",
        "Cette personne a le nom et la commune d’une autre, sous un autre numéro. Si c’est la même, elle peut réunir "
        "ses courriers dans « Gérer mon compte », ou le fichier est à corriger.",
        _FOUND,
    )


def _known_elsewhere(page: list[Any], only_school: str | None) -> list[str]:
    """Return the keys of the people whose names and town an open account of another key has.

    If `only_school` is given, accounts of other schools are not looked at.
    """
    keys = {new.key for new in page}
    by_person: dict[tuple[str, str], list[str]] = {}
    for new in page:
        by_person.setdefault((new.name_key, new.postcode), []).append(new.key)
    namesakes = known.namesakes([new.name_key for new in page], only_school)
    return [
        key
        for namesake in namesakes
        if namesake.roster_key not in keys
        for key in by_person.get((namesake.name_key, namesake.postcode), ())
    ]
