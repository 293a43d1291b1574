"""Schools of the tests of letters: parents whose letters were never printed, by class, and papers read back."""

import csv
import io
from pathlib import Path

from pypdf import PdfReader

from idp.accounts.models import Account, Child, Guardianship
from idp.db import db
from tests.builders import COLLEGE, Build
from tests.letters.read_back import secrets_in, text_of


def pupil(build: Build, class_name: str, uai: str = COLLEGE, given_name: str = "Malo") -> Child:
    """Return a new pupil of a class."""
    child = build.child(given_name, uai=uai)
    child.class_name = class_name
    db.session.commit()
    return child


def parent(build: Build, *children: Child, **more: object) -> Account:
    """Return a parent whose letter was never printed."""
    never = {"provisional_hash": None, "provisional_expires_at": None}
    return build.never_activated(children=list(children), **{**never, **more})  # type: ignore[arg-type]


def link(account: Account, child: Child) -> Guardianship:
    """Return the row that says that they belong together."""
    return db.session.get_one(Guardianship, (account.id, child.id))


def pages(paper: Path) -> list[str]:
    """Return the text of each page."""
    return [text_of(page) for page in PdfReader(io.BytesIO(paper.read_bytes())).pages]


def secret_on(page: str) -> str:
    """Return the provisional password of a page, as a parent reads it."""
    [secret] = secrets_in(page)
    return secret


def usernames_on(paper: Path, *accounts: Account) -> list[str]:
    """Return whose letter each page is."""
    return [name for page in pages(paper) for name in (one.username for one in accounts) if name in page.split()]


def rows_of(paper: Path) -> list[dict[str, str]]:
    """Return the rows of a list for a mail merge."""
    return list(csv.DictReader(io.StringIO(paper.read_bytes().decode("utf-8-sig")), delimiter=";"))
