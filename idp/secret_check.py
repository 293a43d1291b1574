"""Recognises the secret key by a check value in the database.

A node with another secret key would read no signing key, no link of a mail and no form of the other nodes. The check
value is a digest of the secret key, keyed by that key: it does not help to guess 32 random bytes. It is one of the
digests of `noted_settings` (`idp.audit.changes`), which `idp db upgrade` and each start write.
"""

import sqlalchemy
from sqlalchemy import JSON, column, create_engine, make_url, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from idp import opaque
from idp.config import Settings

KEY = "IDP_SECRET_KEY"
DIGESTS = "digests"  # the member of the noted settings that holds the digests of secrets
ANOTHER_KEY = """\
IDP_SECRET_KEY is not the key of this database; nothing was done. Do one of these:
- Copy IDP_SECRET_KEY from a node that works, or from the backup of /etc/idp/environment.
- To replace the key on purpose, put the former one into IDP_SECRET_KEY_FALLBACKS.
- If the former key is lost: `idp config accept-secret-key` (docs/sauvegarde.md says what is lost with it)."""
_CONNECT_SECONDS = 5


def digest(secret: bytes, name: str, value: str) -> str:
    """Return the digest of the setting `name`, keyed by a secret key."""
    return opaque.keyed_value(opaque.derive_key(secret, "noted settings"), f"{name}={value}")


def check_value(secret: bytes) -> str:
    """Return the check value of a secret key."""
    return digest(secret, KEY, secret.decode())


def recognised(settings: Settings, value: str | None) -> bytes | None:
    """Return which of the secret key and its fallbacks has this check value, or None."""
    return next((secret for secret in settings.secrets if check_value(secret) == value), None)


def is_another_key(settings: Settings) -> bool:
    """Return whether the database is used with a key that is neither the secret key nor a fallback.

    A database that does not answer, or has no tables yet, tells nothing: the service reports that itself.
    """
    try:
        return not is_known(settings)
    except SQLAlchemyError:
        return False


def is_known(settings: Settings) -> bool:
    """Return whether the database knows the secret key or a fallback, or has no check value yet.

    Raises:
        SQLAlchemyError: the database does not answer, or has no tables.
    """
    value = stored(settings)
    return value is None or recognised(settings, value) is not None


def stored(settings: Settings) -> str | None:
    """Return the check value of the database, or None.

    Raises:
        SQLAlchemyError: the database does not answer, or has no tables.
    """
    limits = {"connect_timeout": _CONNECT_SECONDS}
    engine = create_engine(make_url(settings.database_url), poolclass=NullPool, connect_args=limits)
    noted = table("noted_settings", column("settings", JSON))
    with engine.connect() as connection:
        rows: sqlalchemy.ScalarResult[dict[str, dict[str, str]]] = connection.scalars(select(noted.c.settings))
        row = rows.first()
    return row.get(DIGESTS, {}).get(KEY) if row else None
