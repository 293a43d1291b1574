"""Rows for tests of the purge, expired or still in use, and the purge's output."""

import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select

from idp.accounts.models import Account, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.audit.models import AuditEntry
from idp.charter.models import CharterAcceptance, CharterVersion
from idp.clients.models import Client
from idp.clock import now
from idp.db import Base, db
from idp.oidc.models import AuthorizationCode, Token
from idp.outbox.queue import OutboxMessage
from idp.passkeys.models import Passkey, PasskeyUser
from idp.sessions.models import Session
from idp.throttle.counters import ThrottleCounter
from tests.builders import Build
from tests.commands.conftest import Run, read_json

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def number(table: type[Base], *conditions: Any) -> int:
    count = db.session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
    db.session.rollback()
    return count


def keep(*rows: Base) -> None:
    db.session.add_all(rows)
    db.session.commit()


def purged(act: Run) -> dict[str, int]:
    return {name: count for name, count in read_json(act, "purge").items() if count}


@dataclass
class Remains:
    account: Account

    def link(self, age: timedelta, **more: Any) -> None:
        expires_at = now() - age
        keep(
            OneTimeLink(
                digest=uuid.uuid4().bytes,
                purpose="confirm_email",
                account_id=self.account.id,
                email="a@exemple.fr",
                generation=1,
                created_at=expires_at - DAY,
                expires_at=expires_at,
                **more,
            )
        )

    def session(self, age: timedelta, **more: Any) -> uuid.UUID:
        """Insert a session that expired `age` ago, with a used code and an access token of that time."""
        key, moment = uuid.uuid4(), now() - age
        keep(
            Session(
                id=key,
                digest=key.bytes,
                sid=key.hex,
                account_id=self.account.id,
                generation=1,
                auth_time=moment,
                amr=["pwd"],
                expires_at=moment,
                **more,
            )
        )
        issued: dict[str, Any] = {"client_id": uuid.UUID(int=7), "account_id": self.account.id, "session_id": key}
        keep(
            AuthorizationCode(
                digest=uuid.uuid4().bytes,
                family=key,
                redirect_uri="https://ent.test/cb",
                scope="openid",
                acr="pwd",
                auth_time=moment,
                expires_at=moment,
                used_at=moment,
                **issued,
            )
        )
        self.token(key, "a", age)
        return key

    def token(self, session: uuid.UUID, kind: str, age: timedelta, **more: Any) -> None:
        """Insert a token of a session that expired `age` ago, or that expires later if `age` is negative."""
        keep(
            Token(
                digest=uuid.uuid4().bytes,
                kind=kind,
                family=session,
                client_id=uuid.UUID(int=7),
                account_id=self.account.id,
                session_id=session,
                scope="openid",
                acr="pwd",
                auth_time=now(),
                expires_at=now() - age,
                **more,
            )
        )

    def event(self, age: timedelta, kind: str = "sign_in", result: str = "ok", **more: Any) -> None:
        values = {"details": {"device": "phone-ios-safari"}, "ip": "203.0.113.7", "request_id": "ABCD-EFGH"}
        keep(AuditEntry(at=now() - age, kind=kind, result=result, account_id=self.account.id, **values, **more))

    def everything(self, build: Build) -> None:
        client = db.session.scalar(select(Client.id).limit(1))
        version = CharterVersion(client_id=client, version=uuid.uuid4().hex, text="# Charte")
        keep(version)
        keep(
            CharterAcceptance(account_id=self.account.id, charter_version_id=version.id),
            SchoolNotice(
                school_id=build.school().id, account_id=self.account.id, kind="email_contested", settled_at=now()
            ),
        )
        keep(
            PasskeyUser(account_id=self.account.id, handle=self.account.id.bytes),
            Passkey(
                account_id=self.account.id,
                name="téléphone",
                credential_id=self.account.id.bytes,
                public_key=b"key",
                sign_count=0,
                is_backup_eligible=False,
                is_backed_up=False,
            ),
        )
        self.link(HOUR)
        self.session(HOUR)
        self.event(HOUR)


def a_dead_town(account: Account, count: int) -> None:
    old = now() - 400 * DAY
    keys = [uuid.uuid4() for _ in range(count)]
    own: dict[str, Any] = {"account_id": account.id, "expires_at": old}
    sure: dict[str, Any] = {"auth_time": old}
    issued = {**own, **sure, "client_id": uuid.UUID(int=7), "scope": "openid", "acr": "pwd"}
    link = {"purpose": "confirm_email", "email": "a@exemple.fr", "generation": 1, "created_at": old}
    session = {"generation": 1, "amr": ["pwd"], "created_at": old, "last_seen_at": old}
    person = {"family_name": "DURAND", "given_name": "Zoé", "provisional_hash": "$argon2id$"}
    tables: dict[type[Base], list[dict[str, Any]]] = {
        OneTimeLink: [{"digest": key.bytes, **own, **link} for key in keys],
        Session: [{"id": key, "digest": key.bytes, "sid": key.hex, **own, **sure, **session} for key in keys],
        AuthorizationCode: [
            {"digest": key.bytes, "family": key, "session_id": key, "redirect_uri": "https://ent.test/cb", **issued}
            for key in keys
        ],
        Token: [
            {"digest": key.bytes + kind, "kind": kind.decode(), "family": key, "session_id": key, **issued}
            for key in keys
            for kind in (b"a", b"r")
        ],
        OutboxMessage: [
            {"id": key, "kind": "account.notice", "payload": {}, "finished_at": old, "available_at": old}
            for key in keys
        ],
        AuditEntry: [
            {"at": moment, "kind": kind, "result": result, "details": {}}
            for _ in keys
            for moment, kind, result in ((old, "code.issued", "ok"), (now() - 200 * DAY, "sign_in", "refused"))
        ],
        ThrottleCounter: [
            {"limit": "x", "key": key.bytes, "count": 1, "since": old, "open_at": old, "expires_at": old}
            for key in keys
        ],
        Account: [
            {"id": uuid.uuid4(), "username": f"z.{key.hex}", "provisional_expires_at": old, **person} for key in keys
        ],
    }
    for table, rows in tables.items():
        db.session.execute(insert(table), rows)
    db.session.commit()
