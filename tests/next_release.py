"""The next release: a copy of the sources with another version and two more revisions, which add to the tables."""

import shutil
import subprocess
import sys
from pathlib import Path

from idp.config import Settings
from idp.operations import revisions
from idp.paths import CHECKOUT
from tests.commands.processes import PATIENCE, environment

VERSION = "99.1.0"
ADDING, REVISION = (f"{int(revisions.newest()) + more:04}" for more in (1, 2))
"""Its two revisions."""
_EXPANDS = f'''"""Add a table, and a column to a table that each sign-in reads."""

import sqlalchemy as sa
from alembic import op

revision = '{ADDING}'
down_revision = '{revisions.newest()}'
phase = 'expand'


def upgrade() -> None:
    op.create_table('of_next_release', sa.Column('id', sa.Integer(), primary_key=True))
    op.add_column('account', sa.Column('of_next_release', sa.Text(), nullable=True))
'''
_INDEXES = f'''"""Add an index to the same table."""

from alembic import op

revision = '{REVISION}'
down_revision = '{ADDING}'
phase = 'expand'


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            'ix_of_next_release', 'account', ['of_next_release'], postgresql_concurrently=True, if_not_exists=True
        )
'''


def turn_into(sources: Path) -> None:
    (sources / "idp/__init__.py").write_text(
        f'"""The next release."""\n\n__version__ = "{VERSION}"\n', encoding="utf-8"
    )
    for revision, text in ((ADDING, _EXPANDS), (REVISION, _INDEXES)):
        (sources / f"migrations/versions/{revision}_of_next_release.py").write_text(text, encoding="utf-8")
    (sources / "migrations/HEAD").write_text(f"{REVISION}\n", encoding="utf-8")


def sources(folder: Path) -> Path:
    copy = folder / "next_release"
    copy.mkdir()
    for name in ("idp", "migrations", "templates", "docs"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "images"))
    shutil.copy(CHECKOUT / "constraints.txt", copy)
    turn_into(copy)
    return copy


def command(*arguments: str) -> list[str]:
    """Return the command line of `idp`, to run with `variables`."""
    return [sys.executable, "-m", "idp", *arguments]


def variables(copy: Path, settings: Settings) -> dict[str, str]:
    """Return the environment of `idp` in a folder of `sources`: where Python was told so, it does not look there."""
    return {**environment(settings), "PYTHONPATH": str(copy)}


def run(copy: Path, settings: Settings, *arguments: str) -> str:
    done = subprocess.run(
        command(*arguments),
        cwd=copy,
        env=variables(copy, settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
