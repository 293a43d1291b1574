"""Create the data that tests start from, with the product's own functions."""

import itertools
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Executable

from idp.accounts import emails
from idp.accounts.closings import Closing, Kind as ClosingKind
from idp.accounts.models import Account, Child, Degree, Guardianship, School
from idp.accounts.passwords.hasher import Hasher, fold_provisional
from idp.charter import service as charters
from idp.clients.models import Client
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.registration.metadata import DEFAULT_SCOPES, ClientMetadata
from idp.registration.registrations import change, check_change, register
from tests.relying_party import RelyingParty

COLLEGE, LYCEE = "0599001N", "0599002P"
PASSWORD = "tasse vélo nuage citron"
PROVISIONAL = "7K4M-QX2P-9RTD"
HOME: dict[str, Any] = {"address_lines": ["4 rue du Canal"], "postcode": "59990", "city": "Rivebelle"}
"""A postal address: a person of one name with this address in both files is one person."""
_numbers = itertools.count(1000)
_BEFORE_ALL = datetime(2020, 1, 1, tzinfo=UTC)
"""Since when tries count: a test may move the clock back behind the creation of its accounts."""


@dataclass
class Build:
    settings: Settings
    hashes: dict[str, str] = field(default_factory=dict)

    def hash(self, password: str) -> str:
        if password not in self.hashes:
            with ThreadPoolExecutor(1) as thread:  # it has no session: what a test has not committed yet may wait
                self.hashes[password] = thread.submit(Hasher(self.settings).hash, password, "sign_in").result()
        return self.hashes[password]

    def school(self, uai: str = COLLEGE) -> School:
        """Return the school with this UAI; create it at the first call."""
        row = db.session.query(School).filter_by(uai=uai).one_or_none()
        if row is None:
            name = "Collège des Tilleuls" if uai == COLLEGE else "Lycée Louise-Weber"
            row = School(uai=uai, name=name, degree=Degree.SECONDARY, postal_address=[], phone="")
            db.session.add(row)
            db.session.commit()
        return row

    def child(self, given_name: str = "Malo", family_name: str = "LEROY", uai: str = COLLEGE) -> Child:
        child = self._child(given_name, family_name, uai)
        db.session.commit()
        return child

    def _child(self, given_name: str = "Malo", family_name: str = "LEROY", uai: str = COLLEGE) -> Child:
        child = Child(
            school_id=self.school(uai).id,
            student_id=str(700000 + next(_numbers)),
            given_name=given_name,
            family_name=family_name,
            class_name="6e 1",
        )
        db.session.add(child)
        db.session.flush()
        return child

    def never_activated(
        self, *, secret: str = PROVISIONAL, children: list[Child] | None = None, **more: object
    ) -> Account:
        number = next(_numbers)
        values: dict[str, object] = {
            "username": f"n.leroy{number}",
            "civility": "Mme",
            "given_name": "Noémie",
            "family_name": "LEROY-VANDEPUTTE",
            "join_key": str(9100000 + number),
            "provisional_hash": self.hash(fold_provisional(secret)),
            "provisional_expires_at": now() + timedelta(days=60),
            **more,
        }
        contested_at, contested_email = values.pop("contested_at", None), values.pop("contested_email", None)
        known: Any = values.get("activated_at") or values.get("created_at") or now()
        account = Account(id=uuid.uuid4(), **{"known_use_at": known, "tries_counted_since": _BEFORE_ALL, **values})
        db.session.add(account)
        db.session.flush()
        if contested_at or contested_email:
            add_contest(account.id, contested_at or now(), contested_email)
        for rank, child in enumerate([self._child()] if children is None else children):
            db.session.add(Guardianship(account_id=account.id, child_id=child.id, rank=rank, kinship="10"))
        db.session.commit()
        return account

    def active(
        self, *, password: str = PASSWORD, email: str | None = "noemie.leroy@exemple.fr", **more: object
    ) -> Account:
        return self.never_activated(
            **{
                "provisional_hash": None,
                "provisional_expires_at": None,
                "password_hash": self.hash(password),
                "activated_at": now(),
                "email": email,
                "email_confirmed_at": now() if email else None,
                "generation": 1,
                **more,
            }  # type: ignore[arg-type]
        )

    def unconfirmed(self, email: str = "noemie@exemple.fr") -> Account:
        """Create a parent who chose a password, and to whose email a link was sent a moment ago."""
        account = self.active(email=None, pending_email=email)
        emails.send_link(self.settings, account, None)
        db.session.commit()
        return account

    def ent(
        self,
        name: str = "Passerelle",
        host: str = "ent.test",
        *,
        charter: str = "none",
        scopes: str = " ".join(DEFAULT_SCOPES),
        **more: object,
    ) -> RelyingParty:
        metadata: dict[str, object] = {
            "name": name,
            "redirect_uris": [f"https://{host}/cb"],
            "post_logout_redirect_uris": [f"https://{host}/bye"],
            "home_uri": f"https://{host}/",
            "uais": [COLLEGE],
            "charter": charter,
            "scopes": scopes.split(),
            **more,
        }
        row, secret = register(self.settings, ClientMetadata(**metadata))  # type: ignore[arg-type]
        return RelyingParty(self.settings.issuer, row.client_id, secret, f"https://{host}/cb", row.scopes)

    def publish(self, ent: RelyingParty, version: str, text: str = "# Charte\n\nSoyons polis.") -> None:
        charters.publish(ent.client_id, version, text)


class AtHome(Build):
    """Builders that give all people one postal address: namesakes among them are one person."""

    def never_activated(
        self, *, secret: str = PROVISIONAL, children: list[Child] | None = None, **more: object
    ) -> Account:
        return super().never_activated(secret=secret, children=children, **{**HOME, **more})


def commit(statement: Executable) -> None:
    """Execute a statement that stores what the test starts from, and commit."""
    db.session.execute(statement)
    db.session.commit()


def add_contest(account_id: uuid.UUID, since: object, former: object = None) -> None:
    """Contest the address of an account since a moment, without the act."""
    values = {"kind": ClosingKind.CONTESTED.value, "email": former, "begun_at": since, "begun_by": "test", "reason": ""}
    db.session.add(Closing(account_id=account_id, **values))
    db.session.commit()


def change_registration(settings: Settings, client: Client, metadata: ClientMetadata) -> str | None:
    """Change a client's registration as an operator does; return a new secret if the client needs one from now on."""
    check_change(settings, client, metadata)
    with unit_of_work():
        return change(client, metadata)
