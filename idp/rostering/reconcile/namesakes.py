"""People who may be one person under two keys: the same names in the same town. Proposed, never merged (R-08).

Looked for among those who are new alone: who was new once was proposed then.
"""

from idp.accounts.directory import name_key
from idp.rostering.reconcile import known
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Severity

_PAGE = 500
_MESSAGE = (
    "Cette personne a le nom et la commune d’une autre, sous une autre clé. Si c’est la même, elle peut réunir ses "
    "courriers dans « Gérer mon compte », ou le fichier est à corriger."
)


def propose(staging: Staging) -> None:
    """Say which new people look like somebody else of the file, or of the database."""
    staging.connection.execute("CREATE TABLE namesake (key TEXT, name TEXT, postcode TEXT)")
    for page in staging.pages("SELECT key, given_name, family_name, postcode FROM guardian WHERE fate = 'new'", _PAGE):
        staging.fill(
            "INSERT INTO namesake VALUES (?, ?, ?)",
            [(key, name_key(given, family), postcode) for key, given, family, postcode in page],
        )
    staging.connection.execute("CREATE INDEX namesake_name ON namesake (name, postcode)")
    staging.connection.execute("CREATE TABLE proposed (key TEXT PRIMARY KEY) WITHOUT ROWID")
    staging.run(
        "INSERT INTO proposed SELECT n.key FROM namesake n WHERE postcode <> '' AND EXISTS "
        "(SELECT 1 FROM namesake o WHERE o.name = n.name AND o.postcode = n.postcode AND o.key <> n.key)"
    )
    for page in staging.pages("SELECT name, postcode, key FROM namesake WHERE postcode <> ''", _PAGE):
        new = {key for _, _, key in page}
        wanted: dict[tuple[str, str], list[str]] = {}
        for name, postcode, key in page:
            wanted.setdefault((name, postcode), []).append(key)
        found = known.namesakes([name for name, _, _ in page])
        alike = [one for name, key, postcode, _ in found if key not in new for one in wanted.get((name, postcode), ())]
        staging.fill("INSERT OR IGNORE INTO proposed VALUES (?)", [(key,) for key in alike])
    staging.tell_all(
        Severity.WARNING,
        "near_duplicate",
        _MESSAGE,
        "SELECT g.file, g.line, g.key FROM guardian g JOIN proposed p ON p.key = g.key",
    )
