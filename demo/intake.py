"""Imports the invented families from school files, as `idp roster import` does.

The files are written once: change one and start again to see the effect.
"""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
from sqlalchemy import select

from demo.aaf_files import aaf_files
from demo.families import AAF, SCHOOLS, SIECLE
from demo.folder import write_private
from demo.siecle_files import siecle_files
from idp.accounts.models import Account, Degree, School
from idp.clock import today
from idp.config import Settings
from idp.db import db
from idp.rostering import imports, lock, schools
from idp.rostering.imports import FORCED, Steps
from idp.rostering.records import Form

_QUIET = Steps(
    reading=lambda _bytes: None,
    comparing=lambda _keys: None,
    writing=lambda _rows: None,
    plan_size=lambda _compared, _written: None,
)


def write_files(folder: Path) -> None:
    """Write the schools' files to `folder`, an AAF and a SIECLE, unless they exist: all of them, or none."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for path, content in _files(today()):
        target = part / path
        target.parent.mkdir(mode=0o700, exist_ok=True)
        write_private(target, content)
    part.rename(folder)


def _files(today: date) -> Iterator[tuple[Path, bytes]]:
    for name, content in aaf_files(today).items():
        yield Path(AAF, name), content
    for school in SCHOOLS:
        if school.source == SIECLE:
            for name, content in siecle_files(school, today).items():
                yield Path(SIECLE, name), content


def import_files(settings: Settings, folder: Path) -> None:
    """Import the files. Details that they do not contain, such as the name of SIECLE's school, are set first.

    Raises:
        ClickException: the files cannot be imported, or the database belongs to an older demonstration.
    """
    _refuse_older()
    for school in SCHOOLS:
        if school.source == SIECLE and not db.session.scalar(select(School.id).where(School.uai == school.uai)):
            schools.change(
                school.uai,
                name=school.name,
                postal_address=school.postal_address,
                phone=school.phone,
                degree=Degree.SECONDARY,
            )
    for source in (AAF, SIECLE):
        try:
            # forced, since a person who changes these files wants to see the effect, also if many accounts are disabled
            result = imports.run(settings, [folder / source], Form(today=today()), _QUIET, FORCED)
        except imports.ImportStoppedError as stopped:
            stopped.result.staging.close()
            raise click.ClickException(
                f"the files in {folder / source} cannot be imported ({stopped}): "
                f"correct them, or delete {folder}, which the demonstration then writes again"
            ) from stopped
        except lock.ImportRunningError as busy:
            raise click.ClickException("another import is running on this database: wait until it ends") from busy
        result.staging.close()


def _refuse_older() -> None:
    """Refuse accounts that no file brought: older demonstrations wrote them, and an import would duplicate them."""
    written = select(Account.id).where(
        Account.roster_key.is_(None), Account.merged_into_id.is_(None), Account.disabled_at.is_(None)
    )
    if db.session.scalar(written.limit(1)) is not None:
        raise click.ClickException(
            "an older version of the demonstration wrote these families without importing them: "
            "run `make demo-reset`, then `make demo`"
        )
