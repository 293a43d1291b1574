"""Runs an import: reads the files, compares the records with the database, and writes, unless it is a check.

Nothing is written before everything was read and compared. A file that cannot be read to its end, or that would close
too many accounts, changes nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert, update

from idp.audit import log
from idp.audit.registry_events import RosterImported
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.rostering import lock, reading
from idp.rostering.files.archives import Limits
from idp.rostering.files.sources import LIMITS, Given
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.reconcile import counts, named_issues
from idp.rostering.reconcile.counts import Counted, Mistake
from idp.rostering.reconcile.phases import order, schools
from idp.rostering.reconcile.staging import Context, Staging, Tick
from idp.rostering.records import Form, Format, Issue, Mode, Place, Severity
from idp.rostering.write import apply

_PAGE = 1000
_LEGAL, _IN_CHARGE = 1, 2


class ImportStoppedError(Exception):
    """Nothing was imported, or a check found that nothing would be; `why` is for an operator, `code` for programs."""

    def __init__(self, code: str, why: str, result: "ImportResult", issue: Issue | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.why = why
        self.result = result
        self.issue = issue


@dataclass(kw_only=True)
class ImportResult:
    """The result of an import or a check.

    Attributes:
        batch: The id of the `ImportBatch`; None for a check.
        format: The format of the files; None if no file has a known one.
        schools: The UAIs of the schools that the files speak for.
        counts: The counts of `students` and `guardians`.
        totals: The counts of accounts and ties (`counts.totals`).
        mistakes: Why the files look like a mistake; each of them was accepted.
        staging: The records and the issues. The caller closes it.
    """

    staging: Staging
    mistakes: list[Mistake] = field(default_factory=list)
    batch: str | None = None
    format: Format | None = None
    mode: Mode = Mode.COMPLETE
    schools: list[str] = field(default_factory=list)
    counts: dict[str, Counted] = field(default_factory=dict)
    totals: dict[str, dict[str, int]] = field(default_factory=lambda: {"accounts": {}, "waiting": {}, "access": {}})


def _nothing(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Steps:
    """The progress callbacks of an import, called with bytes read, keys compared, and rows written."""

    reading: Tick = _nothing
    comparing: Tick = _nothing
    writing: Tick = _nothing
    plan_size: Callable[[int, int], None] = _nothing
    """Called with the number of keys to compare and of rows to write; the latter is 0 until the plan is made."""


ALL_MISTAKES = frozenset({"other_source", "many_accounts", "many_ties", "many_strangers", "crowded", "emptied"})
"""What files may look like and be imported all the same, if the operator says so: the codes of `mistakes`."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of an import.

    Attributes:
        accepted: The mistakes that the operator has seen and accepted, of `ALL_MISTAKES`.
        limits: How much all archives may unpack to.
        formats: The formats that the files may have.
        agree: Called with what the import would do, before anything is written; it may raise `ImportStoppedError`.
    """

    accepted: frozenset[str] = frozenset()
    limits: Limits = LIMITS
    formats: frozenset[Format] = frozenset(Format)
    agree: Callable[[ImportResult], None] = _nothing


TERMS = Terms()
FORCED = Terms(accepted=ALL_MISTAKES)


def check(settings: Settings, paths: Sequence[Given], form: Form, steps: Steps, terms: Terms = TERMS) -> ImportResult:
    """Read the files and compare them with the database; nothing is written. The caller closes `ImportResult.staging`.

    Raises:
        ImportStoppedError: The files cannot be imported.
    """
    result = ImportResult(staging=Staging())
    with _handing_over(result):
        _compare(settings, result, paths, form, steps, terms)
        _check_plausible(settings, result, terms)
        terms.agree(result)
    return result


def run(settings: Settings, paths: Sequence[Given], form: Form, steps: Steps, terms: Terms = TERMS) -> ImportResult:
    """Import the files. The caller closes `ImportResult.staging`.

    Raises:
        ImportStoppedError: The files cannot be imported; nothing was changed.
        lock.ImportRunningError: Another import is running.
    """
    with lock.alone():
        try:
            result = check(settings, paths, form, steps, terms)
        except ImportStoppedError as stopped:
            with _handing_over(stopped.result):
                _store(stopped.result, paths, terms, state="stopped")
            raise
        with _handing_over(result):
            batch = _store(result, paths, terms, state="running")
            assert result.format is not None, "plausible files have a format"  # noqa: S101 - narrows the type
            try:
                apply.apply(settings, result.staging, result.format, str(batch.id), steps.writing)
            except Exception:
                _finish(batch, "failed")
                raise
            _finish(batch, "done")
    return result


@contextmanager
def _handing_over(result: ImportResult) -> Iterator[None]:
    """Close the staging database if the block ends by an error that does not hand it to the caller."""
    try:
        yield
    except ImportStoppedError:
        raise
    except BaseException:
        result.staging.close()
        raise


def _compare(
    settings: Settings, result: ImportResult, paths: Sequence[Given], form: Form, steps: Steps, terms: Terms
) -> None:
    staging = result.staging
    read = reading.read(staging, paths, form, steps.reading, terms.limits)
    result.format, result.mode = read.format, read.mode or Mode.COMPLETE
    if form.school is not None and result.mode is Mode.DELTA:
        sentence = "Un Delta s’importe en entier : laissez l’UAI vide."
        reading.add(staging, Issue(Severity.ERROR, Place("", 0), "", "delta_of_one_school", sentence))
    if staging.fatal or result.format not in terms.formats:
        return
    order.run(
        Context(
            staging=staging,
            form=form,
            mode=result.mode,
            most_authority=_IN_CHARGE if settings.roster_person_in_charge else _LEGAL,
            set_total=lambda count: steps.plan_size(count, 0),
            tick=steps.comparing,
        )
    )
    result.schools = schools.scope(staging)
    result.counts = counts.count(staging, result.mode)
    result.totals = counts.totals(staging)
    steps.plan_size(counts.records(staging), counts.rows_to_write(staging))


def _check_plausible(settings: Settings, result: ImportResult, terms: Terms) -> None:
    staging = result.staging
    if staging.fatal:
        issue = staging.fatal[0]
        raise ImportStoppedError(issue.code, issue.message, result, issue)
    if result.format not in terms.formats:
        raise ImportStoppedError("unknown_format", "no file of a known format", result)
    if not any(counted.read for counted in result.counts.values()):
        raise ImportStoppedError("nobody", "the files contain no pupil and no guardian", result)
    if result.format is not None and result.format.facts.is_pair:
        for uai in counts.half_pairs(staging):
            pair = f"{result.format.value} takes two files, one of pupils and one of guardians"
            raise ImportStoppedError("half_pair", f"{pair}, and one of {uai} is missing", result)
    if not any(c.created + c.changed + c.unchanged for c in result.counts.values()):
        raise ImportStoppedError("all_refused", "every row was refused", result)
    result.mistakes = list(_mistakes(settings, result, result.format))
    for code, sentence, _ in result.mistakes:
        if code not in terms.accepted:
            raise ImportStoppedError(code, sentence, result)


def _mistakes(settings: Settings, result: ImportResult, format_: Format) -> Iterator[Mistake]:
    for uai, source in counts.other_sources(result.staging, format_.value):
        sentence = f"{uai} is fed by {source} files: files of another format would bring the same families twice"
        yield Mistake("other_source", sentence)
    yield from counts.find_absurd(result.staging, result.mode, settings.roster_leaving_percent)


def _store(result: ImportResult, paths: Sequence[Given], terms: Terms, *, state: str) -> ImportBatch:
    batch = ImportBatch(
        format=result.format.value if result.format else "",
        mode=result.mode.value,
        forced=bool(terms.accepted),
        state=state,
        actor=log.current_origin().actor,
        files=[str(path) for path in paths],
        schools=result.schools,
        counts=totals(result),
        finished_at=now() if state == "stopped" else None,
    )
    with unit_of_work():
        db.session.add(batch)
        log.record(RosterImported(batch=state, format=batch.format, mode=batch.mode, forced=batch.forced))
    result.batch = str(batch.id)
    is_of_one_school = len(result.schools) == 1
    causes = named_issues.causes(result.staging) if is_of_one_school else {}
    page: list[dict[str, Any]] = []
    for issue in result.staging.issues():
        page.append(
            {
                "batch_id": batch.id,
                "severity": issue.severity.value,
                "file": issue.place.file,
                "line": issue.place.line,
                "key": issue.key[:80],
                "code": issue.code,
                "message": issue.message,
                "person": named_issues.stored_name(result.staging, issue) if is_of_one_school else "",
                "because": causes.get((issue.key, issue.code), "")[:80],
            }
        )
        if len(page) >= _PAGE:
            _store_issues(page)
            page = []
    _store_issues(page)
    return batch


def _store_issues(page: Sequence[dict[str, Any]]) -> None:
    if page:
        with unit_of_work():
            db.session.execute(insert(ImportIssue), page)


@unit_of_work()
def _finish(batch: ImportBatch, state: str) -> None:
    db.session.execute(update(ImportBatch).where(ImportBatch.id == batch.id).values(state=state, finished_at=now()))
    log.record(RosterImported(batch=state, format=batch.format, mode=batch.mode, forced=batch.forced))


def totals(result: ImportResult) -> dict[str, dict[str, int]]:
    """Return the counts under the names of the JSON output."""
    return {name: vars(counted) for name, counted in result.counts.items()} | result.totals
