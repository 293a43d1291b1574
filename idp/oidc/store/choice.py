"""Chooses the store of the hot statements for a database, and gives it a pool of its own, autocommitted."""

from sqlalchemy import create_engine, make_url

from idp.config import Settings
from idp.db import POSTGRESQL_PATIENCE, POSTGRESQL_SETTINGS
from idp.oidc.store.contract import Connections, Store
from idp.oidc.store.postgresql import PostgresqlStore
from idp.oidc.store.sqlite import SqliteStore


def open_store(settings: Settings) -> Store:
    """Return the store for the database of `settings`, with its own small pool of autocommitted connections."""
    if settings.database_url.startswith("sqlite"):
        return SqliteStore(Connections(create_engine(settings.database_url, connect_args={"timeout": 5.0})))
    url = make_url(settings.database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_recycle=300,
        hide_parameters=True,
        pool_timeout=5,
        pool_reset_on_return=None,
        connect_args={
            "autocommit": True,
            "prepare_threshold": 0,
            **POSTGRESQL_PATIENCE,
            # nested loops are always right here; with a young table's statistics the planner would walk whole indexes
            "options": f"{POSTGRESQL_SETTINGS} -c enable_mergejoin=off -c enable_hashjoin=off",
        },
    )
    return PostgresqlStore(Connections(engine))
