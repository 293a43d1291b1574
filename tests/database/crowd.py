"""Rows of ten thousand families, so that the query planner has a choice of plans.

The rows of number N belong to the account of number N, so that an index on the account is selective.
"""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, insert, literal, literal_column, select, text

from idp.accounts.models import Account, Child, Degree, Guardianship, RosterAlias, School, SchoolNotice
from idp.accounts.one_time_links import OneTimeLink
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import Base
from idp.oidc.models import AuthorizationCode, PushedRequest, SpentProof, Token
from idp.outbox.queue import OutboxMessage
from idp.rostering.models import ImportBatch, ImportIssue
from idp.sessions.models import DeviceSession, Session
from idp.throttle.counters import ThrottleCounter

PEOPLE = 10_000
_OTHERS = 500
"""The number of schools and of imports; each has twenty rows."""

GROWING = (
    Account,
    Child,
    Guardianship,
    RosterAlias,
    SchoolNotice,
    Session,
    DeviceSession,
    Token,
    AuthorizationCode,
    PushedRequest,
    SpentProof,
    OneTimeLink,
    AuditEntry,
    OutboxMessage,
    ThrottleCounter,
    ImportIssue,
)


def crowd(connection: Connection) -> None:
    """Fill the tables and run ANALYZE, as autovacuum does within a minute."""
    for model, values, fresh in _rows():
        table = Base.metadata.tables[model.__tablename__]
        _repeat(connection, table, values, fresh, _OTHERS if model in {School, ImportBatch} else PEOPLE)
    connection.execute(text("ANALYZE"))
    connection.commit()


def _rows() -> list[tuple[type[Base], dict[str, Any], dict[str, str]]]:
    """Return, for each table, constant values and the SQL of other values: `{key}`, `{few}` and `{blob}` of `n`."""
    later = now() + timedelta(days=30)
    owned: dict[str, Any] = {"client_id": uuid.UUID(int=7), "scope": "openid", "expires_at": later}
    sure: dict[str, Any] = {"acr": "pwd", "auth_time": now()}
    person: dict[str, Any] = {"family_name": "FOULE", "given_name": "Noémie", "postcode": "59990"}
    names = {"roster_key": "'aaf:' || n", "name_key": "'cle' || n", "mailbox": "'m' || n || '@exemple.fr'"}
    of, of_session = {"account_id": "{key}"}, {"account_id": "{key}", "session_id": "{key}"}
    return [
        (School, {"name": "Collège", "degree": Degree.SECONDARY}, {"id": "{key}", "uai": "'C' || n"}),
        (Account, person, {"id": "{key}", "username": "'f.foule' || n", "join_key": "'' || n", **names}),
        (
            Child,
            {"given_name": "Malo", "family_name": "FOULE", "student_id": "7", "class_name": "6e 1"},
            {"id": "{key}", "roster_key": "'aaf:e' || n", "school_id": "{few}"},
        ),
        (Guardianship, {}, {"account_id": "{key}", "child_id": "{key}"}),
        (RosterAlias, {}, {"roster_key": "'alias:' || n", **of}),
        (SchoolNotice, {"kind": "shared_mailbox", "settled_at": now()}, {"id": "{key}", "school_id": "{few}", **of}),
        (
            DeviceSession,
            {"generation": 1, **sure, "amr": ["pwd"], "expires_at": later},
            {"id": "{key}", "digest": "{blob}", "sid": "'s' || n", **of},
        ),
        (
            Session,
            {"generation": 1, "auth_time": now(), "amr": ["pwd"], "expires_at": later},
            {"id": "{key}", "digest": "{blob}", "sid": "'s' || n", **of},
        ),
        (Token, {"kind": "a", **owned, **sure}, {"digest": "{blob}", "family": "{key}", **of_session}),
        (
            AuthorizationCode,
            {"redirect_uri": "https://ent.test/cb", **owned, **sure},
            {"digest": "{blob}", "family": "{key}", **of_session},
        ),
        (
            PushedRequest,
            {"client_id": uuid.UUID(int=7), "parameters": {}, "expires_at": later},
            {"digest": "{blob}"},
        ),
        (SpentProof, {"expires_at": later}, {"digest": "{blob}"}),
        (
            OneTimeLink,
            {"purpose": "new_password", "email": "a@exemple.fr", "generation": 1, "expires_at": later},
            {"id": "{key}", "digest": "{blob}", **of},
        ),
        (AuditEntry, {"kind": "sign_in", "result": "ok"}, of),
        (OutboxMessage, {"kind": "account.notice", "payload": {}, "finished_at": now()}, {"id": "{key}"}),
        (
            ThrottleCounter,
            {"limit": "x", "count": 1, "since": now(), "open_at": now(), "expires_at": later},
            {"key": "{blob}"},
        ),
        (ImportBatch, {"format": "AAF", "mode": "complet"}, {"id": "{key}"}),
        (
            ImportIssue,
            {"severity": "warning", "file": "a.xml", "line": 1, "key": "1", "code": "x", "message": "Une remarque."},
            {"batch_id": "{few}"},
        ),
    ]


def _repeat(connection: Connection, table: Table, values: dict[str, Any], fresh: dict[str, str], times: int) -> None:
    """Insert a row with the model's defaults `times` times, `fresh` in place of some columns."""
    numbers = "(SELECT n FROM generate_series(1, :times) n) AS numbers"
    key, blob = "('000000000000400080' || lpad(to_hex({}), 14, '0'))::uuid", "convert_to('x' || n, 'UTF8')"
    words = {"key": key.format("n"), "few": key.format(f"(n - 1) / {PEOPLE // _OTHERS} + 1"), "blob": blob}
    constants = [literal(value, table.c[name].type) for name, value in values.items()]
    expressions: list[ColumnElement[Any]] = [
        literal_column(expression.format(**words)) for expression in fresh.values()
    ]
    rows = select(*constants, *expressions).select_from(text(numbers).bindparams(times=times))
    connection.execute(insert(table).from_select([*values, *fresh], rows))
