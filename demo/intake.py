"""Imports the invented families from school files, as `idp roster import` does.

The files are written once: change one and start again to see the effect. Files that did not change since their import
are not imported again, so that what a secretary imported at the desk stays.
"""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import click
from sqlalchemy import select

from demo.aaf_files import aaf_files
from demo.families import AAF, SCHOOLS, SIECLE, DemoSchool
from demo.folder import read_json, write_json, write_private
from demo.siecle_files import siecle_files
from idp.accounts.models import Account, Degree, School
from idp.clock import today
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.rostering import imports, lock, schools
from idp.rostering.imports import FORCED, Steps
from idp.rostering.records import Form

_OF_SIECLE: Sequence[DemoSchool] = [school for school in SCHOOLS if school.source == SIECLE]


def write_files(folder: Path) -> None:
    """Write the schools' files to `folder`, an AAF and a SIECLE for each school, unless they exist: all, or none."""
    if folder.is_dir():
        return
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    for path, content in _files(today()):
        target = part / path
        for parent in reversed(path.parents[:-1]):
            (part / parent).mkdir(mode=0o700, exist_ok=True)
        write_private(target, content)
    part.rename(folder)


def _files(today: date) -> Iterator[tuple[Path, bytes]]:
    for name, content in aaf_files(today).items():
        yield Path(AAF, name), content
    for school in _OF_SIECLE:
        for name, content in siecle_files(school, today).items():
            yield Path(SIECLE, school.uai, name), content


def import_files(settings: Settings, folder: Path) -> None:
    """Import the files. Details that they do not contain, such as the name of SIECLE's schools, are set first.

    Raises:
        ClickException: the files cannot be imported.
    """
    for school in _OF_SIECLE:
        if not db.session.scalar(select(School.id).where(School.uai == school.uai)):
            with unit_of_work():
                schools.change(
                    school.uai,
                    name=school.name,
                    postal_address=school.postal_address,
                    phone=school.phone,
                    degree=Degree.SECONDARY,
                )
    record = folder.with_name("imported.json")
    if db.session.scalar(select(Account.id).limit(1)) is None:
        record.unlink(missing_ok=True)  # it belongs to a deleted database
    imported = read_json(record, {})
    for part in (AAF, *(f"{SIECLE}/{school.uai}" for school in _OF_SIECLE)):
        digest = _digest(folder / part)
        if imported.get(part) != digest:
            _import(settings, folder, folder / part)
            imported[part] = digest
            write_json(record, imported)


def _digest(source: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*")):
        if path.is_file():
            digest.update(hashlib.sha256(path.name.encode()).digest() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _import(settings: Settings, folder: Path, source: Path) -> None:
    try:
        # forced, since a person who changes these files wants to see the effect, also if many accounts are disabled
        result = imports.run(settings, [source], Form(today=today()), Steps(), FORCED)
    except imports.ImportStoppedError as stopped:
        stopped.result.staging.close()
        raise click.ClickException(
            f"the files in {source} cannot be imported ({stopped}): "
            f"correct them, or delete {folder}, which the demonstration then writes again"
        ) from stopped
    except lock.ImportRunningError as busy:
        raise click.ClickException("another import is running on this database: wait until it ends") from busy
    result.staging.close()
