"""Opens the store of a database."""

from sqlalchemy import create_engine, make_url

from idp.config import Settings
from idp.db import POSTGRESQL_PATIENCE, POSTGRESQL_SETTINGS
from idp.oidc.store.connections import Connections
from idp.oidc.store.contract import Store
from idp.oidc.store.postgresql import PostgresqlStore
from idp.oidc.store.sqlite import SqliteStore

_PLANS_BY_KEY = (
    "-c enable_seqscan=off -c enable_mergejoin=off -c enable_hashjoin=off -c plan_cache_mode=force_generic_plan"
)
"""Each statement reads few rows by key, whatever its parameters are. Without statistics, the planner would scan whole
indexes to merge or hash them. A plan that was made while a table was almost empty would scan that table, although it
grows by thousands of rows a minute."""


def open_store(settings: Settings) -> Store:
    """Return the store for the database of `settings`, with a pool of autocommitted connections of its own."""
    if settings.database_url.startswith("sqlite"):
        engine = create_engine(settings.database_url, connect_args={"timeout": 5.0})
        return SqliteStore(Connections(engine))
    url = make_url(settings.database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url,
        pool_size=settings.database_pool,
        max_overflow=0,
        pool_recycle=300,
        hide_parameters=True,
        pool_timeout=5,
        pool_use_lifo=True,  # the connection used last is in the caches of both processors
        pool_reset_on_return=None,
        connect_args={
            "autocommit": True,
            **POSTGRESQL_PATIENCE,
            "options": f"{POSTGRESQL_SETTINGS} {_PLANS_BY_KEY}",
        },
    )
    return PostgresqlStore(Connections(engine))
