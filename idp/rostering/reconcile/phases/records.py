"""Phases on the records alone: which contradict each other, which rows are about one pupil, and which email is not one.

Without numbers, the birth date tells namesakes apart, and the class where a guardian's row has no date. Where neither
decides, all whom the row may mean are refused. A corrected date is the same pupil if a guardian of the same names and
home stays.
"""

from datetime import date
from typing import Any

from idp.rostering.reconcile.staging import Context, Staging
from idp.rostering.reconcile.statements import HAS_NAMES, made_of_names, same_home, stem
from idp.rostering.records import Mode, Severity

_BY_NAMES = made_of_names("key")
_SAME_BUT_CASE = "lower(key) IN (SELECT lower(key) FROM {table} GROUP BY lower(key) HAVING count(*) > 1)"
_CASE_PLACES = f"SELECT file, line, key FROM {{table}} WHERE {_SAME_BUT_CASE}"
_REFUSE = f"UPDATE {{table}} SET fate = 'refused' WHERE {{wrong}} OR {_SAME_BUT_CASE}"
_REPEATED = "SELECT file2, line2, key FROM {table} WHERE copies > 1 AND NOT differs"

_BAD_EMAIL = "email <> '' AND (email NOT GLOB '?*@?*.?*' OR email GLOB '*[ ,;]*' OR email GLOB '*@*@*')"

# The records that came twice under one key, as table and condition, and their message.
_TWICE = (
    ("school", "TRUE", "Deux établissements différents portent le même numéro : aucun des deux n’est pris."),
    (
        "student",
        f"NOT {_BY_NAMES}",
        "Deux élèves différents portent le même numéro : aucun des deux n’est pris. Corrigez le fichier.",
    ),
    (
        "guardian",
        f"NOT {_BY_NAMES}",
        "Deux personnes différentes portent le même numéro : aucune des deux n’est prise. Corrigez le fichier.",
    ),
    (
        "guardian",
        _BY_NAMES,
        (
            "Ces lignes ont le même nom, mais pas la même adresse postale complète (rue, code postal, commune), ou pas "
            "les mêmes données : ce sont peut-être deux homonymes, aucune n’est prise. Complétez l’adresse, ou donnez "
            "un numéro à chaque personne."
        ),
    ),
)
_CASE = "Deux numéros ne diffèrent que par des majuscules : aucune des deux personnes n’est prise. Corrigez le fichier."
_AGAIN = "Cette ligne répète une autre ligne du fichier : elle compte une seule fois."
_NO_EMAIL = "L’adresse mail de cette personne n’en est pas une : elle est laissée de côté."


_NAMESAKES = (
    "SELECT s.key, s.given_name || ' ' || s.family_name AS name, iif(o.key IS NULL, s.first_class_name, o.class_name) "
    "AS other_class_name, iif(o.key IS NULL, s.first_birth_date, o.birth_date) AS other_birth_date, s.class_name, "
    f"s.birth_date FROM student s LEFT JOIN student o ON {stem('o.key')} = {stem('s.key')} AND o.key <> s.key "
    f"AND o.{{wrong}} WHERE s.{{wrong}} AND {made_of_names('s.key')} GROUP BY s.key"
)
_REMEDIES = {  # whether the files are ONDE's
    True: "Dans ONDE, ajoutez à l’un son deuxième prénom, puis refaites les deux exports.",
    False: "Donnez un numéro à chacun, ou écrivez leur date de naissance dans les deux fichiers (colonnes "
    "« dateNaissance » des élèves et « dateNaissanceEnfant » des responsables).",
}


def _sentence(pair: Any) -> str:
    """Return what the secretary reads of two pupils of one name, in a file without numbers."""
    pupils = (pair.other_class_name, pair.other_birth_date), (pair.class_name, pair.birth_date)
    first, second = sorted(_told(class_name, born) for class_name, born in pupils)
    return (
        f"Deux élèves s’appellent {pair.name} ({first} ; {second}), et les fichiers ne disent pas partout duquel "
        f"ils parlent : aucun des deux n’est pris. {_REMEDIES[pair.key.startswith('onde:')]}"
    )


def _told(class_name: str | None, born: str | None) -> str:
    birth = f"né(e) le {date.fromisoformat(born):%d/%m/%Y}" if born else ""
    return ", ".join(filter(None, (class_name, birth))) or "–"


def drop_former_links(context: Context) -> None:
    """Delete the links that a later record of the same pupil no longer names."""
    context.staging.run(
        "DELETE FROM link WHERE record > 0 AND record IS NOT (SELECT record FROM student s WHERE s.key = link.student)"
    )
    context.staging.create_index("link_guardian")


def refuse_copies(context: Context) -> None:
    """Refuse records that came twice and differ, and keys that only case tells apart (R-08).

    In a Delta, a later record is meant to change an earlier one: there, only two whole records of other names are
    refused. Two rows whose key is made of names are one person only if both have the same whole postal address, as
    between two imports: many people share a street, and some schools write their own email everywhere.
    """
    staging, is_complete = context.staging, context.mode is Mode.COMPLETE
    staging.run(
        f"UPDATE guardian SET differs = 1, renamed = 1 WHERE copies > 1 AND {_BY_NAMES} "
        "AND NOT same_home(address_lines, postcode, city, address_lines, postcode, city)"
    )
    if not is_complete:
        staging.run("UPDATE school SET differs = 0")
    for table, condition, message in _TWICE:
        for places in (
            "SELECT file, line, key FROM {table} WHERE {wrong} AND {condition}",
            "SELECT file2, line2, key FROM {table} WHERE {wrong} AND {condition}",
        ):
            statement = places.format(table=table, wrong=_wrong(table, context.mode), condition=condition)
            staging.tell_all(Severity.ERROR, f"{table}_key_twice", message, statement)
    for pair in staging.rows(_NAMESAKES.format(wrong=_wrong("student", context.mode))):
        staging.tell_all(
            Severity.ERROR,
            "student_key_twice",
            _sentence(pair),
            "SELECT file, line, key FROM student WHERE key = :key "
            "UNION SELECT file2, line2, key FROM student WHERE key = :key AND file2 IS NOT NULL",
            key=pair.key,
        )
    for table in ("student", "guardian"):  # each file of a pair names its school
        _refuse(staging, table, context.mode)


def _refuse(staging: Staging, table: str, mode: Mode) -> None:
    staging.create_index(f"{table}_folded")
    staging.tell_all(Severity.ERROR, f"{table}_key_case", _CASE, _CASE_PLACES.format(table=table))
    staging.run(_REFUSE.format(table=table, wrong=_wrong(table, mode)))
    if mode is Mode.COMPLETE:
        staging.tell_all(Severity.WARNING, "repeated_line", _AGAIN, _REPEATED.format(table=table))


def _wrong(table: str, mode: Mode) -> str:
    """Return the column that says whether the records of a key contradict each other."""
    return "differs" if mode is Mode.COMPLETE or table == "school" else "renamed"


def drop_bad_emails(context: Context) -> None:
    """Empty the emails that are none; the person is taken."""
    context.staging.tell_all(
        Severity.WARNING, "bad_mail", _NO_EMAIL, f"SELECT file, line, key FROM guardian WHERE {_BAD_EMAIL}"
    )
    context.staging.run(f"UPDATE guardian SET email = '' WHERE {_BAD_EMAIL}")


# A number tells a pupil from namesakes, so the service has no use for the date.
_FORGET = f"UPDATE student SET birth_date = NULL WHERE birth_date IS NOT NULL AND NOT {_BY_NAMES}"
_OF_STEM = f"FROM student o WHERE {stem('o.key')} = {stem('student.key')} AND o.key <> student.key"
# A row without a date is that of the only dated pupil of the class, if one of the two is a guardian's.
_JOIN = (
    f"DELETE FROM student WHERE birth_date IS NULL AND left_on IS NULL AND {_BY_NAMES} AND 1 = (SELECT count(*) "
    f"{_OF_STEM} AND o.birth_date IS NOT NULL AND o.class_name IS student.class_name "
    "AND (o.is_second_hand OR student.is_second_hand))"
)
_CONTRADICT = (
    f"UPDATE student SET differs = 1, renamed = 1 WHERE {_BY_NAMES} AND EXISTS "
    f"(SELECT 1 {_OF_STEM} AND (o.birth_date IS NULL OR student.birth_date IS NULL))"
)

_LOOSEN = f"UPDATE link SET student = '?' || student WHERE {made_of_names('student')}"
_IS_LOOSE = "link.student GLOB '[?]*'"
_MEANT = (
    f"{stem('s.key')} = {stem('substr(link.student, 2)')} "
    "AND (s.birth_date IS NULL OR link.birth_date IS NULL OR s.birth_date = link.birth_date)"
)
_FIND = (
    "UPDATE OR REPLACE link SET student = coalesce((SELECT min(s.key) FROM student s "
    f"WHERE {_MEANT} {{condition}}), {{otherwise}}) WHERE {_IS_LOOSE}"
)
_FASTEN = tuple(
    _FIND.format(condition=condition, otherwise="student")
    for condition in (
        "GROUP BY NULL HAVING count(*) = 1",
        "AND s.class_name = link.class_name GROUP BY NULL HAVING count(*) = 1",
    )
)
_FASTEN_REFUSED = _FIND.format(condition="", otherwise="substr(student, 2)")
_REFUSE_MEANT = (
    "UPDATE student SET differs = 1, renamed = 1 WHERE key IN "
    f"(SELECT s.key FROM link CROSS JOIN student s ON {_MEANT} WHERE {_IS_LOOSE})"
)

_KEEPS_GUARDIAN = (
    "EXISTS (SELECT 1 FROM link l JOIN guardian g ON g.key = l.guardian JOIN known_account a ON a.key = g.key "
    f"JOIN known_link t ON t.child = k.id AND t.account = a.id WHERE l.student = s.key AND {same_home('g', 'a')})"
)
_SET_ASIDE = (
    f"UPDATE known_child SET key = '!' || key WHERE {_BY_NAMES} "
    f"AND EXISTS (SELECT 1 FROM student s WHERE {stem('s.key')} = {stem('known_child.stored')})"
)
_FREE = (
    f"FROM student s WHERE {stem('s.key')} = {stem('k.stored')} "
    "AND NOT EXISTS (SELECT 1 FROM known_child o WHERE o.key = s.key)"
)
_ALONE = (
    "(s.birth_date IS NULL OR k.birth_date IS NULL) GROUP BY NULL HAVING count(*) = 1 AND 1 = (SELECT count(*) "
    f"FROM known_child o WHERE o.key GLOB '!*' AND {stem('o.stored')} = {stem('k.stored')} "
    "AND (s.birth_date IS NULL OR o.birth_date IS NULL))"
)
_FOLLOW = tuple(
    f"UPDATE OR IGNORE known_child AS k SET key = coalesce((SELECT min(s.key) {_FREE} AND {condition}), key) "
    "WHERE k.key GLOB '!*'"
    for condition in ("s.birth_date = k.birth_date", _KEEPS_GUARDIAN, _ALONE)
)
_KEEP_KNOWN = (
    "INSERT INTO unread SELECT DISTINCT 'student', k.key FROM known_child k CROSS JOIN student s "
    f"ON {stem('s.key')} = {stem('k.stored')} WHERE k.key GLOB '!*' AND s.fate = 'refused'"
)


def tell_apart(context: Context) -> None:
    """Join the rows about one pupil, and find which pupil each guardian's row means; forget dates beside numbers."""
    context.staging.run(_FORGET)
    if context.staging.value(HAS_NAMES):
        context.staging.create_index("student_stem")
        for statement in (_JOIN, _CONTRADICT, _LOOSEN, *_FASTEN, _REFUSE_MEANT, _FASTEN_REFUSED):
            context.staging.run(statement)


def find_same_pupils(context: Context) -> None:
    """Give each known pupil the key of the record that is about the pupil, in the staging database alone.

    Other known pupils of the name are set aside. While a namesake is refused, they do not leave.
    """
    if context.staging.value(HAS_NAMES):
        context.staging.create_index("known_child_stem")
        for statement in (_SET_ASIDE, *_FOLLOW, _KEEP_KNOWN):
            context.staging.run(statement)
