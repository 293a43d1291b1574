"""What was imported before, at the desk and by the command, for the schools in scope."""

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from flask import url_for
from flask_babel import gettext
from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, true
from sqlalchemy.orm import aliased

from idp import spreadsheet
from idp.accounts.models import Account, Child, RosterAlias, SchoolNotice
from idp.accounts.school_notices import Kind as NoticeKind
from idp.clock import now
from idp.db import db, one_of
from idp.desk import access
from idp.desk.access import Right
from idp.desk.jobs.kinds import Step
from idp.desk.jobs.models import Job, State
from idp.desk.school_files import words
from idp.desk.school_files.work import Problem, grouped, of_last_file
from idp.desk.staff import models
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import named_issues
from idp.rostering.reconcile.difference import WORDS, Kind
from idp.rostering.records import COMPARED, WITHOUT_ACCOUNT

SHOWN = 200  # how many problems the page shows; the CSV has all
_SHOWN_IMPORTS = 30
_HEADER = ("fichier", "ligne", "gravité", "clé", "personne", "problème")
_KIND = case(
    (ImportIssue.code.in_(WITHOUT_ACCOUNT), Kind.WITHOUT_ACCOUNT.value),
    (ImportIssue.severity == "error", Kind.PROBLEM.value),
    else_=Kind.DOUBT.value,
)

# The notices that become of problems, by the code of the issue. The key of such an issue is the guardian's.
_NOTICES = {
    "key_changes_person": NoticeKind.PERSON_REPLACED,
    "name_in_doubt": NoticeKind.NAME_IN_DOUBT,
    "namesake_starts_again": NoticeKind.PERSON_REPLACED,
    "tie_disputed": NoticeKind.NOT_GUARDIAN,
}


@dataclass(frozen=True)
class Past:
    """A former import: by whom (empty for a command), its problems to correct, and for the académie its schools.

    `is_own` says that the files spoke for the school in use alone, so that its counts and problems may be shown.
    """

    batch: ImportBatch
    who: str
    is_own: bool
    problems: int
    place: str = ""


def recent() -> list[Past]:
    """Return the last imports that speak for a school in scope, newest first."""
    rows = [row for part in _parts() for row in _newest(part, _SHOWN_IMPORTS)]
    return _past(sorted(rows, key=lambda row: row.started_at, reverse=True)[:_SHOWN_IMPORTS])


def _newest(condition: ColumnElement[bool], count: int) -> Sequence[ImportBatch]:
    newest = select(ImportBatch).where(condition).order_by(ImportBatch.started_at.desc()).limit(count)
    return db.session.scalars(newest).all()


def get(key: uuid.UUID) -> Past:
    """Return an import whose problems may be read; refuse the page otherwise."""
    batch = db.session.scalar(select(ImportBatch).where(ImportBatch.id == key, or_(*_parts())))
    past = _past([batch])[0] if batch else None
    if past is None or not past.is_own:
        access.refuse(str(key))
    return past


def last() -> Past | None:
    """Return the last import of files for the school alone, or the last one of all for an engineer."""
    own, *_ = _parts()
    return next(iter(_past(_newest(own, 1))), None)


@dataclass(frozen=True)
class Group:
    """The problems of one kind: the first of those that are new since the last file, how many, and the first others."""

    kind: Kind
    problems: Sequence[Problem]
    total: int
    before: Sequence[Problem]


def new_problems(batch: ImportBatch, kind: Kind = Kind.PROBLEM) -> int:
    """Return how many problems of a kind an import had that the file before did not have."""
    counts = _problem_counts([batch.id], ~_is_known_before(batch), _KIND.in_([kind.value]))
    return counts.get((batch.id, kind.value), 0)


def groups(batch: ImportBatch) -> list[Group]:
    """Return the problems of an import in three groups, with the pages of the notices that they became."""
    is_known, in_order = _is_known_before(batch), (ImportIssue.severity, ImportIssue.id)
    place = func.row_number().over(partition_by=(_KIND, is_known), order_by=in_order)
    placed = select(ImportIssue.id, is_known.label("is_known"), place.label("place"))
    first = placed.where(ImportIssue.batch_id == batch.id, _is_shown()).subquery()
    chosen = select(ImportIssue, first.c.is_known).join(first, first.c.id == ImportIssue.id)
    rows = db.session.execute(chosen.where(first.c.place <= SHOWN).order_by(*in_order)).all()
    known = {issue.id for issue, is_known in rows if is_known}
    shown = _problems(batch, [issue for issue, _ in rows], known)
    urls = _notice_urls(batch, shown)
    shown = [replace(problem, notice_url=urls.get((problem.code, problem.key), "")) for problem in shown]
    counts, kinds = _problem_counts([batch.id], ~is_known) if shown else {}, {problem.kind for problem in shown}
    return [
        Group(
            kind,
            [problem for problem in shown if problem.kind is kind and not problem.is_known],
            counts.get((batch.id, kind.value), 0),
            [problem for problem in shown if problem.kind is kind and problem.is_known],
        )
        for kind in (Kind.PROBLEM, Kind.DOUBT, Kind.WITHOUT_ACCOUNT)
        if kind in kinds
    ]


def _is_known_before(batch: ImportBatch) -> ColumnElement[bool]:
    last = of_last_file(batch.only_school, batch.started_at) if batch.only_school else None
    former = aliased(ImportIssue)
    same = former.batch_id == last, former.code == ImportIssue.code, former.key == ImportIssue.key
    return exists().where(*same, former.key != "").correlate(ImportIssue)


def _problems(batch: ImportBatch, issues: Sequence[ImportIssue], known: Collection[int] = frozenset()) -> list[Problem]:
    followers = _followers(batch, issues)
    hides_people = not access.may(Right.READ_FAMILIES)
    named = {} if hides_people else _names(issue.key for issue in (*issues, *followers))
    with_names = (
        Problem(
            issue.severity,
            issue.file,
            [issue.line],
            issue.key,
            issue.code,
            issue.message,
            issue.because,
            "" if hides_people else issue.person or named.get(issue.key, ""),
            is_known=issue.id in known,
        )
        for issue in (*issues, *followers)
    )
    shown = []
    for problem in grouped(with_names):
        key = "" if hides_people else problem.key
        shown.append(replace(problem, key=key, person=words.person(problem.person, key)))
    return shown


def _issues(batch: ImportBatch, condition: ColumnElement[bool]) -> Sequence[ImportIssue]:
    chosen = select(ImportIssue).where(ImportIssue.batch_id == batch.id, condition)
    return db.session.scalars(chosen.order_by(ImportIssue.severity, ImportIssue.id)).all()


def _notice_urls(batch: ImportBatch, problems: Iterable[Problem]) -> dict[tuple[str, str], str]:
    """Return the pages of the notices that became of problems, by the problem's code and key.

    Such a notice is in scope, and was open during the import or made by it; of several, the newest.
    """
    asked = {(problem.code, problem.key) for problem in problems if problem.code in _NOTICES and problem.key}
    if not asked or not access.may(Right.READ_NOTICES):
        return {}
    keys = sorted({key for _, key in asked})
    by_key = select(Account.roster_key, Account.id).where(one_of(Account.roster_key, keys))
    by_alias = select(RosterAlias.roster_key, RosterAlias.account_id).where(one_of(RosterAlias.roster_key, keys))
    accounts = {row[0]: row[1] for statement in (by_alias, by_key) for row in db.session.execute(statement)}
    people = sorted(set(accounts.values()))
    about = func.coalesce(
        case((SchoolNotice.kind == NoticeKind.PERSON_REPLACED.value, SchoolNotice.other_account_id)),
        SchoolNotice.account_id,
    )
    statement = select(about, SchoolNotice.kind, SchoolNotice.id).where(
        access.notices(),
        SchoolNotice.kind.in_({kind.value for kind in _NOTICES.values()}),
        or_(one_of(SchoolNotice.account_id, people), one_of(SchoolNotice.other_account_id, people)),
        SchoolNotice.created_at <= (batch.finished_at or now()),
        or_(SchoolNotice.settled_at.is_(None), SchoolNotice.settled_at >= batch.started_at),
    )
    notices = {row[:2]: row[2] for row in db.session.execute(statement.order_by(SchoolNotice.created_at))}
    of_problem = {(code, key): notices.get((accounts.get(key), _NOTICES[code].value)) for code, key in asked}
    return {problem: url_for("decisions.notice", notice=notice) for problem, notice in of_problem.items() if notice}


def _followers(batch: ImportBatch, issues: Iterable[ImportIssue]) -> Sequence[ImportIssue]:
    """Return the issues of guardians that follow from those of pupils; an import of several schools stores none."""
    causes = {issue.key for issue in issues if issue.code in named_issues.CAUSES} - {""}
    if batch.only_school is None or not causes:
        return []
    return _issues(batch, one_of(ImportIssue.because, sorted(causes)))


def _is_shown() -> ColumnElement[bool]:
    """Return the condition of the issues that somebody has to look at, one by one; others say who leaves.

    People who wait for the head are counted, and « Décisions » names them.
    """
    hidden = COMPARED if not access.may(Right.READ_FAMILIES) else named_issues.TOLD_BY_NAME | {named_issues.WAITS}
    return ImportIssue.code.not_in(hidden) & (ImportIssue.because == "")


def _names(keys: Iterable[str]) -> dict[str, str]:
    if own_uai() is None:
        return {}
    asked = sorted(set(keys))
    pupils = select(Child.roster_key, Child.family_name, Child.given_name).where(
        one_of(Child.roster_key, asked), access.children()
    )
    guardians = select(Account.roster_key, Account.family_name, Account.given_name).where(
        one_of(Account.roster_key, asked), access.accounts()
    )
    rows = [*db.session.execute(pupils), *db.session.execute(guardians)]
    return {row[0]: f"{row[1]} {row[2]}".strip() for row in rows}


def sheet(batch: ImportBatch) -> Iterator[bytes]:
    """Yield all problems of an import as CSV, errors first; those of the files alone for who reads no names."""
    rows = (
        (row.file, ", ".join(map(str, row.lines)), WORDS[row.kind], row.key, row.person, row.sentence)
        for row in _problems(batch, _issues(batch, _is_shown()))
    )
    return spreadsheet.rows_to_csv(_HEADER, rows)


def _parts() -> Sequence[ColumnElement[bool]]:
    """Return the conditions of the imports in scope, each in the order of an index: all of them for an engineer.

    For a school, those of its own files come first, and then those of the académie's files that have the school.
    """
    uai = own_uai()
    if uai is None:
        return [true()]
    return [
        ImportBatch.only_school == uai,
        and_(ImportBatch.only_school.is_(None), ImportBatch.speaks_for(uai)),
    ]


def own_uai() -> str | None:
    """Return the UAI of the school in use; None for a person of the académie."""
    school = access.post().school
    return (school.uai if school else "") if access.own_spec().is_at_school else None


def _past(batches: Sequence[ImportBatch]) -> list[Past]:
    counts = _problem_counts([batch.id for batch in batches], _KIND.in_([Kind.PROBLEM.value]))
    staff = models.names(batch.actor for batch in batches)
    uai = own_uai()
    places = {
        batch.id: batch.schools[0] if len(batch.schools) == 1 else gettext("%(n)s établissements", n=len(batch.schools))
        for batch in batches
    }
    return [
        Past(
            batch,
            staff.get(batch.actor, ""),
            uai is None or batch.schools == [uai],
            counts.get((batch.id, Kind.PROBLEM.value), 0),
            places[batch.id] if uai is None else "",
        )
        for batch in batches
    ]


def _problem_counts(keys: Collection[uuid.UUID], *conditions: ColumnElement[bool]) -> dict[tuple[uuid.UUID, str], int]:
    line = case((ImportIssue.key == "", ImportIssue.line), else_=0)
    same = (ImportIssue.file, ImportIssue.code, ImportIssue.key, ImportIssue.message, line)  # as `grouped` has it
    each = (
        select(ImportIssue.batch_id, _KIND.label("kind"), *same)
        .where(ImportIssue.batch_id.in_(keys), _is_shown(), *conditions)
        .distinct()
        .subquery()
    )
    of_kind = each.c.batch_id, each.c.kind
    counted = select(*of_kind, func.count()).group_by(*of_kind)
    return {(batch_id, kind): count for batch_id, kind, count in db.session.execute(counted)}


def after_import(job: Job) -> Sequence[Step]:
    """Return the steps after an import, the likeliest first."""
    steps = []
    counts = job.result.get("counts", {})  # before the end, what the import was going to do
    if job.state is State.DONE and words.new_accounts(counts) and access.may(Right.PRINT_CLASSES):
        steps.append(Step(gettext("Imprimer les courriers"), url_for("classes.letters", tout="1")))
    waiting = counts.get("waiting", {}).get("people", 0)
    if job.state is State.DONE and waiting and access.may(Right.REOPEN):
        steps.append(Step(gettext("Voir les signalements"), url_for("decisions.to_decide")))
    if batch := job.result.get("batch"):
        past = db.session.get(ImportBatch, uuid.UUID(batch))
        if past and (problems := new_problems(past)):
            label = gettext("Voir les problèmes (%(n)s)", n=problems)
            steps.append(Step(label, url_for("files.problems", key=past.id)))
        elif past and new_problems(past, Kind.DOUBT):
            steps.append(Step(gettext("Voir ce qui est à vérifier"), url_for("files.problems", key=past.id)))
    return [*steps, Step(gettext("Revenir aux fichiers"), url_for("files.show"))]
