"""Defines `idp roster` and `idp school`: the commands for school files."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select

from idp.accounts.models import Degree
from idp.clock import today
from idp.db import db, unit_of_work
from idp.languages import OF_LETTERS
from idp.rostering import imports, lock, report, schools
from idp.rostering.files.sources import total_size
from idp.rostering.imports import FORCED, TERMS, ImportResult, ImportStoppedError
from idp.rostering.models import ImportBatch, ImportIssue
from idp.rostering.records import Form, Format, Issue, Mode, Place, Severity
from idp.services import services
from idp.terminal import AS_JSON, dumped, instant, plain, records, table
from idp.uai import normalised_uai, uai_fault


@click.group()
def roster() -> None:
    """Import school files: AAF, SIECLE, ONDE, CSV."""


def _uai(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
    if typed is None:
        return None
    normalised = normalised_uai(typed)
    if fault := uai_fault(normalised):
        raise click.BadParameter(fault)
    return normalised


def _email(_ctx: click.Context, _option: click.Parameter, typed: str | None) -> str | None:
    try:
        return schools.parsed_email(typed) if typed else typed
    except ValueError as error:
        raise click.BadParameter(plain(error)) from error


def _files(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        AS_JSON,
        click.option(
            "--issues", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.csv",
            help="Write all issues to a new CSV file.",
        ),
        click.option(
            "--difference", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.csv",
            help="Write who is created, changed or leaves, by name, to a new CSV file.",
        ),
        click.option(
            "--force", is_flag=True,
            help="Import although many accounts would close or another source fed a school.",
        ),
        click.option("--encoding", metavar="CODEC", help="Encoding of CSV files: utf-8, cp1252, latin-1…"),
        click.option("--degree", type=click.Choice([d.value for d in Degree]), help="Degree of a new school."),
        click.option(
            "--school", "uai", metavar="UAI", callback=_uai,
            help="The only school to import, or the school of a CSV.",
        ),
        click.option(
            "--mode", type=click.Choice([m.value for m in Mode]),
            help="Mode, if the names of the files do not say it.",
        ),
        click.option(
            "--format", "format_", type=click.Choice([f.value for f in Format]),
            help="Format, instead of its detection.",
        ),
        click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…"),
    ):  # fmt: skip
        command = option(command)
    return command


@roster.command()
@_files
def check(**options: Any) -> None:
    """Read FILEs (files, folders, zip, tgz) and show what an import would do. Nothing is written."""
    _go(imports.check, "these files cannot be imported", **options)


@roster.command("import")
@_files
def import_(**options: Any) -> None:
    """Import FILEs (files, folders, zip, tgz).

    An import may be interrupted and run again. Accounts without children are disabled, and removed three months later.
    Emails that parents confirmed do not change.
    """
    _go(imports.run, "nothing was imported", **options)


def _go(
    act: Callable[..., ImportResult],
    failure: str,
    *,
    files: Sequence[Path],
    issues: Path | None,
    difference: Path | None,
    force: bool,
    as_json: bool,
    **how: Any,
) -> None:
    settings = services().settings
    form = _form(**how)
    for path in filter(None, (issues, difference)):
        if path.exists() or not path.absolute().parent.is_dir():
            why = "exists already" if path.exists() else "cannot be written: its folder does not exist"
            raise click.ClickException(f"{path} {why}, nothing was done")
    try:
        with report.bars(total_size(files), quiet=as_json) as steps:
            result = act(settings, files, form, steps, FORCED if force else TERMS)
        stopped = None
    except ImportStoppedError as error:
        result, stopped = error.result, error
    except lock.ImportRunningError:
        raise click.ClickException("another import is running, nothing was done") from None
    with closing(result.staging):
        if issues is not None:
            report.write_csv(issues, result.staging.issues())
        if difference is not None:
            report.write_difference(difference, result.staging)
        if as_json:
            click.echo(json.dumps(report.as_json(result), indent=2))
        else:
            report.show(result, stopped)
    if stopped:
        raise click.ClickException(f"{failure}{report.cause(stopped)}")


def _form(*, format_: str | None, mode: str | None, uai: str | None, degree: str | None, encoding: str | None) -> Form:
    if encoding is not None:
        try:
            "".encode(encoding)
        except LookupError:
            raise click.BadParameter(f"no encoding {encoding}", param_hint="--encoding") from None
    return Form(
        today=today(),
        format=Format(format_) if format_ else None,
        mode=Mode(mode) if mode else None,
        school=uai,
        degree=Degree(degree) if degree else None,
        encoding=encoding,
    )


@roster.command("list")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many imports to show.")
@AS_JSON
def list_(limit: int, *, as_json: bool) -> None:
    """List the imports, newest first."""
    batches = db.session.scalars(select(ImportBatch).order_by(ImportBatch.started_at.desc()).limit(limit)).all()
    rows = [
        {
            "batch": str(batch.id),
            "started_at": instant(batch.started_at),
            "state": batch.state,
            "format": batch.format,
            "mode": batch.mode,
            "schools": len(batch.schools),
            "actor": batch.actor,
            **batch.counts,
        }
        for batch in batches
    ]
    if as_json:
        click.echo(dumped(rows))
    elif rows:
        columns = ("batch", "started_at", "state", "format", "mode", "schools", "actor")
        table(columns, [[row[name] for name in columns] for row in rows])


@roster.command()
@click.argument("batch", required=False)
@click.option(
    "--issues",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write the issues to a new CSV file.",
)
@AS_JSON
def show(batch: str | None, issues: Path | None, *, as_json: bool) -> None:
    """Show the issues of the last import, or of BATCH (an id or its beginning)."""
    kept = _find(batch)
    if kept is None:
        raise click.ClickException(f"no import {plain(batch)}" if batch else "nothing was imported yet")
    if issues is not None and issues.exists():
        raise click.ClickException(f"{issues} exists already")
    if issues is not None:
        report.write_csv(issues, _issues(kept))
    if as_json:
        rows = [report.cells(issue) for issue in _issues(kept)]
        head = {"batch": str(kept.id), "format": kept.format, "mode": kept.mode, "schools": kept.schools}
        click.echo(dumped({**head, **kept.counts, "state": kept.state, "issues": rows}))
    elif issues is None:
        report.show_issues(_issues(kept))


def _find(prefix: str | None) -> ImportBatch | None:
    lowered = (prefix or "").strip().lower()
    newest = select(ImportBatch.id).order_by(ImportBatch.started_at.desc())
    key = next((key for key in db.session.scalars(newest) if str(key).startswith(lowered)), None)
    return db.session.get(ImportBatch, key) if key else None


def _issues(batch: ImportBatch) -> Iterator[Issue]:
    rows = db.session.scalars(
        select(ImportIssue).where(ImportIssue.batch_id == batch.id).order_by(ImportIssue.severity, ImportIssue.id)
    ).all()
    for row in rows:
        yield Issue(Severity(row.severity), Place(row.file, row.line), row.key, row.code, row.message)


_NO_LANGUAGE = "none"


@click.group()
def school() -> None:
    """List schools, and change what files do not say about them."""


@school.command("list")
@AS_JSON
def list_schools(*, as_json: bool) -> None:
    """List the schools."""
    rows = list(schools.rows())
    if as_json:
        click.echo(dumped(rows))
    elif rows:
        columns = ("uai", "name", "degree", "source", "phone", "mail")
        records(columns, rows)


@school.command("set")
@click.argument("uai", callback=_uai)
@click.option("--name", metavar="TEXT")
@click.option(
    "--address",
    "postal_address",
    multiple=True,
    metavar="LINE",
    help="A line of the postal address; repeat it in order.",
)
@click.option("--phone", metavar="TEXT")
@click.option("--hours", metavar="TEXT", help='When the office answers, printed in letters; "" removes it.')
@click.option(
    "--mail",
    "email",
    metavar="EMAIL",
    callback=_email,
    help='Email for the daily mail of notices; "" removes it.',
)
@click.option(
    "--letter-language",
    "languages",
    multiple=True,
    type=click.Choice([*OF_LETTERS, _NO_LANGUAGE]),
    help=f"A language of the lines after the French text of letters; repeat it in order. {_NO_LANGUAGE}: French alone.",
)
@click.option("--degree", type=click.Choice([d.value for d in Degree]))
def set_school(uai: str, degree: str | None, **values: Any) -> None:
    """Change a school's data that letters and pages need and files do not have; add the school if it is new."""
    if degree is None and all(value is None or value == () for value in values.values()):
        raise click.UsageError(
            "give at least one of --name, --address, --phone, --hours, --mail, --letter-language and --degree"
        )
    languages = values.pop("languages")
    if _NO_LANGUAGE in languages and len(set(languages)) > 1:
        raise click.UsageError(f"--letter-language {_NO_LANGUAGE} stands alone")
    tags = [tag for tag in languages if tag != _NO_LANGUAGE] if languages else None
    try:
        with unit_of_work():
            made = schools.change(uai, degree=Degree(degree) if degree else None, languages=tags, **values)
    except ValueError as error:
        raise click.ClickException(plain(error)) from error
    click.echo(f"{uai} {'was added' if made else 'was changed'}")
