"""Run an import: read the files, compare the records with the database, and write, unless it is a check.

Nothing is written before everything was read and compared. A file that cannot be read to its end, or that would close
too many accounts, changes nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert, update

from idp.audit import log
from idp.audit.registry_events import RosterImported
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.rostering import lock, reading
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import counts, intake, mistakes
from idp.rostering.reconcile.context import Context, Tick
from idp.rostering.reconcile.counts import Counted
from idp.rostering.reconcile.phases import order, schools
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Form, Format, Issue, Mode, Place, Severity
from idp.rostering.write import apply

_PAGE = 1000
_LEGAL, _IN_CHARGE = 1, 2
_PAIRS = (Format.SIECLE, Format.ONDE)


class ImportStoppedError(Exception):
    """Say that nothing was written, and why; `outcome` is the result up to then."""

    def __init__(self, sentence: str, outcome: "Outcome") -> None:
        super().__init__(sentence)
        self.outcome = outcome


@dataclass(kw_only=True)
class Outcome:
    """The result of an import or a check.

    Attributes:
        batch: The id of the `ImportBatch`; None for a check.
        format: The format of the files; None if no file has a known one.
        schools: The UAIs of the schools that the files speak for.
        counts: The counts of `students` and `guardians`.
        accounts: How many accounts of these schools' families are open afterwards (`total`), `created` and `disabled`.
        staging: The records and the issues. The caller closes it.
    """

    staging: Staging
    batch: str | None = None
    format: Format | None = None
    mode: Mode = Mode.COMPLETE
    schools: list[str] = field(default_factory=list)
    counts: dict[str, Counted] = field(default_factory=dict)
    accounts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Steps:
    """The progress callbacks of an import, called with bytes read, keys compared, and rows written."""

    reading: Tick
    comparing: Tick
    writing: Tick
    plan_size: Callable[[int, int], None]
    """Called with the number of keys to compare and of rows to write; the latter is 0 until the plan is made."""


def check(settings: Settings, paths: Sequence[Path], form: Form, steps: Steps, *, force: bool = False) -> Outcome:
    """Read the files and compare them with the database; nothing is written. The caller closes `Outcome.staging`.

    Raises:
        ImportStoppedError: The files cannot be imported.
    """
    outcome = Outcome(staging=Staging())
    try:
        _compare(settings, outcome, paths, form, steps)
        _check_plausible(settings, outcome, force=force)
    except ImportStoppedError:
        raise
    except BaseException:
        outcome.staging.close()
        raise
    return outcome


def run(settings: Settings, paths: Sequence[Path], form: Form, steps: Steps, *, force: bool = False) -> Outcome:
    """Import the files. The caller closes `Outcome.staging`.

    Raises:
        ImportStoppedError: The files cannot be imported; nothing was changed.
        lock.ImportRunningError: Another import is running.
    """
    with lock.alone():
        try:
            outcome = check(settings, paths, form, steps, force=force)
        except ImportStoppedError as stopped:
            _store(stopped.outcome, paths, force=force, state="stopped")
            raise
        batch = _store(outcome, paths, force=force, state="running")
        assert outcome.format is not None, "plausible files have a format"  # noqa: S101 - narrows the type
        try:
            apply.apply(settings, outcome.staging, outcome.format, str(batch.id), steps.writing)
        except Exception:
            db.session.rollback()
            _finish(batch, "failed")
            raise
        _finish(batch, "done")
    return outcome


def _compare(settings: Settings, outcome: Outcome, paths: Sequence[Path], form: Form, steps: Steps) -> None:
    staging = outcome.staging
    read = reading.read(staging, paths, form, steps.reading)
    outcome.format, outcome.mode = read.format, read.mode or Mode.COMPLETE
    if form.school is not None and outcome.mode is Mode.DELTA:
        sentence = "Un Delta s’importe en entier : retirez --school."
        intake.add(staging, Issue(Severity.ERROR, Place("", 0), "", "delta_of_one_school", sentence))
    if staging.fatal or outcome.format is None:
        return
    order.run(
        Context(
            staging=staging,
            format=outcome.format,
            mode=outcome.mode,
            only_school=form.school,
            most_authority=_IN_CHARGE if settings.roster_person_in_charge else _LEGAL,
            today=form.today,
            set_total=lambda count: steps.plan_size(count, 0),
            tick=steps.comparing,
        )
    )
    outcome.schools = schools.scope(staging)
    outcome.counts = counts.count(staging, outcome.mode)
    outcome.accounts = counts.count_accounts(staging)
    steps.plan_size(counts.records(staging), counts.rows_to_write(staging))


def _check_plausible(settings: Settings, outcome: Outcome, *, force: bool) -> None:
    """Check that the files could be read and do not look like a mistake.

    Raises:
        ImportStoppedError: A check failed.
    """
    staging = outcome.staging
    if staging.fatal:
        first = staging.fatal[0]
        where = f"{first.place.file}:{first.place.line}: " if first.place.file else ""
        raise ImportStoppedError(f"nothing was imported: {where}{first.message}", outcome)
    if outcome.format is None:
        raise ImportStoppedError("nothing was imported: no file of a known format", outcome)
    if not any(counted.read for counted in outcome.counts.values()):
        raise ImportStoppedError("nothing was imported: the files contain no pupil and no guardian", outcome)
    if outcome.format in _PAIRS:
        for uai in mistakes.half_pairs(staging):
            pair = f"{outcome.format.value} takes two files, one of pupils and one of guardians"
            raise ImportStoppedError(f"nothing was imported: {pair}, and one of {uai} is missing", outcome)
    if not any(c.created + c.changed + c.unchanged for c in outcome.counts.values()):
        raise ImportStoppedError("nothing was imported: every row was refused", outcome)
    if force:
        return
    for uai, source in mistakes.other_sources(staging, outcome.format.value):
        sentence = f"{uai} is fed by {source} files: files of another format would bring the same families twice"
        raise ImportStoppedError(
            f"nothing was imported: {sentence} (use --force if the source changes for good)", outcome
        )
    if absurd := mistakes.find_absurd(staging, outcome.mode, settings.roster_leaving_percent):
        raise ImportStoppedError(f"nothing was imported: {absurd} (use --force if that is right)", outcome)


def _store(outcome: Outcome, paths: Sequence[Path], *, force: bool, state: str) -> ImportBatch:
    """Store the batch and its issues, before the first row changes."""
    batch = ImportBatch(
        format=outcome.format.value if outcome.format else "",
        mode=outcome.mode.value,
        forced=force,
        state=state,
        actor=log.current_origin().actor,
        files=[str(path) for path in paths],
        schools=outcome.schools,
        counts=totals(outcome),
        finished_at=now() if state == "stopped" else None,
    )
    db.session.add(batch)
    log.record(RosterImported(batch=state, format=batch.format, mode=batch.mode, forced=force))
    db.session.commit()
    outcome.batch = str(batch.id)
    page: list[dict[str, Any]] = []
    for issue in outcome.staging.issues():
        page.append(
            {
                "batch_id": batch.id,
                "severity": issue.severity.value,
                "file": issue.place.file,
                "line": issue.place.line,
                "key": issue.key[:80],
                "code": issue.code,
                "message": issue.message,
            }
        )
        if len(page) >= _PAGE:
            _store_issues(page)
            page = []
    _store_issues(page)
    return batch


def _store_issues(page: Sequence[dict[str, Any]]) -> None:
    if page:
        db.session.execute(insert(ImportIssue), page)
        db.session.commit()


def _finish(batch: ImportBatch, state: str) -> None:
    db.session.execute(update(ImportBatch).where(ImportBatch.id == batch.id).values(state=state, finished_at=now()))
    log.record(RosterImported(batch=state, format=batch.format, mode=batch.mode, forced=batch.forced))
    db.session.commit()


def totals(outcome: Outcome) -> dict[str, dict[str, int]]:
    """Return the counts under the names of the JSON output."""
    people = {name: vars(counted) for name, counted in outcome.counts.items()}
    return {**people, "accounts": outcome.accounts}
