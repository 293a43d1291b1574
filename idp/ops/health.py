"""`/healthz` (the process answers) and `/readyz` (database, migrations and a signing key are there)."""

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, Response, make_response
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from idp.clock import now
from idp.db import db
from idp.oidc.models import SigningKey
from idp.paths import MIGRATIONS

blueprint = Blueprint("ops", __name__)


@blueprint.get("/healthz")
def alive() -> Response:
    """Say that the process answers."""
    return make_response({"status": "ok"})


@blueprint.get("/readyz")
def ready() -> Response:
    """Say whether requests can be served; the first thing that is missing is named, nothing else is told."""
    missing = _missing()
    return make_response({"status": missing or "ok"}, 503 if missing else 200)


def _missing() -> str:
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    try:
        with db.engine.connect() as connection:
            if MigrationContext.configure(connection).get_current_revision() != head:
                return "migrations"
            signs = (SigningKey.retired_at.is_(None)) & (SigningKey.active_from <= now())
            if connection.execute(select(SigningKey.kid).where(signs).limit(1)).first() is None:
                return "signing key"
    except SQLAlchemyError:
        return "database"
    return ""
