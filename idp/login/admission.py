"""Admits an ordinary sign-in in one transaction: updates the account, inserts the session, settles the counted try.

`idp.login.service` has decided by the account as it was read (`VerifiedSecret.account`). If the account has changed
since, nothing is written here, and the service decides again in a unit of work.
"""

import uuid
from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any, cast

from sqlalchemy import Column, ColumnElement, Table, bindparam, exists, func, insert, inspect, select, true, update
from sqlalchemy.sql.dml import ReturningInsert, Update, UpdateBase

from idp import opaque
from idp.accounts import account_state
from idp.accounts.authentication import VerifiedSecret
from idp.accounts.models import Account
from idp.audit import log
from idp.chained import Chain, Gates, NewRow, Step
from idp.clock import now
from idp.db import Base, UtcDateTime, db
from idp.sessions import liveness
from idp.sessions.models import Session
from idp.throttle import counters, limits
from idp.throttle.guard import Settlement

_ACCOUNT = "admitted"


def note(account_id: uuid.UUID, password_hash: str | None) -> None:
    """Record the sign-in on the account, in the caller's transaction, which has locked the row.

    `password_hash` is the password's hash under today's parameters.
    """
    noting = _noting().where(Account.id == bindparam("account"))
    db.session.connection().execute(noting, {"account": account_id, **_noting_values(password_hash)})


def admit(verified: VerifiedSecret, rows: Sequence[NewRow], former: str | None) -> bool:
    """Record the sign-in on the account, insert `rows` and settle the try, by one statement.

    Return False, without any change, if the account is not as it was read, if nobody has ended the session of the
    cookie `former`, which the browser sent, or if the account has no room for a session (`_has_room`).

    Raises:
        RuntimeError: a unit of work is open.
    """
    settlement = Settlement(verified.slots)
    values = verified.account.values() | counters.values_to_settle(settlement.counters)
    values |= _noting_values(verified.rehashed or verified.stored) | {"sign_ins_since": now() - limits.SIGN_INS.span}
    for row in rows:
        values |= _values(row)
    if former:
        values["former_digest"] = opaque.digest(former)
    admitting = _admitting(tuple(row.model for row in rows), settlement.deletes, has_former=bool(former))
    if admitting.run(values)[1] is None:
        return False
    for row in rows:
        log.count(row)
    return True


@lru_cache(maxsize=32)
def _admitting(tables: tuple[type[Base], ...], deletes: tuple[bool, ...], *, has_former: bool) -> Chain:
    former = exists().where(Session.digest == bindparam("former_digest"), liveness.unended())
    steps = [Step(_ACCOUNT, partial(_changed, ~former if has_former else true()), required=True)]
    steps += [Step(f"new_{table.__tablename__}", partial(_inserted, table)) for table in tables]
    return Chain([*steps, *counters.settling(deletes)], answer=_ACCOUNT)


def _changed(when: ColumnElement[bool], gates: Gates) -> UpdateBase:
    return _noting().where(account_state.is_unchanged(), _has_room(), when, *gates).returning(Account.id)


def _has_room() -> ColumnElement[bool]:
    moment, since = (bindparam(name, type_=UtcDateTime()) for name in ("signed_in_at", "sign_ins_since"))
    recent = func.count().filter(Session.auth_time > since)
    opened = func.count().filter(liveness.unended(), liveness.unexpired(moment))
    room = (recent < limits.SIGN_INS.tries) & (opened < limits.MOST_SESSIONS)
    return select(room).where(Session.account_id == Account.id).correlate(Account).scalar_subquery()


def _noting() -> Update:
    """Return the UPDATE of an account that has signed in; keep `updated_at`, which is for other changes.

    It also ends the rights of the browser that activated the account: it now needs the password.
    """
    return update(_table(Account)).values(
        last_sign_in_at=bindparam("signed_in_at", type_=UtcDateTime()),
        activated_in=None,
        password_hash=bindparam("hash_today"),
        updated_at=Account.updated_at,
    )


def _noting_values(password_hash: str | None) -> dict[str, Any]:
    return {"signed_in_at": now(), "hash_today": password_hash}


def _inserted(table: type[Base], gates: Gates) -> ReturningInsert[Any]:
    target = _table(table)
    columns = [column for column in target.columns if column is not target.autoincrement_column]
    values = (bindparam(_parameter(target, column.name), type_=column.type) for column in columns)
    row = select(*values).where(*gates or (true(),))
    return insert(target).from_select(columns, row, include_defaults=False).returning(*target.primary_key)


def _values(row: NewRow) -> dict[str, Any]:
    given = row.values
    if unknown := given.keys() - _table(row.model).columns.keys():
        raise TypeError(f"{row.model.__name__} has no columns {sorted(unknown)}")
    return {
        parameter: given[column] if column in given else default()
        for column, parameter, default in _parameters(row.model)
    }


@cache
def _parameters(model: type[Base]) -> list[tuple[str, str, Callable[[], Any]]]:
    target = _table(model)
    return [(column.name, _parameter(target, column.name), _default(column)) for column in target.columns]


def _default(column: Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    if default is None:
        return lambda: None
    return partial(default.arg, None) if default.is_callable else lambda: default.arg


def _parameter(table: Table, column: str) -> str:
    return f"{table.name}_{column}"


def _table(model: type[Base]) -> Table:
    return cast("Table", inspect(model).local_table)
