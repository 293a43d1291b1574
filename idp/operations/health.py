"""`/healthz` (the process answers, touches nothing) and `/readyz` (database, migrations and a signing key are)."""

from functools import cache

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Response, make_response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from idp.clock import now
from idp.db import db
from idp.oidc.keys.ring import NoSigningKeyError
from idp.oidc.keys.rotation import SETTLED
from idp.oidc.models import SigningKey
from idp.paths import MIGRATIONS
from idp.services import services
from idp.web.declarations import for_programs, probe

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
@for_programs
@probe
def alive() -> Response:
    """Say that the process answers."""
    return make_response({"status": "ok"})


@blueprint.get("/readyz")
@for_programs
@probe
def ready() -> Response:
    """Return whether requests can be served; the first thing that is missing is named, nothing else is told."""
    missing = _missing()
    return make_response({"status": missing or "ok"}, 503 if missing else 200)


def _missing() -> str:
    """Look; outside a transaction, since on SQLite one that reads would wait for whoever writes."""
    try:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if MigrationContext.configure(connection).get_current_heads() != _needed():
                return "migrations"
            signs = SigningKey.retired_at.is_(None) & (SigningKey.active_from <= now() + SETTLED)
            algorithms = connection.scalars(select(SigningKey.alg).where(signs).distinct()).all()
        return "" if algorithms and all(_opens(algorithm) for algorithm in algorithms) else "signing key"
    except SQLAlchemyError:
        return "database"


@cache
def _needed() -> tuple[str, ...]:
    return tuple(ScriptDirectory(str(MIGRATIONS)).get_heads())


def _opens(algorithm: str) -> bool:
    """Return whether this process can sign: a key that another secret sealed is as good as none."""
    ring = services().server.ring
    try:
        ring.signer(algorithm)
    except NoSigningKeyError:
        ring.forget()  # a key that was made a moment ago must not wait for the next look at the table
        try:
            ring.signer(algorithm)
        except NoSigningKeyError:
            return False
    return True
