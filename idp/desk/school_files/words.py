"""What the pages say about files: why they are refused, what was imported, the kinds of lines of a difference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext, lazy_gettext as _l, ngettext

from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs.files import UPLOAD_LIFETIME
from idp.desk.jobs.kinds import CHECK
from idp.desk.jobs.models import Job, State
from idp.desk.school_files import policy
from idp.desk.statistics import tables
from idp.rostering.reconcile.counts import FEW
from idp.rostering.reconcile.difference import Kind
from idp.rostering.records import Format
from idp.web import i18n

_REFUSALS = {
    "gone": _l(
        "Les fichiers ne sont plus là : une vérification plus récente les a remplacés, ou vous les avez donnés il y a "
        "plus de %(time)s. Pour les vérifier encore, donnez-les de nouveau.",
        time=i18n.in_words(UPLOAD_LIFETIME),
    ),
    "imported": _l("Ces fichiers ont été importés. La page « Fichiers » dit quand, et ce qui a changé."),
    "unreadable": _l(
        "Le service ne peut plus lire ces fichiers : la clé qui les protège a été changée depuis. Donnez-les de "
        "nouveau."
    ),
    "unknown_format": _l(
        "Ce ne sont pas des fichiers de SIECLE, d’ONDE, ni un CSV de familles. Exportez-les de nouveau et donnez-les "
        "tels quels, sans les ouvrir dans un tableur."
    ),
    "nobody": _l("Ces fichiers ne contiennent aucun élève et aucun responsable."),
    "half_pair": _l(
        "Il manque un fichier : SIECLE et ONDE en donnent deux, celui des élèves et celui des responsables. "
        "Donnez les deux ensemble."
    ),
    "all_refused": _l("Aucune ligne n’a pu être prise : voyez les problèmes."),
    "too_many_refused": _l(
        "Trop de lignes de ces fichiers ne peuvent pas être prises : la lecture s’est arrêtée. Exportez-les de nouveau "
        "et donnez-les tels quels, sans les ouvrir dans un tableur."
    ),
    "other_school": _l("Ces fichiers parlent d’un autre établissement. Seul le vôtre peut y être."),
    "two_formats": _l("Ces fichiers ne vont pas ensemble : donnez ceux d’un seul logiciel à la fois."),
    "too_many_leave": _l(
        "Trop d’élèves ou de responsables partiraient, avec les départs des %(days)s derniers jours. La direction de "
        "l’établissement peut importer ces fichiers.",
        days=policy.WINDOW.days,
    ),
    "for_the_head": _l(
        "Ces fichiers changent beaucoup de choses, ou viennent d’un autre logiciel que d’habitude. La direction de "
        "l’établissement peut les importer, après les avoir vérifiés."
    ),
    "for_the_academy": _l("Ces fichiers changent trop de choses pour être importés ici. Écrivez à l’académie."),
    "changed_since": _l(
        "Des données ont changé depuis la vérification : plus de personnes partiraient que ce qui a été montré. "
        "Rien n’a été importé. Vérifiez les fichiers de nouveau."
    ),
    "mistake_since": _l(
        "Des données ont changé depuis la vérification. Rien n’a été importé. Vérifiez les fichiers de nouveau."
    ),
    "mistake_since_begun": _l(
        "Des données ont changé depuis le début de cet import, qui n’a pas pu reprendre. "
        "Vérifiez les fichiers de nouveau."
    ),
    "busy": _l(
        "D’autres fichiers de cet établissement sont en cours d’import. Attendez la fin, puis vérifiez ceux-ci de "
        "nouveau."
    ),
    "role_ended": _l("Le rôle de la personne a pris fin : rien n’a été importé."),
    "fault": _l("Une erreur de notre part a arrêté le travail. Essayez de nouveau, ou écrivez à l’académie."),
}
GONE = frozenset({"gone", "imported"})
_UNREADABLE = _l("Ces fichiers ne peuvent pas être lus jusqu’au bout : la raison est dans les problèmes.")

_MISTAKES = {
    "other_source": _l(
        "Jusqu’ici, cet établissement recevait des fichiers d’un autre logiciel. Avec ceux-ci, les mêmes familles "
        "risquent d’être créées une seconde fois."
    ),
    "many_accounts": _l("Beaucoup de comptes se fermeraient d’un coup."),
    "many_ties": _l("Beaucoup de liens entre un responsable et un élève prendraient fin."),
    "many_strangers": _l("Beaucoup d’élèves de ces fichiers sont connus dans un autre établissement."),
    "crowded": _l("Une personne aurait plus de %(most)s enfants.", most=FEW),
    "emptied": _l("Plus de la moitié des comptes d’un établissement se fermeraient."),
}
_FIGURES = {
    "many_accounts": _l("%(some)s sur %(all)s ; limite : %(percent)s %%"),
    "many_ties": _l("%(some)s sur %(all)s, avec ceux des élèves qui partent ; limite : %(percent)s %%"),
    "many_strangers": _l("%(some)s sur %(all)s ; limite : %(percent)s %%"),
    "emptied": _l("%(some)s sur %(all)s"),
}
_EXCEEDED = {
    "students": _l(
        "%(some)s élèves sur %(all)s partiraient, avec les départs des %(days)s derniers jours ; limite du "
        "secrétariat : %(percent)s %%."
    ),
    "guardians": _l(
        "%(some)s responsables sur %(all)s partiraient, avec les départs des %(days)s derniers jours ; limite "
        "du secrétariat : %(percent)s %%."
    ),
    "ties": _l(
        "%(some)s liens sur %(all)s entre un responsable et un élève qui restent prendraient fin, avec ceux des "
        "%(days)s derniers jours ; limite du secrétariat : %(percent)s %%."
    ),
}
# The mistakes that a person who reads no names sees one by one.
_OF_SCHOOLS_OR_FILES = frozenset({"other_source", policy.CROWDED})

_MUCH_CHANGES = _l(
    "Beaucoup de comptes ou de liens prendraient fin, ou beaucoup d’élèves sont connus dans un autre établissement. "
    "Faites-le confirmer par la direction de l’établissement avant d’importer."
)

KINDS = {
    Kind.PROBLEM: _l("À corriger"),
    Kind.DOUBT: _l("À vérifier"),
    Kind.LEAVING: _l("Partent"),
    Kind.BESIDE: _l("S’ajoutent à un responsable qui utilise son compte"),
    Kind.CREATED: _l("Arrivent"),
    Kind.CHANGED: _l("Changent"),
    Kind.TIE_ADDED: _l("Nouveaux liens"),
    Kind.TIE_ENDED: _l("Liens qui prennent fin"),
    Kind.WITHOUT_ACCOUNT: _l("Sans compte, c’est normal"),
}

FORMATS = {format_.value: format_.facts.label for format_ in Format}
STATES = {
    "done": _l("importé"),
    "stopped": _l("refusé, rien n’a changé"),
    "failed": _l("arrêté par une erreur"),
    "running": _l("commencé, pas encore fini"),
}

_JOB_STATES = {
    State.WAITING: _l("en attente"),
    State.RUNNING: _l("en cours"),
    State.DONE: _l("terminé"),
    State.FAILED: _l("arrêté avant la fin"),
    State.CANCELLED: _l("annulé"),
}

_COUNTED = (
    (
        "students",
        _l("Élèves : arrivées %(new)s, changements %(changed)s, départs %(left)s, inchangés %(same)s."),
        _l("Élèves dans les fichiers : %(read)s."),
    ),
    (
        "guardians",
        _l("Responsables : arrivées %(new)s, changements %(changed)s, départs %(left)s, inchangés %(same)s."),
        _l("Responsables dans les fichiers : %(read)s."),
    ),
)


def person(name: str, key: str) -> str:
    """Return the person of a problem: the name, or the number in the file of one whom nobody knows here."""
    number = key.rpartition(":")[2]
    unknown = gettext("numéro %(number)s dans le fichier", number=number) if number else "–"
    return name or str(unknown)


def with_followers(message: str, names: Sequence[str]) -> str:
    """Return the sentence of a problem, with the guardians who have no account because of it."""
    if not names:
        return message
    if all(names):
        following = gettext("Pour cette raison, pas de compte pour %(names)s.", names=", ".join(names))
    elif len(names) == 1:
        following = gettext("Pour cette raison, un responsable n’a pas de compte.")
    else:
        following = gettext("Pour cette raison, %(n)s responsables n’ont pas de compte.", n=len(names))
    return f"{message} {following}"


def refusal(code: str) -> str:
    """Return why files are refused."""
    return str(_REFUSALS.get(code, _UNREADABLE))


def waits(until: datetime, *, decides: bool, has_head: bool) -> str:
    """Return what a person reads about files that wait for the direction: who decides, and until when."""
    if decides:
        sentence = gettext("Le secrétariat ne peut pas importer ces fichiers. Ils attendent votre décision %(until)s.")
    elif has_head:
        sentence = gettext(
            "Ces fichiers attendent la direction %(until)s. Elle les trouve sur sa page « Aujourd’hui » et reçoit un "
            "mail : vous n’avez rien d’autre à faire."
        )
    else:
        sentence = gettext(
            "Ces fichiers attendent la direction %(until)s, mais personne de la direction n’a d’accès au bureau. "
            "Écrivez à l’académie."
        )
    return str(sentence) % {"until": until_when(until)}


def until_when(moment: datetime) -> str:
    """Return until when files wait, in words."""
    return str(gettext("jusqu’au %(day)s à %(hour)s", day=i18n.day(moment), hour=i18n.hour(moment)))


def exceeded(limits: Sequence[policy.Exceeded]) -> list[str]:
    """Return why a secretary may not import files by which so many people leave."""
    return [
        str(_EXCEEDED[row.name])
        % {"some": row.leaving, "all": row.present, "days": policy.WINDOW.days, "percent": _percent(row.percent)}
        for row in limits
    ]


def _percent(number: float) -> str:
    return f"{number:g}".replace(".", ",")


def _with_figures(code: str, summary: Mapping[str, Any]) -> str:
    sentence, figures = str(_MISTAKES[code]), summary.get("figures", {}).get(code)
    if not figures:
        return sentence
    some, everything = figures
    values = {"some": some, "all": everything, "percent": _percent(summary["percent"])}
    return f"{sentence.removesuffix('.')} : {str(_FIGURES[code]) % values}."


def mistakes(codes: Sequence[str], summary: Mapping[str, Any]) -> list[str]:
    """Return what files that look like a mistake would do; in one sentence for a person who reads no names."""
    if access.may(Right.READ_FAMILIES):
        return [_with_figures(code, summary) for code in codes]
    sentences = [str(_MISTAKES[code]) for code in codes if code in _OF_SCHOOLS_OR_FILES]
    return sentences if _OF_SCHOOLS_OR_FILES.issuperset(codes) else [str(_MUCH_CHANGES), *sentences]


def job_state(job: Job, until: datetime | None = None) -> str:
    """Return where a check or an import stands, in words; `until` is given for a check that waits for the direction."""
    if until is not None:
        return str(gettext("attend la direction, %(until)s", until=until_when(until)))
    if job.result.get(policy.DECLINED):
        return str(gettext("refusés par la direction"))
    if job.state is State.DONE and job.kind == CHECK.name:
        return str(gettext("à lire"))
    return str(_JOB_STATES[job.state])


def problem_count(count: int) -> str:
    """Return a number of problems in words."""
    if count:
        return str(gettext("%(n)s à corriger", n=count))
    return str(gettext("rien de format") if not access.may(Right.READ_FAMILIES) else gettext("rien à corriger"))


def arrivals(counts: dict[str, dict[str, int]]) -> str:
    """Return what an import did, in a few words; how many pupils it read for a person who reads no names."""
    numbers, guardians = counts.get("students"), counts.get("guardians")
    if not numbers:
        return "–"
    if not access.may(Right.READ_FAMILIES):
        return str(gettext("élèves dans les fichiers : %(n)s", n=tables.number(numbers["read"])))
    sentences = [gettext("élèves : arrivées %(new)s, départs %(left)s", new=numbers["created"], left=numbers["left"])]
    if guardians:
        new, left = guardians["created"], guardians["left"]
        sentences.append(gettext("responsables : arrivées %(new)s, départs %(left)s", new=new, left=left))
    return " ; ".join(sentences)


def of_check(job: Job) -> Sequence[str]:
    """Return what came of a check."""
    return [refusal(job.refusal)] if job.refusal else []


def of_import(job: Job) -> Sequence[str]:
    """Return what came of an import."""
    if job.state is State.CANCELLED:
        return [gettext("Rien n’a été importé.")]
    if job.refusal in _MISTAKES:  # nobody accepted it: it was not there when the files were checked
        return [refusal("mistake_since_begun" if job.is_final else "mistake_since"), *mistakes([job.refusal], {})]
    if job.refusal:
        return [refusal(job.refusal)]
    counts = job.result.get("counts")
    if not counts or not access.may(Right.READ_FAMILIES):
        return counted(counts or {})
    return [*counted(counts), _of_accounts(new_accounts(counts)), *_of_access(counts)]


def new_accounts(counts: Mapping[str, Mapping[str, int]]) -> int:
    """Return how many accounts an import opened, also for people who wait for the head: the check counts them too."""
    return counts.get("accounts", {}).get("created", 0)


def _of_accounts(count: int) -> str:
    """Return how many accounts are new, and what follows for the school.

    Nothing says how many people wait for the head. The check names those who wait because of a closing in the
    school; a larger number after the import would say that somebody is closed in another one.
    """
    if not count:
        return str(gettext("Aucun nouveau compte."))
    return str(
        ngettext(
            "Un nouveau compte : son courrier s’imprime, sauf si la direction vérifie d’abord qui c’est.",
            "%(num)s nouveaux comptes : leurs courriers s’impriment, sauf si la direction vérifie d’abord qui c’est.",
            count,
        )
    )


# Which accounts an import closes and opens again: a count, and its words for one and for several.
_ACCESS = (
    ("accounts", "disabled", _l("Un compte est fermé."), _l("%(n)s comptes sont fermés.")),
    (
        "access",
        "reopened",
        _l("Un compte fermé est rouvert : la personne a de nouveau un enfant ici."),
        _l("%(n)s comptes fermés sont rouverts : ces personnes ont de nouveau un enfant ici."),
    ),
    (
        "access",
        "closed",
        _l("La suspension d’un lien reste, bien que le fichier ne nomme plus la personne."),
        _l("Les suspensions de %(n)s liens restent, bien que le fichier ne nomme plus ces personnes."),
    ),
)


def _of_access(counts: Mapping[str, Mapping[str, int]]) -> Iterator[str]:
    for name, what, single, several in _ACCESS:
        if count := counts.get(name, {}).get(what, 0):
            yield str(single) if count == 1 else str(several) % {"n": count}


def of_former(counts: dict[str, dict[str, int]]) -> list[str]:
    """Return the counts of a former import as sentences, with the numbers of files that a school may have brought."""
    if not access.may(Right.READ_FAMILIES):
        return counted(counts, tables.number)
    return [*counted(counts, tables.number), *_of_access(counts)]


def counted(counts: dict[str, dict[str, int]], number: Callable[[int], str] = str) -> list[str]:
    """Return counts of a check or an import as sentences: those of the files alone for a person who reads no names.

    Counts that were stored before `leaving` was counted do not have it.
    """
    is_nameless = not access.may(Right.READ_FAMILIES)
    sentences = []
    for name, whole, short in _COUNTED:
        if numbers := counts.get(name):
            values = {
                "new": numbers["created"],
                "changed": numbers["changed"] - numbers.get("leaving", 0),
                "left": numbers["left"],
                "same": numbers["unchanged"],
                "read": number(numbers["read"]),
            }
            sentences.append(str(short if is_nameless else whole) % values)
    return sentences
