"""A small school whose CSV has numbers: two parents of one child, and another family."""

from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select, update

from idp.accounts.models import Account
from idp.clock import now
from idp.db import db
from tests.builders import PASSWORD, Build, commit
from tests.rostering.aaf_school import COLLEGE

HEAD = "id;civilite;nom;prenom;adresse;cp;commune;email;uai;idenfant;nomenfant;prenomenfant;classeenfant;autorite\n"


@dataclass(frozen=True)
class Row:
    number: str
    civility: str = "Mme"
    family: str = "MARTIN"
    given: str = "Marie"
    home: str = "1 rue A;59990;Rivebelle"
    mail: str = "marie@exemple.fr"
    child: str = "11;MARTIN;Léa;6A"

    def __str__(self) -> str:
        names = f"{self.number};{self.civility};{self.family};{self.given}"
        return f"{names};{self.home};{self.mail};{COLLEGE};{self.child};1"

    def but(self, **values: str) -> "Row":
        return replace(self, **values)


MARIE = Row("1")
PAUL = Row("2", "M.", "MARTIN", "Paul", "9 avenue B;59992;Valdoux", "paul@exemple.fr")
NEIGHBOUR = Row("3", "M.", "XAVIER", "Yves", "2 rue C;59990;Rivebelle", "", "12;XAVIER;Karl;6A")


def written(folder: Path, *rows: Row) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "responsables.csv").write_text(HEAD + "\n".join(map(str, (*rows, NEIGHBOUR))) + "\n")
    return folder


def holder(number: str) -> Account | None:
    db.session.rollback()
    db.session.expire_all()
    return db.session.scalar(select(Account).where(Account.roster_key == f"csv:{COLLEGE}:{number}"))


def activated(build: Build, number: str, mail: str = "elle@exemple.fr") -> Account:
    own = {"password_hash": build.hash(PASSWORD), "activated_at": now(), "email": mail, "mailbox": mail}
    key = Account.roster_key == f"csv:{COLLEGE}:{number}"
    commit(update(Account).where(key).values(**own, email_confirmed_at=now(), generation=3))
    person = holder(number)
    assert person is not None
    return person
