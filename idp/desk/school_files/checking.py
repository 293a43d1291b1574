"""The job that checks files: it reads and compares them, and stores the difference by name; nothing is imported.

A person who may not read families gets the problems without names (`nameless`).
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from idp import spreadsheet
from idp.config import Settings
from idp.desk import downloads
from idp.desk.jobs import files
from idp.desk.jobs.files import NewFile
from idp.desk.jobs.models import Job
from idp.desk.jobs.work import Finished, Running
from idp.desk.school_files import comparing, leaving, nameless, problems
from idp.desk.staff.models import Role
from idp.rostering import imports
from idp.rostering.imports import ALL_MISTAKES, ImportResult, ImportStoppedError
from idp.rostering.reconcile.staging import Staging
from idp.rostering.reconcile.told import difference
from idp.rostering.reconcile.told.difference import Difference, Kind
from idp.rostering.reconcile.told.named_issues import whole_name

SHOWN = 200
"""How many lines of a kind the page shows; the CSV has all."""
_ENDS = (50, 100)
_LINES, _SHEET = "difference.json", "difference.csv"


@dataclass(frozen=True)
class Part:
    """The lines of a kind that are shown, of `total`."""

    kind: Kind
    lines: Sequence[tuple[str, str, str]]
    total: int


def run(running: Running) -> Finished:
    """Check the files of a job."""
    uploads = comparing.uploads(running.settings, running.id)
    role = Role(running.parameters["role"])
    progress = comparing.Progress(running.tick, running.tick, sum(len(file.content) for file in uploads), _ENDS)
    try:
        result = imports.check(
            running.settings,
            comparing.given(uploads),
            comparing.form(running.parameters, writes=False),
            progress.steps(),
            comparing.terms(role, ALL_MISTAKES),
        )
        refusal = ""
    except ImportStoppedError as stopped:
        result, refusal = stopped.result, stopped.code
    try:
        return _finished(running, role, result, refusal)
    finally:
        result.staging.close()


def _finished(running: Running, role: Role, result: ImportResult, refusal: str) -> Finished:
    staging, is_nameless = result.staging, nameless.is_for(role)
    if is_nameless:
        lines = nameless.problems(staging)
        if nameless.hides_refusal(refusal, staging, sum(counted.read for counted in result.counts.values())):
            refusal = ""
    else:
        changes = () if refusal else chain(difference.changes(staging), _of_ties_alone(staging))
        last = problems.of_last_file(running.parameters["school"])
        lines = chain(problems.of_check(staging, refusal, last), changes)
    kept, totals, sheet = _bounded(lines)
    summary = {
        "format": result.format.value if result.format else "",
        "schools": len(result.schools),
        "uais": result.schools[: nameless.MOST_SCHOOLS],
        "counts": {name: count for name, count in imports.totals(result).items() if name != "waiting"},
        "leaving": {} if refusal else leaving.numbers(result),
        "mistakes": nameless.mistakes_of(result) if is_nameless else _codes(result),
        "figures": {} if is_nameless else {row.code: row.figures for row in result.mistakes if row.figures},
        "percent": running.settings.roster_leaving_percent,
        "refused": refusal,
        "lines": dict(totals),
    }
    return Finished(
        summary,
        for_pages=[
            NewFile(_LINES, "application/json", json.dumps(kept).encode()),
            *([NewFile(_SHEET, downloads.CSV, sheet)] if totals else []),
        ],
        frees=running.id if refusal else None,
    )


class _Pupil(NamedTuple):
    family_name: str
    given_name: str
    class_name: str


_OF_TIES_ALONE = (
    "SELECT coalesce(s.family_name, k.family_name) AS family_name, coalesce(s.given_name, k.given_name) AS given_name, "
    "coalesce(s.class_name, k.class_name) AS class_name FROM changed_student c JOIN student s ON s.key = c.key "
    "JOIN known_child k ON k.key = c.key WHERE NOT c.own AND k.in_scope ORDER BY 1, 2"
)


def _of_ties_alone(staging: Staging) -> Iterator[Difference]:
    """Yield the pupils who count as changed and of whom nothing but the guardians changes."""
    for pupil in staging.rows(_Pupil, _OF_TIES_ALONE):
        name = whole_name(pupil.family_name, pupil.given_name)
        yield Difference(Kind.CHANGED, name, pupil.class_name, "Élève : ses responsables changent.")


def _codes(result: ImportResult) -> list[str]:
    return list(dict.fromkeys(mistake.code for mistake in result.mistakes))


def _bounded(lines: Iterable[Difference]) -> tuple[dict[str, list[Sequence[str]]], Counter[str], bytes]:
    """Return the first lines of each kind, how many there are, and all of them as CSV."""
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


def parts(settings: Settings, job: Job) -> list[Part] | None:
    """Return the difference that a check found, in the order of `Kind`; None if it is removed."""
    stored = files.for_pages(settings, job.id, _LINES)
    if stored is None:
        return None
    kept: dict[str, Any] = json.loads(stored.content)
    totals = job.result.get("lines", {})
    return [Part(kind, kept[kind.value], totals.get(kind.value, 0)) for kind in Kind if kept.get(kind.value)]


def sheet(settings: Settings, job: Job) -> NewFile | None:
    """Return all lines of the difference that a check found, as CSV; None if it has none, or is removed."""
    return files.for_pages(settings, job.id, _SHEET)
