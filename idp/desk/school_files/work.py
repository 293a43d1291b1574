"""The work of the jobs `check` and `import`, and the problems of files: each cause once, with what follows from it.

A check reads and compares files, and stores the difference by name; nothing is imported. The import compares again, and
stops if more people would leave than was shown.

The académie's engineer imports files and reads no names. Who brings the file would learn from every answer about one of
its lines something of a person: a file of one pupil would ask whether this pupil is known, where the family lives,
whether somebody is closed. Even a rounded number reveals one person: with nine invented people in the file, it
depends on the tenth alone. So the engineer reads what the files say of themselves, and one verdict on the whole:
whether so much would end that the files look like a mistake. Files at the threshold of that verdict still ask about one
person; without it, an import by mistake could close a school.

A pupil without a class opens no account, and each guardian of the pupil has a problem of the same cause: the guardians
are named with the pupil. Lines of a file that say the same of one key are one problem.
"""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import chain
from pathlib import PurePath
from typing import Any

from flask_babel import gettext
from sqlalchemy import select

from idp import spreadsheet
from idp.config import Settings
from idp.db import db
from idp.desk import naming
from idp.desk.jobs import files
from idp.desk.jobs.kinds import BusyError, Finished, RefusedError, Running
from idp.desk.jobs.models import Job
from idp.desk.school_files import policy, words
from idp.desk.staff.models import Role
from idp.opaque import UndecryptableError
from idp.rostering import imports, lock
from idp.rostering.files.sources import InMemory
from idp.rostering.imports import ALL_MISTAKES, ImportResult, ImportStoppedError, Steps
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import counts, difference, named_issues
from idp.rostering.reconcile.difference import Difference, Kind, kind_of
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import COMPARED

SHOWN = 200  # how many lines of a kind the page shows; the CSV has all
_MOST_SCHOOLS = 20
_ENDS_OF_CHECK, _ENDS_OF_IMPORT = (50, 100), (20, 40)  # the percents of a job at the end of reading and of comparing
_PERCENT = 100
_LINES, _SHEET = "difference.json", "difference.csv"


@dataclass(frozen=True)
class Part:
    """The lines of a kind that are shown, of `total`."""

    kind: Kind
    lines: Sequence[tuple[str, str, str]]
    total: int


def uploads(settings: Settings, check_id: uuid.UUID) -> list[InMemory]:
    """Return the files of a check.

    Raises:
        RefusedError: they are gone, or the key that protects them was replaced.
    """
    try:
        chosen = files.uploads(settings, check_id)
    except UndecryptableError:
        raise RefusedError("unreadable") from None
    if not chosen:
        raise RefusedError("gone")
    return [InMemory(upload.name, upload.content) for upload in chosen]


Store = Callable[[int, int], None]  # stores how much of a job is done, and all of it


def _steps(store: Store, finish: Store, uploaded: Sequence[InMemory], ends: tuple[int, int]) -> Steps:
    """Return the progress callbacks of an import in percent; `finish` stores that of the phase that writes."""
    totals, done, bounds = [sum(len(file.content) for file in uploaded), 0, 0], [0, 0, 0], (0, *ends, _PERCENT)

    def add(phase: int, to: Store, count: int) -> None:
        done[phase] += count
        start, end = bounds[phase : phase + 2]
        part = min(1.0, done[phase] / totals[phase]) if totals[phase] else 0.0
        to(int(start + part * (end - start)), _PERCENT)

    def plan(compared: int, written: int) -> None:
        totals[1:] = compared, written

    return Steps(partial(add, 0, store), partial(add, 1, store), partial(add, 2, finish), plan)


def check(running: Running) -> Finished:
    """Check the files of a job."""
    uploaded, role = uploads(running.settings, running.id), Role(running.parameters["role"])
    try:
        result = imports.check(
            running.settings,
            uploaded,
            policy.form(running.parameters, writes=False),
            _steps(running.tick, running.tick, uploaded, _ENDS_OF_CHECK),
            policy.terms(role, ALL_MISTAKES),
        )
        refusal = ""
    except ImportStoppedError as stopped:
        result, refusal = stopped.result, stopped.code
    with closing(result.staging):
        return _checked(running, role, result, refusal)


def _checked(running: Running, role: Role, result: ImportResult, refusal: str) -> Finished:
    staging, has_names = result.staging, policy.reads_names(role)
    read = sum(counted.read for counted in result.counts.values())
    refusal = policy.told_refusal(role, refusal, refused=staging.refused.total(), read=read)
    if has_names:
        lines = of_check(staging, refusal, of_last_file(running.parameters["school"]))
        lines = lines if refusal else chain(lines, difference.changes(staging))
    else:
        lines = of_files_alone(staging)
    kept, totals, sheet = _bounded(lines)
    summary = {
        "format": _format(result),
        "schools": len(result.schools),
        "uais": result.schools[:_MOST_SCHOOLS],
        "counts": {name: count for name, count in imports.totals(result).items() if name != "waiting"},
        "leaving": {} if refusal else policy.leaving(result),
        "mistakes": _mistakes(result, has_names=has_names),
        "figures": {row.code: row.figures for row in result.mistakes if row.figures and has_names},
        "percent": running.settings.roster_leaving_percent,
        "refused": refusal,
        "lines": dict(totals),
    }
    return Finished(
        summary,
        for_pages=[
            files.NewFile(_LINES, "application/json", json.dumps(kept).encode()),
            *([files.NewFile(_SHEET, naming.CSV, sheet)] if totals else []),
        ],
        frees=running.id if refusal else None,
    )


def _format(result: ImportResult) -> str:
    return result.format.value if result.format else ""


def _mistakes(result: ImportResult, *, has_names: bool) -> list[str]:
    """Return the codes of what files look like; without names, the children of one person are counted in the files."""
    codes = dict.fromkeys(mistake.code for mistake in result.mistakes)
    if not has_names:
        codes.pop(policy.CROWDED, None)
        codes |= dict.fromkeys([policy.CROWDED] if counts.is_crowded(result.staging) else [])
    return list(codes)


def _bounded(lines: Iterable[Difference]) -> tuple[dict[str, list[Sequence[str]]], Counter[str], bytes]:
    kept: dict[str, list[Sequence[str]]] = {}
    totals: Counter[str] = Counter()

    def counted() -> Iterable[Sequence[str]]:
        for line in lines:
            totals[line.kind.value] += 1
            shown = kept.setdefault(line.kind.value, [])
            if len(shown) < SHOWN:
                shown.append(line[1:])
            yield difference.cells(line)

    sheet = b"".join(spreadsheet.rows_to_csv(difference.COLUMNS, counted()))
    return kept, totals, sheet


def parts(settings: Settings, job: Job) -> list[Part]:
    """Return the difference that a check found, in the order of `Kind`; nothing if it is removed."""
    stored = files.for_pages(settings, job.id, _LINES)
    kept: dict[str, Any] = json.loads(stored.content) if stored else {}
    totals = job.result.get("lines", {})
    return [Part(kind, kept[kind.value], totals.get(kind.value, 0)) for kind in Kind if kept.get(kind.value)]


def sheet(settings: Settings, job: Job) -> files.NewFile | None:
    """Return all lines of the difference that a check found, as CSV; None if it has none, or is removed."""
    return files.for_pages(settings, job.id, _SHEET)


def import_(running: Running) -> Finished:
    """Import the files of a job's check. After a kill, write what is missing."""
    check_id = uuid.UUID(running.parameters["check"])
    uploaded, role = uploads(running.settings, check_id), Role(running.parameters["role"])
    store = running.progress if running.is_final else running.tick
    try:
        result = imports.run(
            running.settings,
            uploaded,
            policy.form(running.parameters, writes=True),
            _steps(store, running.progress, uploaded, _ENDS_OF_IMPORT),
            policy.terms(role, running.parameters["accepted"], partial(_begin_writing, running, role)),
        )
    except lock.ImportRunningError:
        raise BusyError from None
    except ImportStoppedError as stopped:
        stopped.result.staging.close()
        raise RefusedError(stopped.code) from None
    result.staging.close()
    return Finished({**running.result, "batch": result.batch}, frees=check_id)


def _begin_writing(running: Running, role: Role, result: ImportResult) -> None:
    """Check that the import does not do more than its role may and its person saw, before anything is written."""
    if running.is_final:  # a killed run has checked it, and had begun to write
        return
    verdict = policy.decide(
        role,
        policy.Findings(
            settings=running.settings,
            school=running.parameters["school"],
            leaving=policy.leaving(result),
            mistakes=[mistake.code for mistake in result.mistakes],
            shown=running.parameters["leaving"],
        ),
    )
    if not verdict.imports:
        raise ImportStoppedError(verdict.reason, "the role may not import so much, or more than was shown", result)
    running.begin_writing({"counts": imports.totals(result), "format": _format(result)})


# The issues of people whose pupils, or guardians, are in the other file of a pair.
_OF_HALF_PAIRS = frozenset({"guardian_missing", "student_missing", "student_without_representative"})


@dataclass(frozen=True)
class Problem:
    """A problem of files, about one person or none; `lines` of the file say the same of one key.

    `because` is the key of the pupil from whose problem it follows. `is_known` says that the file before had it too.
    `notice_url` is the page of the notice that the import made of it, if the post may read it.
    """

    severity: str
    file: str
    lines: Sequence[int]
    key: str
    code: str
    sentence: str
    because: str
    person: str
    class_name: str = ""
    is_known: bool = False
    notice_url: str = ""

    @property
    def kind(self) -> Kind:
        """Whether somebody corrects it, looks at it, or has nothing to do."""
        return kind_of(self.code, self.severity)

    @property
    def place(self) -> str:
        """The file and the lines in words; empty for a problem of all files."""
        if not self.file:
            return ""
        if len(self.lines) == 1:
            return str(gettext("%(file)s, ligne %(n)s", file=self.file, n=self.lines[0]))
        return str(gettext("%(file)s, lignes %(lines)s", file=self.file, lines=", ".join(map(str, self.lines))))


def of_last_file(uai: str, before: datetime | None = None) -> uuid.UUID | None:
    """Return the last import of files for one school, or the last one that began before an instant."""
    done = select(ImportBatch.id).where(ImportBatch.only_school == uai, ImportBatch.state == "done")
    if before is not None:
        done = done.where(ImportBatch.started_at < before)
    return db.session.scalar(done.order_by(ImportBatch.started_at.desc()).limit(1))


def of_check(staging: Staging, refusal: str, last: uuid.UUID | None) -> Iterator[Difference]:
    """Yield the problems of a check as lines of its difference, those that stopped it first.

    What only follows from a file that is missing, the `refusal`, is left out: it is true of every person. So are the
    problems of people that the `last` import had too.
    """
    former = select(ImportIssue.code, ImportIssue.key).where(ImportIssue.batch_id == last, ImportIssue.key != "")
    known = {tuple(row) for row in db.session.execute(former)} if last else set()
    causes = named_issues.causes(staging)
    issues = (
        Problem(
            issue.severity.value,
            issue.place.file,
            [issue.place.line],
            issue.key,
            issue.code,
            issue.message + named_issues.about_pupils(staging, issue),
            causes.get((issue.key, issue.code), ""),
            *named_issues.named(staging, issue),
        )
        for issue in named_issues.issues(staging)
        if (refusal != "half_pair" or issue.code not in _OF_HALF_PAIRS) and (issue.code, issue.key) not in known
    )
    for problem in grouped(issues):
        place = f"{problem.place} : " if problem.place else ""
        yield Difference(problem.kind, problem.person, problem.class_name, f"{place}{problem.sentence}")


def of_files_alone(staging: Staging) -> Iterator[Difference]:
    """Yield the problems that the files have without the database, by line and without names."""
    for issue in named_issues.issues(staging):
        if issue.code not in COMPARED:
            yield Difference(kind_of(issue.code, issue.severity.value), "", "", named_issues.sentence_of(issue))


def grouped(problems: Iterable[Problem]) -> list[Problem]:
    """Return each problem once, in their order, with its lines and the guardians who have one because of it."""
    groups: dict[tuple[object, ...], list[Problem]] = {}
    followers: dict[str, list[str]] = {}
    for problem in problems:
        if problem.because:
            followers.setdefault(problem.because, []).append(problem.person)
        else:
            line = 0 if problem.key else problem.lines[0]
            same = (problem.file, problem.code, problem.key, problem.sentence, line)
            groups.setdefault(same, []).append(problem)
    return [_merged(group, followers) for group in groups.values()]


def _merged(group: Sequence[Problem], followers: dict[str, list[str]]) -> Problem:
    first = group[0]
    following = followers.pop(first.key, []) if first.code in named_issues.CAUSES else []
    path = PurePath(first.file)
    return replace(
        first,
        file=path.name if path.is_absolute() else first.file,  # a command stored the folder on the server
        lines=list(dict.fromkeys(problem.lines[0] for problem in group)),
        sentence=words.with_followers(first.sentence, following),
    )
