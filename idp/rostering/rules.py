"""Which records may open something, and what is said of the others: the rules, on the records as a whole.

Each record gets a `fate`. A pupil is `open` (in a class of a school: the family may have accounts), `kept` (without a
class for now: nothing new is opened, nothing is lost), `gone` (the file says so) or `refused`. A guardian is `known`
(has an account), `alias` (has one under another key), `new`, `gone` or `refused`. Whoever is refused stays in the
database as they were.
"""

from datetime import date

from idp.accounts.models import Account
from idp.accounts.same_person import shares_a_name
from idp.rostering.records import Severity
from idp.rostering.staging import Staging

_ERROR, _WARNING = Severity.ERROR, Severity.WARNING

_INDEXES = """
CREATE INDEX link_guardian ON link (guardian);
ALTER TABLE student ADD COLUMN uai TEXT;
ALTER TABLE student ADD COLUMN child_id TEXT;
ALTER TABLE guardian ADD COLUMN account_id TEXT;
"""

_TWICE = {
    "school": "Deux établissements différents portent la même clé : aucun des deux n’est pris.",
    "student": "Deux élèves différents portent la même clé : aucun des deux n’est pris. Corrigez le fichier.",
    "guardian": "Deux personnes différentes portent la même clé : aucune des deux n’est prise. Corrigez le fichier.",
}
_CASE = "Deux clés ne diffèrent que par des majuscules : aucune des deux n’est prise. Corrigez le fichier."
_AGAIN = "Cette ligne répète une autre ligne du fichier : elle compte une seule fois."


def prepare(staging: Staging) -> None:
    """Add what the rules note beside the records; SQLite calls `alike` for two names that differ."""
    staging.connection.executescript(_INDEXES)
    staging.connection.create_function("alike", 6, _alike, deterministic=True)


def check_copies(staging: Staging) -> None:
    """Refuse what came twice and did not say the same, and keys that only case tells apart (R-08).

    In a complete file; in a Delta, what comes later is meant to change what came before.
    """
    for table, message in _TWICE.items():
        code = f"{table}_key_twice"
        for file, line in (("file", "line"), ("file2", "line2")):
            staging.tell_all(_ERROR, code, message, f"SELECT {file}, {line}, key FROM {table} WHERE differs")
        if table == "school":
            continue  # each file of a pair names its school
        staging.tell_all(
            _WARNING,
            "repeated_line",
            _AGAIN,
            f"SELECT file2, line2, key FROM {table} WHERE copies > 1 AND NOT differs",
        )
        staging.run(f"CREATE INDEX {table}_folded ON {table} (lower(key))")
        same = f"(SELECT lower(key) FROM {table} GROUP BY lower(key) HAVING count(*) > 1)"
        staging.tell_all(
            _ERROR,
            f"{table}_key_case",
            _CASE,
            f"SELECT file, line, key FROM {table} WHERE lower(key) IN {same}",
        )
        staging.run(f"UPDATE {table} SET fate = 'refused' WHERE differs OR lower(key) IN {same}")


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
    """Forget the records of other schools than `uai`: they are not read, the operator wanted one school."""
    staging.run("DELETE FROM school WHERE uai <> ?", uai)
    staging.run("DELETE FROM student WHERE uai IS NOT ?", uai)
    staging.run("DELETE FROM link WHERE student NOT IN (SELECT key FROM student)")
    staging.run("DELETE FROM guardian WHERE key NOT IN (SELECT guardian FROM link)")


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
    _refuse(
        staging, "student", "key_of_other_person",
        "Cette clé est connue pour un autre élève, dont le nom est tout différent : rien n’est changé.", other,
    )  # fmt: skip
    _refuse(
        staging, "student", "school_unknown",
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
    staging.run(
        "UPDATE guardian SET fate = 'alias' WHERE fate IS NULL AND key IN (SELECT key FROM alias) AND act <> 'delete'"
    )
    _refuse_unknown(staging, "guardian", "account_id", "Cette personne n’a pas de compte ici : rien n’est changé.")
    other = (
        "guardian s JOIN known_account k ON k.key = s.key WHERE s.fate IS NULL AND s.act <> 'delete' AND NOT "
        "alike(coalesce(s.given_name, k.given_name), coalesce(s.family_name, k.family_name), "
        "coalesce(s.birth_name, k.birth_name), k.given_name, k.family_name, k.birth_name)"
    )
    _refuse(
        staging, "guardian", "key_of_other_person",
        "Cette clé est connue pour une autre personne, dont le nom est tout différent : rien n’est changé.", other,
    )  # fmt: skip
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
    staging.run("UPDATE guardian SET account_id = lower(hex(randomblob(16))) WHERE fate = 'new'")


_NO_ACCOUNT = {
    "no_open_student": "Aucun élève de cette personne n’est dans une classe : pas de compte.",
    "no_legal_authority": "Cette personne n’est pas représentante légale : pas de compte.",
    "no_student": "Aucun élève du fichier n’a cette personne pour responsable : pas de compte.",
}


def _refuse_unknown(staging: Staging, table: str, number: str, message: str) -> None:
    """Leave out changes of people who are not here, such as those who may not have an account."""
    unknown = f"{table} s WHERE s.fate IS NULL AND s.act = 'modify' AND s.{number} IS NULL"
    _refuse(staging, table, "change_of_unknown", message, unknown, _WARNING)


def _refuse(
    staging: Staging, table: str, code: str, message: str, found: str, severity: Severity = Severity.ERROR
) -> None:
    staging.tell_all(severity, code, message, f"SELECT s.file, s.line, s.key FROM {found}")
    staging.run(f"UPDATE {table} SET fate = 'refused' WHERE key IN (SELECT s.key FROM {found})")


def _alike(given: str, family: str, birth: str, known_given: str, known_family: str, known_birth: str) -> bool:
    """Say whether two names can be one person's: one who marries keeps the given name, a corrected one the other."""
    if (given, family) == (known_given, known_family):
        return True
    one = Account(given_name=given, family_name=family, birth_name=birth)
    other = Account(given_name=known_given, family_name=known_family, birth_name=known_birth)
    return shares_a_name(one, other)


def name_schools(staging: Staging) -> None:
    """Say which schools come without a name and have none here: their letters would have none either."""
    staging.tell_all(
        _WARNING,
        "school_without_name",
        "Ni le fichier ni le service ne connaissent le nom de cet établissement : donnez-le avec « idp school set ».",
        "SELECT file, line, key FROM school WHERE name = '' AND act <> 'delete' AND uai NOT IN "
        "(SELECT uai FROM known_school WHERE name <> 'Établissement ' || uai)",
    )
