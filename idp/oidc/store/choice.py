"""Chooses the store of a database."""

from idp.oidc.store.contract import Store
from idp.oidc.store.postgresql import PostgresqlStore
from idp.oidc.store.sqlite import SqliteStore
from idp.statements.connections import Connections


def open_store(connections: Connections) -> Store:
    """Return the store for the database that the connections lead to."""
    return PostgresqlStore(connections) if connections.is_postgresql else SqliteStore(connections)
