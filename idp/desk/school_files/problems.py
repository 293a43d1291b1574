"""Tells the problems of files, before an import and after it: each cause once, with what follows from it.

A pupil without a class opens no account, and each guardian of the pupil has a problem of the same cause: the guardians
are named with the pupil. Lines of a file that say the same of one key are one problem.
"""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath

from flask_babel import gettext
from sqlalchemy import select

from idp.db import db
from idp.desk.school_files import words
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import named_issues
from idp.rostering.reconcile.difference import Difference, Kind, kind_of
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import COMPARED

_OF_HALF_PAIRS = frozenset({"guardian_missing", "student_missing", "student_without_representative"})
"""The issues of people whose pupils, or guardians, are in the other file of a pair."""


@dataclass(frozen=True)
class Problem:
    """A problem of files, about one person or none.

    Attributes:
        lines: the lines of the file that say the same of one key.
        sentence: what is wrong, and what follows from it.
        because: the key of the pupil from whose problem it follows; empty if it follows from none.
        person: the name in the file, family name first.
        is_known: whether the file before had the problem too.
        notice_url: the page of the notice that the import made of it, if it made one that the post may read.
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
