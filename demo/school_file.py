"""The file that the collège's secretary brings to the desk: its pupils a few weeks later.

Lila SIMON arrives with two parents, Anna SCHMITT changes class, Duc NGUYEN leaves. A secretary may import a file by
which at most 5 % of the pupils leave: one of the collège's twenty-one.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from demo.families import CHILDREN, COLLEGE, FATHER, MOTHER, RESPONSIBLES, DemoChild, DemoGuardian, DemoHome
from demo.folder import write_private
from demo.siecle_files import siecle_files
from idp.clock import today

SCHOOL = COLLEGE
_ARRIVING = DemoChild("701901", "Lila", "SIMON", COLLEGE, "6e 2")
_HOME = DemoHome(("26 rue des Houblonnières",), "59991", "Saint-Vaast-sur-Lune")
_ARRIVING_PARENTS = (
    DemoGuardian("Mme", "Julie", "SIMON", MOTHER, _HOME, (_ARRIVING,), key="9100901"),
    DemoGuardian("M.", "Thomas", "SIMON", FATHER, _HOME, (_ARRIVING,), key="9100902"),
)
_MOVING, _NEW_CLASS = ("Anna", "SCHMITT"), "5e 1"
_LEAVING = ("Duc", "NGUYEN")
_EPOCH = (1980, 1, 1, 0, 0, 0)


def write(folder: Path) -> Path:
    """Write the file to `folder`, unless it exists, and return its path."""
    path = folder / f"siecle-{SCHOOL.uai}.zip"
    if not path.is_file():
        write_private(path, content(today()))
    return path


def content(today: date) -> bytes:
    """Return an export of `today`: a ZIP with the files of pupils and of guardians."""
    people = [replace(person, children=_later(person.children)) for person in RESPONSIBLES]
    export = siecle_files(SCHOOL, today, _later((*CHILDREN, _ARRIVING)), [*people, *_ARRIVING_PARENTS])
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        for name, exported in export.items():
            members.writestr(zipfile.ZipInfo(name, _EPOCH), exported)
    return archive.getvalue()


def _later(children: Sequence[DemoChild]) -> tuple[DemoChild, ...]:
    return tuple(
        replace(child, class_name=_NEW_CLASS) if (child.given_name, child.family_name) == _MOVING else child
        for child in children
        if (child.given_name, child.family_name) != _LEAVING
    )
