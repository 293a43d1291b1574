"""Rows for tests of the purge, expired or still in use, and the purge's output."""

import json
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
from tests.commands.conftest import Run

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def number(table: type[Base], *conditions: Any) -> int:
    count = db.session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0
    db.session.rollback()
    return count


def keep(*rows: Base) -> None:
    db.session.add_all(rows)
    db.session.commit()


def purged(act: Run) -> dict[str, int]:
    answer = act("purge", "--json")
    assert (answer.code, answer.err) == (0, "")
    return {name: count for name, count in json.loads(answer.out).items() if count}


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


def many(table: type[Base], count: int, **values: Any) -> None:
    """Insert `count` rows; a callable value is called for each row."""
    rows = [{name: value() if callable(value) else value for name, value in values.items()} for _ in range(count)]
    db.session.execute(insert(table), rows)
    db.session.commit()


def a_dead_town(account: Account, count: int) -> None:
    """Insert `count` expired rows into each table that the purge empties."""
    old = now() - 400 * DAY
    many(
        OneTimeLink,
        count,
        digest=lambda: uuid.uuid4().bytes,
        purpose="confirm_email",
        account_id=account.id,
        email="a@exemple.fr",
        generation=1,
        created_at=old,
        expires_at=old,
    )
    sessions = [uuid.uuid4() for _ in range(count)]
    rows: list[dict[str, Any]] = [
        {
            "id": key,
            "digest": key.bytes,
            "sid": key.hex,
            "account_id": account.id,
            "generation": 1,
            "auth_time": old,
            "amr": ["pwd"],
            "created_at": old,
            "last_seen_at": old,
            "expires_at": old,
        }
        for key in sessions
    ]
    db.session.execute(insert(Session), rows)
    issued: dict[str, Any] = {"client_id": uuid.UUID(int=7), "account_id": account.id, "scope": "openid"}
    issued |= {"expires_at": old, "acr": "pwd", "auth_time": old}
    db.session.execute(
        insert(AuthorizationCode),
        [
            {"digest": key.bytes, "family": key, "session_id": key, "redirect_uri": "https://ent.test/cb", **issued}
            for key in sessions
        ],
    )
    db.session.execute(
        insert(Token),
        [
            {"digest": key.bytes + kind, "kind": kind.decode(), "family": key, "session_id": key, **issued}
            for key in sessions
            for kind in (b"a", b"r")
        ],
    )
    db.session.commit()
    many(OutboxMessage, count, id=uuid.uuid4, kind="account.notice", payload={}, finished_at=old, available_at=old)
    many(AuditEntry, count, at=old, kind="code.issued", result="ok", details={})
    many(AuditEntry, count, at=now() - 200 * DAY, kind="sign_in", result="refused", details={})
    counters = [
        {"limit": "x", "key": key.bytes, "count": 1, "since": old, "open_at": old, "expires_at": old}
        for key in sessions
    ]
    db.session.execute(insert(ThrottleCounter), counters)
    db.session.commit()
    many(
        Account,
        count,
        id=uuid.uuid4,
        username=lambda: f"z.{uuid.uuid4().hex}",
        family_name="DURAND",
        given_name="Zoé",
        provisional_hash="$argon2id$",
        provisional_expires_at=old,
    )
