"""A school whose file has no numbers, with two namesakes a year apart."""

from pathlib import Path

from sqlalchemy import select

from idp.accounts.models import Account
from idp.db import db
from tests.rostering.aaf_school import COLLEGE

HEAD = "nom;prenom;adresse;cp;commune;mail;uai;nomenfant;prenomenfant;classeenfant\n"
FIRST = f"MARTIN;Marie;1 rue A;59990;Rivebelle;;{COLLEGE};MARTIN;Léa;CM2"
SECOND = f"MARTIN;Marie;9 rue Z;59992;Valdoux;;{COLLEGE};BERNARD;Zoé;CP"


def written(folder: Path, *rows: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "responsables.csv").write_text(HEAD + "\n".join(rows) + "\n")
    return folder


def of_name(family_name: str) -> list[Account]:
    db.session.rollback()
    db.session.expire_all()
    named = select(Account).where(Account.family_name == family_name).order_by(Account.created_at)
    return list(db.session.scalars(named))
