"""The seed on a real database: whole at once, and kept by later starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from idp.accounts.models import Account, Child, Guardianship, School
from idp.accounts.passwords import Hasher, fold_provisional
from idp.charter.models import CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings, load
from idp.db import Base, db
from idp.demo.ents import ents_at
from idp.demo.paper import Paper, SeededLetter
from idp.demo.seed import seed
from idp.oidc.models import SigningKey
from idp.sessions import models as _sessions  # noqa: F401 - its table is named by the protocol's


class House:
    """A demonstration's folder and database, that can be seeded again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.paper = Paper(folder)
        self.settings: Settings = load(
            env="development", issuer="http://127.0.0.1:8000", database_url=f"sqlite:///{folder / 'idp.db'}"
        )
        self.app = Flask(__name__)
        self.app.config["SQLALCHEMY_DATABASE_URI"] = self.settings.database_url
        db.init_app(self.app)

    @contextmanager
    def context(self) -> Iterator[None]:
        with self.app.app_context():
            yield
            db.session.remove()
            db.engine.dispose()

    def seed(self, port: int = 8000) -> dict[str, SeededLetter]:
        letters = seed(self.settings, ents_at(port, self.folder), self.paper)
        return {letter.guardian.username: letter for letter in letters}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    with house.context():
        Base.metadata.create_all(db.engine)
        yield house


def count(model: type[Base]) -> int:
    return db.session.scalar(select(func.count()).select_from(model)) or 0


def account(username: str) -> Account:
    return db.session.scalars(select(Account).where(Account.username == username)).one()


def test_every_letter_opens_its_account(house: House) -> None:
    letters = house.seed()
    hasher = Hasher(house.settings)
    assert len(letters) == 40
    for username, letter in letters.items():
        stored = account(username)
        assert letter.usable
        assert stored.provisional_expires_at
        assert timedelta(days=59) < stored.provisional_expires_at - now() <= timedelta(days=60)
        assert letter.secret.valid_until <= stored.provisional_expires_at.astimezone().date()
        assert hasher.verify(stored.provisional_hash, fold_provisional(letter.secret.shown), lane="activation")


def test_rows_carry_the_contract_names(house: House) -> None:
    row = house.seed()["s.haddad3350"].row()
    assert set(row) == {"school", "uai", "name", "username", "provisional_password", "children"}
    assert row["children"] == [{"given_name": "Inès", "class": "4e 2"}, {"given_name": "Yanis", "class": "2de 4"}]
    assert (row["school"], row["uai"], row["name"]) == ("Collège des Tilleuls", "0599001N", "Mme Samia HADDAD")


def test_a_second_start_keeps_everything(house: House) -> None:
    first = house.seed()
    numbers = [count(model) for model in (Account, Child, School, Guardianship, Client, CharterVersion, SigningKey)]
    hashes = {username: account(username).provisional_hash for username in first}
    db.session.expunge_all()
    assert house.seed() == first
    assert hashes == {username: account(username).provisional_hash for username in first}
    assert numbers == [
        count(model) for model in (Account, Child, School, Guardianship, Client, CharterVersion, SigningKey)
    ]
    assert numbers[:1] + numbers[2:3] + numbers[4:] == [40, 2, 2, 2, 1]


def test_used_and_refused_letters_stay_so(house: House) -> None:
    house.seed()
    used, refused = account("n.leroy4821"), account("k.leroy1907")
    used.activated_at, used.provisional_hash, used.generation = now(), None, used.generation + 1
    refused.provisional_hash, refused.generation = None, refused.generation + 1
    db.session.commit()
    letters = house.seed()
    assert not letters["n.leroy4821"].usable
    assert not letters["k.leroy1907"].usable
    assert account("k.leroy1907").provisional_hash is None
    assert sum(letter.usable for letter in letters.values()) == 38


def test_a_letter_whose_time_is_over_is_drawn_again(house: House) -> None:
    first = house.seed()
    house.paper.print(list(first.values()), house.settings)
    with time_machine.travel(now() + timedelta(days=61)):
        again = house.seed()
        assert again["n.leroy4821"].secret.shown != first["n.leroy4821"].secret.shown
        assert account("n.leroy4821").generation == 2
        assert not house.paper.pdf.exists()


def test_a_lost_list_of_letters_is_made_again(house: House) -> None:
    first = house.seed()
    (house.folder / "letters.json").unlink()
    again = house.seed()
    shown = again["n.leroy4821"].secret.shown
    assert shown != first["n.leroy4821"].secret.shown
    stored = account("n.leroy4821").provisional_hash
    assert Hasher(house.settings).verify(stored, fold_provisional(shown), lane="activation")


def test_a_start_cut_before_the_end_is_taken_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(db.session, "commit", cut)
        with pytest.raises(KeyboardInterrupt):
            house.seed()
    db.session.rollback()
    assert count(Account) == 0
    letters = house.seed()
    stored = account("n.leroy4821").provisional_hash
    shown = letters["n.leroy4821"].secret.shown
    assert Hasher(house.settings).verify(stored, fold_provisional(shown), lane="activation")


def test_another_port_moves_the_ents(house: House) -> None:
    house.seed()
    version = db.session.scalars(select(Client.version).where(Client.client_id == "passerelle")).one()
    letters = house.seed(port=9000)
    moved = db.session.scalars(select(Client).where(Client.client_id == "passerelle")).one()
    assert moved.redirect_uris == ["http://127.0.0.1:9001/callback"]
    assert moved.home_uri == "http://127.0.0.1:9001/"
    assert moved.version > version
    assert letters["n.leroy4821"].ent_url == "http://127.0.0.1:9001"


def test_what_is_secret_is_for_its_owner_alone(house: House) -> None:
    house.paper.print(list(house.seed().values()), house.settings)
    secrets = [path for path in house.folder.iterdir() if not path.name.startswith("idp.db")]
    assert {"letters.json", "letters.pdf", "passerelle.client-secret"} <= {path.name for path in secrets}
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    assert house.paper.pdf.read_bytes().startswith(b"%PDF-")
