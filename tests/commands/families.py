"""Schools with parents without a printed letter, and the text of printed letters."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pypdf import PdfReader

from idp.accounts.models import Account, Child, Guardianship
from idp.db import db
from idp.letters.render.pdf import Letter
from idp.letters.render.typesetting import Typesetter
from tests.builders import COLLEGE, Build
from tests.letters.read_back import secrets_in, text_of


def pupil(build: Build, class_name: str, uai: str = COLLEGE, given_name: str = "Malo") -> Child:
    child = build.child(given_name, uai=uai)
    child.class_name = class_name
    db.session.commit()
    return child


def parent(build: Build, *children: Child, **more: object) -> Account:
    never = {"provisional_hash": None, "provisional_expires_at": None}
    return build.never_activated(children=list(children), **{**never, **more})  # type: ignore[arg-type]


def before_typesetting(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[list[str]]:
    """Run `act` before the first letters are typeset; return the list of the usernames of each call."""
    render_truly, rendered = Typesetter.render, list[list[str]]()

    def render(typesetter: Typesetter, letters: Sequence[Letter], *, as_slips: bool) -> bytes:
        if not rendered:
            act()
        rendered.append([letter.username for letter in letters])
        return render_truly(typesetter, letters, as_slips=as_slips)

    monkeypatch.setattr(Typesetter, "render", render)
    return rendered


def link(account: Account, child: Child) -> Guardianship:
    return db.session.get_one(Guardianship, (account.id, child.id))


def pages(paper: Path) -> list[str]:
    return [text_of(page) for page in PdfReader(io.BytesIO(paper.read_bytes())).pages]


def secret_on(page: str) -> str:
    [secret] = secrets_in(page)
    return secret


def usernames_on(paper: Path, *accounts: Account) -> list[str]:
    return [
        name for page in pages(paper) for name in (account.username for account in accounts) if name in page.split()
    ]


def rows_of(paper: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(paper.read_bytes().decode("utf-8-sig")), delimiter=";"))
