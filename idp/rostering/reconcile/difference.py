"""Says by name what an import does, once all phases have run: who is created, changed or leaves, and what is wrong.

The sentences are French, for a secretary. Of a person of another school, only the content of the file is told.
"""

import enum
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from idp.rostering.reconcile import named_issues
from idp.rostering.reconcile.named_issues import OF_CHILD, whole_name
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.statements import added_links, has_access, is_seen, said_or_known
from idp.rostering.records import WITHOUT_ACCOUNT, Severity

COLUMNS = ("quoi", "personne", "classe", "détail")


class Kind(enum.StrEnum):
    """What happens to a person."""

    PROBLEM = "problem"
    DOUBT = "doubt"
    LEAVING = "leaving"
    BESIDE = "beside"
    CREATED = "created"
    CHANGED = "changed"
    TIE_ADDED = "tie_added"
    TIE_ENDED = "tie_ended"
    WITHOUT_ACCOUNT = "without_account"


WORDS = {
    Kind.PROBLEM: "à corriger",
    Kind.DOUBT: "à vérifier",
    Kind.LEAVING: "départ",
    Kind.BESIDE: "responsable ajouté à côté d’un autre",
    Kind.CREATED: "création",
    Kind.CHANGED: "changement",
    Kind.TIE_ADDED: "lien ajouté",
    Kind.TIE_ENDED: "lien terminé",
    Kind.WITHOUT_ACCOUNT: "sans compte",
}


def kind_of(code: str, severity: str) -> Kind:
    """Return the kind of an issue: what somebody corrects in the file, looks at, or leaves as it is."""
    usual = Kind.PROBLEM if severity == Severity.ERROR.value else Kind.DOUBT
    return Kind.WITHOUT_ACCOUNT if code in WITHOUT_ACCOUNT else usual


class Difference(NamedTuple):
    """One line of the difference."""

    kind: Kind
    person: str
    class_name: str
    sentence: str


def cells(line: Difference) -> Sequence[str]:
    """Return a line under `COLUMNS`."""
    return WORDS[line.kind], *line[1:]


_PUPILS_OF = (
    "(SELECT json_group_array(n) FROM (SELECT DISTINCT coalesce(s.given_name, c.given_name, '') || ' ' || "
    "coalesce(s.family_name, c.family_name, '') AS n FROM allowed_link l LEFT JOIN student s ON s.child_id = l.child "
    "LEFT JOIN known_child c ON c.id = l.child WHERE l.account = {account} ORDER BY n))"
)
_CLASSES_OF = (
    "coalesce((SELECT group_concat(n, ', ') FROM (SELECT DISTINCT c.class_name AS n FROM known_link t "
    "JOIN known_child c ON c.id = t.child WHERE t.account = {account} AND NOT t.is_ended AND c.class_name <> '' "
    "AND c.in_scope ORDER BY n)), '')"
)


_NEW_PUPILS = (
    "SELECT coalesce(s.family_name, '') AS family_name, coalesce(s.given_name, '') AS given_name, "
    "coalesce(s.class_name, '') AS class_name FROM student s WHERE s.fate = 'open' "
    "AND NOT EXISTS (SELECT 1 FROM known_child k WHERE k.key = s.key) ORDER BY 1, 2"
)


_GUARDIANS_OF_LEFT = (
    "(SELECT json_group_array(n) FROM (SELECT p.given_name || ' ' || p.family_name AS n FROM ending_link e "
    "JOIN known_account p ON p.id = e.account WHERE e.child = k.id ORDER BY n))"
)
_LEFT_PUPILS = (
    "SELECT k.family_name, k.given_name, k.class_name, a.id IS NOT NULL AS is_absent, "
    f"{_GUARDIANS_OF_LEFT} AS guardians FROM known_child k "
    "LEFT JOIN absent_student a ON a.id = k.id LEFT JOIN student s ON s.key = k.key WHERE k.in_scope "
    "AND (a.id IS NOT NULL OR (s.fate = 'gone' AND NOT k.is_left)) ORDER BY 1, 2"
)


_CHANGED_PUPILS = (
    "SELECT k.family_name AS known_family_name, k.given_name AS known_given_name, k.class_name AS known_class_name, "
    "coalesce(s.family_name, k.family_name) AS family_name, coalesce(s.given_name, k.given_name) AS given_name, "
    "coalesce(s.class_name, k.class_name) AS class_name, k.is_left AS is_left, o.uai IS NOT s.uai AS is_moving, "
    "k.in_scope AS is_seen, c.own FROM changed_student c JOIN student s ON s.key = c.key JOIN known_child k "
    "ON k.key = c.key LEFT JOIN known_school o ON o.id = k.school_id WHERE c.own OR k.in_scope ORDER BY 4, 5"
)


_CLASSES_OF_NEW = (
    "coalesce((SELECT group_concat(n, ', ') FROM (SELECT DISTINCT s.class_name AS n FROM allowed_link l "
    "JOIN student s ON s.child_id = l.child WHERE l.account = g.account_id AND s.class_name <> '' ORDER BY n)), '')"
)
_NEW_GUARDIANS = (
    "SELECT coalesce(g.family_name, '') AS family_name, coalesce(g.given_name, '') AS given_name, "
    f"{_CLASSES_OF_NEW} AS class_name, {_PUPILS_OF.format(account='g.account_id')} AS children, "
    f"{has_access('g.account_id')} AS has_access "
    "FROM guardian g WHERE g.fate = 'new' ORDER BY 1, 2"
)


_HOME = ("address_lines", "postcode", "city", "country")
_NAMES = ("civility", "family_name", "birth_name", "given_name")
_KNOWN_NAMES = ", ".join(f"k.{name} AS known_{name}" for name in _NAMES)
_NAMES_AFTER = ", ".join(f"{said_or_known('g', 'k', name)} AS {name}" for name in _NAMES)
_CHANGED_GUARDIANS = (
    f"SELECT {_KNOWN_NAMES}, json_array({', '.join(f'k.{name}' for name in _HOME)}) AS known_home, "
    f"k.email AS known_email, k.address_diffusion AS known_diffusion, {_NAMES_AFTER}, "
    f"json_array({said_or_known('g', 'k', *_HOME)}) AS home, {said_or_known('g', 'k', 'email')} AS email, "
    f"{said_or_known('g', 'k', 'address_diffusion')} AS diffusion, k.is_left AS is_left, "
    f"k.is_shut AS is_shut, {has_access('k.id')} AS has_access, "
    f"{_CLASSES_OF.format(account='k.id')} AS class_name, {is_seen('k')} AS is_seen "
    "FROM changed_guardian c JOIN guardian g ON g.key = c.key JOIN known_account k ON k.key = c.key ORDER BY 2, 4"
)


_CLOSING = (
    f"SELECT k.family_name, k.given_name, {_CLASSES_OF.format(account='k.id')} AS class_name FROM closing_account c "
    "JOIN known_account k ON k.id = c.account ORDER BY 1, 2"
)


_TIES = (
    "SELECT coalesce(g.family_name, k.family_name) AS family_name, coalesce(g.given_name, k.given_name) AS given_name, "
    f"coalesce(s.class_name, c.class_name, '') AS class_name, {OF_CHILD}, "
    "l.kinship AS kinship, coalesce(t.kinship, '') AS known_kinship, "
    f"iif(l.wait <> '', 'waits', coalesce(t.closed, '')) AS closed "
    "FROM allowed_link l JOIN known_account k ON k.id = l.account "
    "LEFT JOIN guardian g ON g.account_id = k.id AND g.fate = 'known' LEFT JOIN student s ON s.child_id = l.child "
    "LEFT JOIN known_child c ON c.id = l.child LEFT JOIN known_link t ON t.child = l.child AND t.account = l.account "
    "WHERE {state} ORDER BY 1, 2"
)
_TIES_ADDED = _TIES.format(state="t.child IS NULL OR t.is_ended")
_TIES_CHANGED = _TIES.format(state="NOT t.is_ended AND (t.kinship IS NOT l.kinship OR t.authority IS NOT l.authority)")


_ADDED = (
    f"SELECT {said_or_known('g', 'k', 'family_name')} AS family_name, "
    f"{said_or_known('g', 'k', 'given_name')} AS given_name, coalesce(s.class_name, c.class_name, '') AS class_name, "
    f"{OF_CHILD}, '' AS closed FROM ({added_links()}) a "
    "LEFT JOIN guardian g ON g.account_id = a.account AND g.fate IN ('known', 'new') "
    "LEFT JOIN known_account k ON k.id = a.account LEFT JOIN student s ON s.child_id = a.child "
    "LEFT JOIN known_child c ON c.id = a.child ORDER BY 1, 2"
)
# The ties of pupils who stay: those of a pupil who leaves are said with the pupil.
_TIES_ENDED = (
    "SELECT k.family_name, k.given_name, c.class_name, c.given_name || ' ' || c.family_name AS child, "
    "t.closed AS closed FROM ending_link e JOIN known_link t ON t.child = e.child AND t.account = e.account "
    "JOIN known_child c ON c.id = e.child JOIN known_account k ON k.id = e.account "
    "LEFT JOIN student s ON s.child_id = c.id WHERE c.in_scope AND s.fate IN ('open', 'kept') "
    "ORDER BY 1, 2"
)


_KINSHIPS = {
    "10": "mère",
    "20": "père",
    "37": "frère ou sœur",
    "38": "grand-parent",
    "39": "famille",
    "50": "tuteur",
    "51": "aide sociale à l’enfance",
}


def rows(staging: Staging) -> Iterator[Difference]:
    """Yield the issues as lines, each with the name that the file gives to its key, and then the changes."""
    for issue in named_issues.issues(staging):
        yield Difference(
            kind_of(issue.code, issue.severity.value),
            *named_issues.named(staging, issue),
            named_issues.sentence_of(issue) + named_issues.about_pupils(staging, issue),
        )
    yield from changes(staging)


def changes(staging: Staging) -> Iterator[Difference]:
    """Yield what changes, each kind in the order of names."""
    for source in (_pupils, _guardians, _ties):
        yield from source(staging)


def _pupils(staging: Staging) -> Iterator[Difference]:
    for left in staging.rows(_LEFT_PUPILS):
        sentence = "Élève : n’est plus dans le fichier." if left.is_absent else "Élève : le fichier dit son départ."
        if guardians := json.loads(left.guardians):
            sentence += f" Le lien prend fin avec {', '.join(guardians)}."
        yield Difference(Kind.LEAVING, whole_name(*left[:2]), left.class_name, sentence)
    for new in staging.rows(_NEW_PUPILS):
        yield Difference(Kind.CREATED, whole_name(*new[:2]), new.class_name, "Élève : arrive dans l’établissement.")
    for pupil in staging.rows(_CHANGED_PUPILS):
        name = whole_name(pupil.family_name, pupil.given_name)
        yield Difference(Kind.CHANGED, name, pupil.class_name, _sentence(_of_pupil(pupil), "Élève"))


def _of_pupil(pupil: Any) -> Iterator[str]:
    if not pupil.own:
        yield "ses responsables changent"
    elif pupil.is_left:
        yield "revient dans l’établissement"
    elif pupil.is_moving:
        yield "arrive d’un autre établissement"
    if not (pupil.own and pupil.is_seen):
        return
    yield from _change(
        "nom",
        whole_name(pupil.known_family_name, pupil.known_given_name),
        whole_name(pupil.family_name, pupil.given_name),
    )
    yield from _change("classe", pupil.known_class_name, pupil.class_name)


def _guardians(staging: Staging) -> Iterator[Difference]:
    for left in staging.rows(_CLOSING):
        yield Difference(Kind.LEAVING, whole_name(*left[:2]), left.class_name, "Responsable : le compte se ferme.")
    for new in staging.rows(_NEW_GUARDIANS):
        children = ", ".join(json.loads(new.children))
        sentence = (
            f"Responsable : un compte est créé, pour {children}." if children else "Responsable : un compte est créé."
        )
        if children and not new.has_access:
            sentence += " La personne attend la direction : ni accès ni courrier avant sa réponse."
        yield Difference(Kind.CREATED, whole_name(*new[:2]), new.class_name, sentence)
    for person in staging.rows(_CHANGED_GUARDIANS):
        parts = _of_guardian(person) if person.is_seen else iter(["suit ce fichier"])
        name = whole_name(person.family_name, person.given_name)
        yield Difference(Kind.CHANGED, name, person.class_name, _sentence(parts, "Responsable"))


def _of_guardian(person: Any) -> Iterator[str]:
    if person.is_left:
        yield f"a de nouveau un enfant ici, {_reopening(person)}"
    yield from _change("civilité", person.known_civility, person.civility)
    yield from _change(
        "nom",
        whole_name(person.known_family_name, person.known_given_name),
        whole_name(person.family_name, person.given_name),
    )
    yield from _change("nom de naissance", person.known_birth_name, person.birth_name)
    yield from _change("adresse postale", _home(person.known_home), _home(person.home))
    yield from _change("adresse mail du fichier", person.known_email, person.email, _masked)
    yield from _change(
        "adresse donnée aux associations de parents",
        _YES_NO[person.known_diffusion],
        _YES_NO[person.diffusion],
    )


def _reopening(person: Any) -> str:
    if person.is_shut:
        return "le compte reste suspendu"
    return "le compte se rouvre" if person.has_access else "sans accès à cet enfant"


_BECOMES = {
    "": "Devient responsable de {child}.",
    "closed": "Devient responsable de {child} dans le fichier ; l’accès à {child} reste suspendu.",
    "waits": "Devient responsable de {child} dans le fichier, sans accès tant que la direction n’a pas décidé.",
}
# What the file says of a tie, by `known_link.closed`.
_IS_NO_MORE = {
    "": "N’est plus responsable de {child}, et n’y a plus accès.",
    "closed": "N’est plus responsable de {child} dans le fichier ; la suspension de l’accès reste.",
    "waits": "N’est plus responsable de {child} : la direction n’avait pas décidé de son accès.",
}


def _ties(staging: Staging) -> Iterator[Difference]:
    for added in staging.rows(_ADDED):
        sentence = f"S’ajoute, pour {added.child}, à un responsable qui utilise son compte et en sera prévenu par mail."
        yield Difference(Kind.BESIDE, whole_name(*added[:2]), added.class_name, sentence)
    for tie in staging.rows(_TIES_ADDED):
        sentence = _BECOMES.get(tie.closed, _BECOMES[""]).format(child=tie.child)
        yield Difference(Kind.TIE_ADDED, whole_name(*tie[:2]), tie.class_name, sentence)
    for tie in staging.rows(_TIES_CHANGED):
        parts = _change("lien", _kinship(tie.known_kinship), _kinship(tie.kinship))
        what = next(parts, "rang du responsable changé")
        yield Difference(Kind.CHANGED, whole_name(*tie[:2]), tie.class_name, f"Pour {tie.child} : {what}.")
    for ending in staging.rows(_TIES_ENDED):
        sentence = _IS_NO_MORE.get(ending.closed, _IS_NO_MORE[""]).format(child=ending.child)
        yield Difference(Kind.TIE_ENDED, whole_name(*ending[:2]), ending.class_name, sentence)


_YES_NO = {None: "", 0: "non", 1: "oui"}


def _change(what: str, before: str, after: str, shown: Callable[[str], str] = str) -> Iterator[str]:
    if before != after:
        yield f"{what} : {shown(before) or 'rien'} → {shown(after) or 'rien'}"


def _sentence(parts: Iterator[str], who: str) -> str:
    return f"{who} : {', '.join(parts) or 'numéro ou données techniques corrigés'}."


def _home(home: str) -> str:
    lines, *rest = json.loads(home)
    parts: list[Any] = [*json.loads(lines or "[]"), " ".join(filter(None, rest[:2])), rest[2]]
    return ", ".join(filter(None, parts))


def _kinship(code: str) -> str:
    return _KINSHIPS.get(code, "autre" if code else "")


def _masked(email: str) -> str:
    name, at, domain = email.partition("@")
    return f"{name[:1]}…{at}{domain}" if email else ""
