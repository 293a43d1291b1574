"""Which records may open something, and what is said of the others: the rules, on the records as a whole.

Each record gets a `fate`. A pupil is `open` (in a class of a school: the family may have accounts), `kept` (without a
class for now: nothing new is opened, nothing is lost), `gone` (the file says so) or `refused`. A guardian is `known`
(has an account), `alias` (has one under another key), `new`, `gone` or `refused`. Whoever is refused stays in the
database as they were.
"""

import re
from collections.abc import Sequence
from datetime import date

from idp.accounts.directory import name_key
from idp.accounts.models import Account
from idp.accounts.same_person import shares_a_name
from idp.folding import fold
from idp.rostering.reconcile import continuity, known, persons, replaced_keys
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Mode, Severity

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING
_PAGE = 1000

_INDEXES = """
CREATE INDEX link_guardian ON link (guardian);
ALTER TABLE student ADD COLUMN uai TEXT;
ALTER TABLE student ADD COLUMN child_id TEXT;
ALTER TABLE guardian ADD COLUMN account_id TEXT;
"""

BY_NAME = "({0} GLOB 'onde:*' OR ({0} GLOB 'csv:*' AND length({0}) = 45 AND substr({0}, 14) NOT GLOB '*[^0-9a-f]*'))"
"""The condition of keys that were made of names (`values.key_of_names`): namesakes would be one person under them."""

_NAMED_TWICE = (
    "Ces lignes ont le même nom, mais pas la même adresse postale complète (rue, code postal, commune), ou pas les "
    "mêmes données : ce sont peut-être deux homonymes, aucune n’est prise. Complétez l’adresse, ou donnez un numéro à "
    "chaque personne."
)
_TWICE = (
    ("school", "TRUE", "Deux établissements différents portent la même clé : aucun des deux n’est pris."),
    (
        "student", "TRUE",
        "Deux élèves différents portent la même clé : aucun des deux n’est pris. Corrigez le fichier.",
    ),
    (
        "guardian", f"NOT ({BY_NAME.format('key')})",
        "Deux personnes différentes portent la même clé : aucune des deux n’est prise. Corrigez le fichier.",
    ),
    ("guardian", BY_NAME.format("key"), _NAMED_TWICE),
)  # fmt: skip
"""The records that came twice under one key, as table and condition, and what is said of them."""
_CASE = "Deux clés ne diffèrent que par des majuscules : aucune des deux n’est prise. Corrigez le fichier."
_AGAIN = "Cette ligne répète une autre ligne du fichier : elle compte une seule fois."


def prepare(staging: Staging) -> None:
    """Add what the rules note beside the records, and the functions that their statements call."""
    staging.connection.executescript(_INDEXES + replaced_keys.SCHEMA + persons.SCHEMA)
    for name, count, function in (
        ("alike", 6, _alike),
        ("same_home", 6, _same_home),
        ("judge", 12, continuity.as_sql),
        ("name_key", 2, name_key),
        ("civilities_agree", 2, continuity.civilities_agree),
    ):
        staging.connection.create_function(name, count, function, deterministic=True)


def check_copies(staging: Staging, mode: Mode) -> None:
    """Refuse what came twice and did not say the same, and keys that only case tells apart (R-08).

    In a Delta, what comes later is meant to change what came before: there, two whole records of other names are wrong.
    People who are known by their names alone are one person only if both rows have one whole postal address, as between
    two imports: many share a street or a school's mailbox.
    """
    staging.run(
        f"UPDATE guardian SET differs = 1, renamed = 1 WHERE copies > 1 AND {BY_NAME.format('key')} "
        "AND NOT same_home(address, postcode, city, address, postcode, city)"
    )
    if mode is Mode.DELTA:
        staging.run("UPDATE school SET differs = 0")
    wrong = {
        table: "differs" if mode is Mode.COMPLETE or table == "school" else "renamed"
        for table in ("school", "student", "guardian")
    }
    for table, condition, message in _TWICE:
        for file, line in (("file", "line"), ("file2", "line2")):
            these = f"SELECT {file}, {line}, key FROM {table} WHERE {wrong[table]} AND {condition}"
            staging.tell_all(_ERROR, f"{table}_key_twice", message, these)
    for table in ("student", "guardian"):  # each file of a pair names its school
        staging.run(f"CREATE INDEX {table}_folded ON {table} (lower(key))")
        same = f"(SELECT lower(key) FROM {table} GROUP BY lower(key) HAVING count(*) > 1)"
        staging.tell_all(
            _ERROR, f"{table}_key_case", _CASE, f"SELECT file, line, key FROM {table} WHERE lower(key) IN {same}"
        )
        staging.run(f"UPDATE {table} SET fate = 'refused' WHERE {wrong[table]} OR lower(key) IN {same}")
        if mode is Mode.COMPLETE:
            staging.tell_all(
                _WARNING,
                "repeated_line",
                _AGAIN,
                f"SELECT file2, line2, key FROM {table} WHERE copies > 1 AND NOT differs",
            )


def find_schools(staging: Staging) -> None:
    """Note each pupil's school by its UAI."""
    staging.run("UPDATE school SET key = key || '!' WHERE differs")  # nobody is in a school of two names
    staging.run("UPDATE school SET uai = (SELECT uai FROM known_school k WHERE k.key = school.key) WHERE uai IS NULL")
    staging.run(
        "UPDATE student SET uai = coalesce((SELECT uai FROM school s WHERE s.key = student.school), "
        "(SELECT uai FROM known_school k WHERE k.key = student.school), "
        "(SELECT uai FROM known_school k WHERE k.uai = student.school)) WHERE school IS NOT NULL"
    )


def keep_only(staging: Staging, uai: str) -> None:
    """Forget the records of other schools than `uai`: they are not read, the operator wanted one school.

    Who belongs to no school of the file stays, to be judged and said.
    """
    elsewhere = "SELECT key FROM student WHERE uai <> ?"
    of_others = f"SELECT guardian FROM link WHERE student IN ({elsewhere})"
    of_ours = f"SELECT guardian FROM link WHERE student NOT IN ({elsewhere})"
    staging.run(f"DELETE FROM guardian WHERE key IN ({of_others}) AND key NOT IN ({of_ours})", uai, uai)
    staging.run(f"DELETE FROM link WHERE student IN ({elsewhere})", uai)
    staging.run("INSERT INTO doubt SELECT 'student', key FROM student WHERE uai <> ?", uai)  # there, if not here
    staging.run("DELETE FROM student WHERE uai <> ?", uai)
    staging.run("DELETE FROM school WHERE uai <> ?", uai)


def judge_students(staging: Staging, today: date) -> None:
    """Give each pupil a fate."""
    staging.run("UPDATE student SET child_id = (SELECT id FROM known_child k WHERE k.key = student.key)")
    staging.run(
        "UPDATE student SET uai = (SELECT s.uai FROM known_child k JOIN known_school s ON s.id = k.school_id "
        "WHERE k.key = student.key) WHERE school IS NULL AND child_id IS NOT NULL"
    )
    _refuse_unknown(
        staging, "student", "child_id", "Cet élève n’est pas connu ici : le prochain fichier complet l’apportera."
    )
    other = (
        "student s JOIN known_child k ON k.key = s.key WHERE s.fate IS NULL AND s.act <> 'delete' AND NOT "
        "alike(coalesce(s.given_name, k.given_name), coalesce(s.family_name, k.family_name), '', "
        "k.given_name, k.family_name, '')"
    )
    staging.refuse(
        "student", "key_of_other_person",
        "Cette clé est connue pour un autre élève, dont le nom est tout différent : rien n’est changé.", other,
    )  # fmt: skip
    staging.refuse(
        "student", "school_unknown",
        "L’établissement de cet élève n’est ni dans le fichier ni connu ici : l’élève n’est pas pris.",
        "student s WHERE s.fate IS NULL AND s.act <> 'delete' AND s.uai IS NULL",
    )  # fmt: skip
    gone = "s.fate IS NULL AND (s.act = 'delete' OR s.left_on <= ?)"
    staging.tell_all(
        _WARNING, "student_left", "Cet élève a quitté l’établissement : il n’ouvre pas de compte.",
        f"SELECT s.file, s.line, s.key FROM student s WHERE {gone} AND s.act <> 'delete'", today.isoformat(),
    )  # fmt: skip
    here = (
        "s.act = 'delete' OR EXISTS (SELECT 1 FROM known_child k JOIN known_school o ON o.id = k.school_id "
        "WHERE k.id = s.child_id AND o.uai = s.uai)"
    )  # a pupil whom another school has by now did not leave that one
    staging.run(
        f"UPDATE student AS s SET fate = iif(child_id IS NOT NULL AND ({here}), 'gone', 'refused') WHERE {gone}",
        today.isoformat(),
    )
    staging.tell_all(
        _WARNING, "student_without_class", "Cet élève n’est dans aucune classe : il n’ouvre pas de compte.",
        "SELECT file, line, key FROM student WHERE fate IS NULL AND class_name = ''",
    )  # fmt: skip
    staging.run(
        "UPDATE student SET fate = CASE WHEN class_name <> '' OR (class_name IS NULL AND EXISTS (SELECT 1 FROM "
        "known_child k WHERE k.key = student.key AND k.class_name <> '')) THEN 'open' "
        "WHEN EXISTS (SELECT 1 FROM known_child k WHERE k.key = student.key AND NOT k.is_left) THEN 'kept' "
        "ELSE 'refused' END WHERE fate IS NULL"
    )


def check_mails(staging: Staging) -> None:
    """Leave out mail addresses that are none; the person is taken."""
    wrong = "mail <> '' AND (mail NOT GLOB '?*@?*.?*' OR mail GLOB '*[ ,;]*' OR mail GLOB '*@*@*')"
    message = "L’adresse mail de cette personne n’en est pas une : elle est laissée de côté."
    staging.tell_all(_WARNING, "bad_mail", message, f"SELECT file, line, key FROM guardian WHERE {wrong}")
    staging.run(f"UPDATE guardian SET mail = '' WHERE {wrong}")


def judge_guardians(staging: Staging, most_authority: int) -> None:
    """Give each guardian a fate; `most_authority` is the last rank of authority that gets an account."""
    staging.run(
        "UPDATE guardian SET account_id = coalesce((SELECT account FROM alias a WHERE a.key = guardian.key), "
        "(SELECT id FROM known_account k WHERE k.key = guardian.key))"
    )
    _refuse_unknown(staging, "guardian", "account_id", "Cette personne n’a pas de compte ici : rien n’est changé.")
    staging.run(
        "INSERT INTO replaced (key, account, why) "
        f"SELECT s.key, k.id, '{replaced_keys.NAMESAKE}' FROM {persons.KNOWN} AND {BY_NAME.format('s.key')} "
        f"AND NOT ({persons.CONTINUES}) AND NOT ({persons.NOBODYS})"
    )
    replaced_keys.detach(staging)
    persons.judge_persons(staging)
    replaced_keys.detach(staging)
    staging.run(
        "UPDATE guardian SET fate = 'alias' WHERE fate IS NULL AND account_id IS NOT NULL "
        "AND key IN (SELECT key FROM alias)"
    )
    staging.run(
        "UPDATE guardian SET fate = CASE WHEN act = 'delete' THEN iif(account_id IS NULL, 'refused', 'gone') "
        "ELSE 'known' END WHERE fate IS NULL AND (account_id IS NOT NULL OR act = 'delete')"
    )
    of = "SELECT 1 FROM link l JOIN student s ON s.key = l.student WHERE l.guardian = guardian.key"
    staging.run(
        "UPDATE guardian SET fate = CASE "
        f"WHEN EXISTS ({of} AND l.authority BETWEEN 1 AND ? AND s.fate = 'open') THEN 'new' "
        f"WHEN EXISTS ({of} AND l.authority BETWEEN 1 AND ?) THEN 'no_open_student' "
        f"WHEN EXISTS ({of}) THEN 'no_legal_authority' ELSE 'no_student' END WHERE fate IS NULL",
        most_authority,
        most_authority,
    )
    for fate, message in _NO_ACCOUNT.items():
        staging.tell_all(_WARNING, fate, message, "SELECT file, line, key FROM guardian WHERE fate = ?", fate)
        staging.run("UPDATE guardian SET fate = 'refused' WHERE fate = ?", fate)
    _refuse_retired_keys(staging)
    staging.run(
        "UPDATE guardian SET account_id = lower(hex(randomblob(16))), civility = coalesce(civility, '') "
        "WHERE fate = 'new'"
    )
    replaced_keys.find_former_accounts(staging)


_NO_ACCOUNT = {
    "no_open_student": "Aucun élève de cette personne n’est dans une classe : pas de compte.",
    "no_legal_authority": "Cette personne n’est pas représentante légale : pas de compte.",
    "no_student": "Aucun élève du fichier n’a cette personne pour responsable : pas de compte.",
}


def _refuse_retired_keys(staging: Staging) -> None:
    """Refuse new people under a key that ENTs know as a removed account's, unless the given name is the same.

    The `sub` of clients of type `aaf` is made of that key: it must not reach another person.
    """
    named = "SELECT key, given_name, family_name, birth_name FROM guardian WHERE fate = 'new' AND key GLOB 'aaf:*'"
    for page in list(staging.pages(named, _PAGE)) if known.has_retired() else ():
        staging.fill("INSERT INTO retired VALUES (?)", [(key,) for key in known.retired_keys(page)])
    staging.refuse(
        "guardian", "key_of_other_person",
        "Cette clé était celle d’une autre personne, dont le compte a été supprimé : rien n’est changé.",
        "guardian s WHERE s.key IN (SELECT key FROM retired)",
    )  # fmt: skip


def tell_who_is_left_out(staging: Staging) -> None:
    """Say which pupils nobody gets a letter for, and which accounts close; needs the plan."""
    staging.tell_all(
        _WARNING, "student_without_representative",
        "Cet élève n’a aucun représentant légal dans le fichier : personne ne recevra de courrier pour lui.",
        "SELECT file, line, key FROM student WHERE fate = 'open' AND (says_links OR act = 'put') "
        "AND child_id NOT IN (SELECT child FROM live) AND child_id NOT IN (SELECT child FROM kept_out)",
    )  # fmt: skip
    _tell_disputes(staging)
    nowhere = staging.nowhere()
    staging.tell_all(
        _WARNING, "guardian_left",
        "Cette personne n’a plus d’enfant dans le fichier : son compte se ferme.",
        "SELECT ?, 0, coalesce(a.key, '') FROM leaving l LEFT JOIN known_account a ON a.id = l.account ORDER BY 3",
        nowhere,
    )  # fmt: skip


def _tell_disputes(staging: Staging) -> None:
    """Say which ties of the file wait for the school's decision, and which ones the school excluded."""
    named = (
        "SELECT l.file, l.line, l.guardian FROM {0} t CROSS JOIN student s ON s.child_id = t.child "
        "CROSS JOIN link l ON l.student = s.key LEFT JOIN guardian g ON g.key = l.guardian "
        "LEFT JOIN alias a ON a.key = l.guardian LEFT JOIN known_account k ON k.key = l.guardian "
        "WHERE coalesce(g.account_id, a.account, k.id) = t.account"
    )
    disputed = (
        "(SELECT d.child, d.account FROM known_link d CROSS JOIN live v ON v.child = d.child AND v.account = d.account "
        "WHERE d.is_disputed AND NOT d.is_excluded)"
    )
    staging.tell_all(
        _WARNING, "tie_disputed",
        "Cette personne a répondu qu’elle n’est pas représentante légale de cet élève : elle n’a pas accès à cet élève "
        "tant que l’établissement n’a pas décidé.",
        named.format(disputed),
    )  # fmt: skip
    staging.tell_all(
        _WARNING, "tie_excluded",
        "Le fichier nomme toujours cette personne pour cet élève, mais l’établissement a confirmé qu’elle n’est pas "
        "représentante légale : elle reste sans accès. Corrigez le fichier.",
        named.format("kept_out"),
    )  # fmt: skip
    staging.tell_all(
        _WARNING, "tie_readmitted",
        "L’établissement avait confirmé que cette personne n’est pas représentante légale de cet élève. Le fichier dit "
        "maintenant autre chose de leur lien : elle a de nouveau accès. Vérifiez-le.",
        named.format(
            "(SELECT d.child, d.account FROM known_link d CROSS JOIN live v ON v.child = d.child "
            "AND v.account = d.account WHERE d.is_excluded)"
        ),
    )  # fmt: skip


def _refuse_unknown(staging: Staging, table: str, number: str, message: str) -> None:
    """Leave out changes of people who are not here, such as those who may not have an account."""
    left = "OR s.key IN (SELECT key FROM known_child WHERE is_left)" if table == "student" else ""
    unknown = f"{table} s WHERE s.fate IS NULL AND s.act = 'modify' AND (s.{number} IS NULL {left})"
    staging.refuse(table, "change_of_unknown", message, unknown, _WARNING)


def _alike(*names: str) -> bool:
    """Return if two names have something in common: who marries keeps the given name, a corrected one the other."""
    return names[:3] == names[3:] or shares_a_name(*_people(names))


def _same_home(*parts: str) -> bool:
    """Return whether two postal addresses (lines as JSON, postcode, city) are one home; False if a part is not known.

    Communes share a postcode, and many have the same street: of lines and postcode alone nobody can say.
    """
    one, other = _home(parts[:3]), _home(parts[3:])
    return all(one) and one == other


def _home(parts: Sequence[str]) -> list[str]:
    """Return the parts of a postal address as they are compared: without accents, case, hyphens."""
    return [" ".join(re.findall(r"\w+", fold(part))) for part in parts]


def _people(names: Sequence[str]) -> tuple[Account, Account]:
    """Return two people of these names: given, family and birth name of one, then of the other."""
    one, other = (
        Account(given_name=given, family_name=family, birth_name=birth)
        for given, family, birth in (names[:3], names[3:])
    )
    return one, other


def name_schools(staging: Staging) -> None:
    """Say which schools come without a name and have none here: their letters would have none either."""
    staging.tell_all(
        _WARNING,
        "school_without_name",
        "Ni le fichier ni le service ne connaissent le nom de cet établissement : donnez-le avec « idp school set ».",
        "SELECT file, line, key FROM school WHERE name = '' AND act <> 'delete' AND uai NOT IN "
        "(SELECT uai FROM known_school WHERE name <> 'Établissement ' || uai)",
    )
