"""Shows an import to the operator: progress bars, a table of counts, and the issues.

JSON output has the names of the contract. A spreadsheet that opens the CSV of issues runs no formula (R-04).
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from idp import spreadsheet
from idp.rostering.imports import ALL_MISTAKES, ImportResult, ImportStoppedError, Steps, totals
from idp.rostering.reconcile import difference
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Issue
from idp.terminal import plain, table

SHOWN = 20  # How many issues the terminal shows. The CSV and the list of an import have all.

COLUMNS = ("severity", "file", "line", "key", "code", "message")
_COLUMNS = ("read", "created", "changed", "unchanged", "left", "refused")
_COUNTS = (*_COLUMNS, "leaving")


def cells(issue: Issue) -> dict[str, Any]:
    """Return an issue under the names of the contract."""
    return {
        "severity": issue.severity.value,
        "file": issue.place.file,
        "line": issue.place.line,
        "key": issue.key,
        "code": issue.code,
        "message": issue.message,
    }


def as_json(result: ImportResult) -> dict[str, Any]:
    """Return the result for the JSON output."""
    return {
        "batch": result.batch,
        "format": result.format.value if result.format else None,
        "mode": result.mode.value,
        "schools": result.schools,
        **{name: dict.fromkeys(_COUNTS, 0) for name in ("students", "guardians")},
        "accounts": {"total": 0, "created": 0, "disabled": 0},
        "waiting": {"people": 0, "accounts": 0},
        "access": {"reopened": 0, "closed": 0},
        **{name: counts for name, counts in totals(result).items() if counts},
        "issues": [cells(issue) for issue in result.staging.issues()],
    }


def show(result: ImportResult, stopped: ImportStoppedError | None = None) -> None:
    """Print the counts and the first issues; for a stopped import, those that it would have had.

    The issue that stopped it is left to `cause`.
    """
    if result.format is not None:
        schools = f"{len(result.schools)} school{'' if len(result.schools) == 1 else 's'}"
        click.echo(f"{result.format.value}, {result.mode.value}, {schools}")
    if result.counts:
        rows = [(name, *(vars(counted)[column] for column in _COLUMNS)) for name, counted in result.counts.items()]
        table(("", *_COLUMNS), rows)
        accounts = result.totals["accounts"]
        if result.batch:
            click.echo(f"{'stopped ' if stopped else ''}import {result.batch}")
        click.echo(
            f"accounts{', if it were done' if stopped else ''}: {accounts['total']} in the end, "
            f"{accounts['created']} opened, {accounts['disabled']} disabled"
        )
        if people := result.totals["waiting"]["people"]:
            click.echo(f"waiting for the head of the school: {people}, who get no letter before the answer")
    known = stopped.issue if stopped else None
    show_issues(issue for issue in result.staging.issues() if issue != known)


def cause(stopped: ImportStoppedError) -> str:
    """Return why an import stopped, as the end of a sentence."""
    if stopped.issue:
        return f", because of this error:\n{line(stopped.issue)}"
    if stopped.code not in ALL_MISTAKES:
        return f": {plain(stopped.why)}"
    use = "the source changes for good" if stopped.code == "other_source" else "that is right"
    return f": {plain(stopped.why)} (use --force if {use})"


def show_issues(issues: Iterable[Issue]) -> None:
    """Print the first issues on stderr, errors first."""
    rest = iter(issues)
    for issue in islice(rest, SHOWN):
        click.echo(line(issue), err=True)
    if more := sum(1 for _ in rest):
        click.echo(f"… and {more} more problems: --issues FILE.csv has them all", err=True)


def line(issue: Issue) -> str:
    """Return an issue as one line of output."""
    where = f"{issue.place.file}:{issue.place.line}: " if issue.place.file else ""
    key = f" [{issue.key}]" if issue.key else ""
    return plain(f"{issue.severity.value}: {where}{issue.message}{key}")


def write_csv(path: Path, issues: Iterable[Issue]) -> None:
    """Write the issues as CSV to a new file with mode 0600, because it has keys of families."""
    _write(path, COLUMNS, ([str(cells(issue)[name]) for name in COLUMNS] for issue in issues))


def write_difference(path: Path, staging: Staging) -> None:
    """Write the difference by name as CSV to a new file with mode 0600."""
    _write(path, difference.COLUMNS, map(difference.cells, difference.rows(staging)))


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for part in spreadsheet.rows_to_csv(header, rows):
            file.write(part)


@contextmanager
def bars(size: int, *, quiet: bool) -> Iterator[Steps]:
    """Show progress bars with rate and remaining time, if stderr is a terminal."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=True),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
    reading = progress.add_task("reading", total=size or None)
    comparing = progress.add_task("comparing", total=None, start=False)
    writing = progress.add_task("writing", total=None, start=False)

    def planned(compared: int, written: int) -> None:
        for task, total in ((comparing, compared), (writing, written)):
            if total:
                progress.start_task(task)
                progress.update(task, total=total)

    with progress:
        yield Steps(
            reading=lambda count: progress.advance(reading, count),
            comparing=lambda count: progress.advance(comparing, count),
            writing=lambda count: progress.advance(writing, count),
            plan_size=planned,
        )
