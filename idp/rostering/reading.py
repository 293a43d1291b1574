"""Reads files into the staging database, each with the reader of its format."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from idp.rostering.files.archives import Limits
from idp.rostering.files.sources import LIMITS, Given, Source, open_sources
from idp.rostering.readers import csv_file, onde
from idp.rostering.readers.aaf import reader
from idp.rostering.readers.recognise import mode_of, recognise
from idp.rostering.readers.siecle import reader as siecle
from idp.rostering.reconcile import intake
from idp.rostering.reconcile.staging import Staging
from idp.rostering.records import Act, Form, Format, Issue, Mode, Place, Record, Severity

_READERS: Mapping[Format, Callable[[Source, Form], Iterator[Record]]] = {
    Format.AAF: reader.read,
    Format.AAF1D: reader.read,
    Format.SIECLE: siecle.read,
    Format.ONDE: onde.read,
    Format.CSV: csv_file.read,
}
_AAF = {Format.AAF, Format.AAF1D}
"""The formats that have Deltas. Other files are complete unless the operator says otherwise."""
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar")
Tick = Callable[[int], None]


def read(staging: Staging, paths: Sequence[Given], form: Form, tick: Tick, limits: Limits = LIMITS) -> Form:
    """Read all files, whose archives may unpack to `limits`, and return `form` with their format and mode.

    A file that cannot be read is in `staging.fatal` afterwards: then nothing may be imported.
    """
    format_: Format | None = None
    modes: set[Mode] = set()
    for source in open_sources(paths, tick, limits):
        if isinstance(source, Issue):
            intake.add(staging, source)
            continue
        kind = form.format or recognise(source)
        if kind is None:
            _say(
                staging, Severity.WARNING, source, "not_read", "Ce fichier n’est pas d’un format connu : il est laissé."
            )
            continue
        if {kind, format_} == _AAF:  # a primary AAF whose first file has no attribute of the 1D
            kind = Format.AAF1D
        elif format_ is not None and kind is not format_:
            sentence = (
                f"Ce fichier est au format {kind.value}, les autres au format {format_.value} : donnez-les à part."
            )
            _say(staging, Severity.ERROR, source, "two_formats", sentence)
            continue
        format_, source.tick = kind, partial(tick, 0)
        if kind in _AAF and (mode := mode_of(path_in_archives(source.name))):
            modes.add(mode)
        _add_all(staging, _READERS[kind](source, replace(form, format=kind)), form)
    if _refuses_too_many(staging, form):
        _stop(staging, "too_many_refused", "Trop de lignes ne peuvent pas être prises : la lecture s’est arrêtée.")
    return replace(form, format=format_ or form.format, mode=_mode(staging, form.mode, modes))


def _add_all(staging: Staging, records: Iterator[Record], form: Form) -> None:
    """Store the records of a file, until too many records of all files were refused."""
    for record in records:
        if _refuses_too_many(staging, form):
            return
        intake.add(staging, record)


def _refuses_too_many(staging: Staging, form: Form) -> bool:
    return form.most_refused is not None and staging.refused.total() > form.most_refused


def path_in_archives(name: str) -> str:
    """Return the path of a file in its archives, without the names of folders."""
    parts = name.split("/")
    return "/".join(part for part in parts if part == parts[-1] or part.lower().endswith(_ARCHIVES))


def _mode(staging: Staging, forced: Mode | None, named: set[Mode]) -> Mode:
    """Return the mode that the operator, the names or the records give: changes and removals make a Delta."""
    changes = bool(staging.acts & {Act.MODIFY, Act.DELETE})
    if forced is None and len(named) > 1:
        _stop(staging, "two_modes", "Des fichiers Complet et Delta sont mêlés : donnez-les à part.")
    mode = forced or (next(iter(named)) if len(named) == 1 else Mode.DELTA if changes else Mode.COMPLETE)
    if mode is Mode.COMPLETE and changes:
        _stop(staging, "changes_in_complete", "Un fichier complet ne peut pas tenir des modifications ou des départs.")
    return mode


def _stop(staging: Staging, code: str, message: str) -> None:
    intake.add(staging, Issue(Severity.ERROR, Place("", 0), "", code, message))


def _say(staging: Staging, severity: Severity, source: Source, code: str, message: str) -> None:
    intake.add(staging, Issue(severity, Place(source.name, 1), "", code, message))
