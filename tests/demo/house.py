"""A demonstration in a folder of the tests, which can be seeded again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import func, select

from demo.ents import ents_at
from demo.letters import Paper, SeededLetter
from demo.seed import seed
from idp.accounts.models import Account
from idp.accounts.passwords.hasher import Hasher, fold_provisional
from idp.config import Settings, load
from idp.db import Base, db, release_connection
from idp.sessions import models as _sessions  # noqa: F401 - its table is named by the protocol's
from tests import databases
from tests.services import change_services

_ISSUER = "http://127.0.0.1:8000"


class House:
    """The folder and database of a demonstration, which can be seeded again."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.files = folder / "fichiers"
        self.paper = Paper(folder)
        self.settings: Settings = load(
            env="development", issuer=_ISSUER, database_url=database_url, secret_key=databases.SECRET
        )
        self.hasher = Hasher(self.settings)
        self.app = Flask(__name__)
        self.app.config["SQLALCHEMY_DATABASE_URI"] = self.settings.database_url
        change_services(self.app, settings=self.settings)
        db.init_app(self.app)

    @contextmanager
    def context(self) -> Iterator[None]:
        with self.app.app_context():
            try:
                yield
            finally:
                db.session.remove()
                db.engine.dispose()

    def seed(self, port: int = 8000) -> dict[str, SeededLetter]:
        """Seed again; return the letters by the beginning of their usernames."""
        letters = seed(self.settings, ents_at(port, self.folder), self.paper, self.files)
        return {re.sub(r"\d+$", "", letter.username): letter for letter in letters}

    def opens(self, letter: SeededLetter) -> bool:
        stored = account(letter).provisional_hash
        release_connection()
        return stored is not None and self.hasher.verify(stored, fold_provisional(letter.shown), lane="activation")


def count(model: type[Base]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def account(letter: SeededLetter) -> Account:
    return db.session.scalars(select(Account).where(Account.username == letter.username)).one()
