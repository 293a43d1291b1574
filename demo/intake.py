"""Brings the invented families in the way in which real ones come: school files, imported as `idp roster import` does.

The files are written once and stay: whoever changes one and starts again sees what the change does.
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
from idp.clock import now
from idp.config import Settings
from idp.db import db, end_read
from idp.rostering import imports, lock, schools
from idp.rostering.imports import Steps
from idp.rostering.records import Form

_QUIET = Steps(
    reading=lambda _bytes: None,
    comparing=lambda _keys: None,
    writing=lambda _rows: None,
    plan_size=lambda _compared, _written: None,
)


def write_files(folder: Path) -> None:
    """Put the schools' files at `folder`, an AAF and a SIECLE, unless they are there: all of them, or none."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for path, content in _files(now().astimezone().date()):
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
    """Bring the database to what the files say. What they do not hold of a school, SIECLE's name, is said first.

    Raises:
        ClickException: they cannot be imported, or the database is that of an older demonstration.
    """
    _refuse_older()
    for school in SCHOOLS:
        if school.source == SIECLE and not db.session.scalar(select(School.id).where(School.uai == school.uai)):
            schools.change(
                school.uai, name=school.name, address=school.address, phone=school.phone, degree=Degree.SECONDARY
            )
    end_read()
    for source in (AAF, SIECLE):
        try:
            # whoever changes these files wants to see what becomes of it, however many families it shuts out
            result = imports.run(settings, [folder / source], Form(today=now().astimezone().date()), _QUIET, force=True)
        except imports.ImportStoppedError as stopped:
            stopped.result.staging.close()
            raise click.ClickException(
                f"Les fichiers de {folder / source} ne peuvent pas être importés ({stopped}). "
                f"Corrigez-les, ou effacez {folder} : la démonstration les écrira de nouveau."
            ) from stopped
        except lock.ImportRunningError as busy:
            raise click.ClickException("Un import est en cours sur cette base. Attendez sa fin.") from busy
        result.staging.close()


def _refuse_older() -> None:
    """Refuse accounts that no file brought: older demonstrations wrote them, and the files would bring them again."""
    written = select(Account.id).where(
        Account.roster_key.is_(None), Account.merged_into_id.is_(None), Account.disabled_at.is_(None)
    )
    is_older = db.session.scalar(written.limit(1)) is not None
    end_read()
    if is_older:
        raise click.ClickException(
            "Les familles de cette démonstration viennent d’une version plus ancienne, qui ne les importait pas. "
            "« make demo-reset » l’efface ; « make demo » en fait une neuve."
        )
