"""Alembic's environment: the caller passes the connection; `idp.tables` has the models."""

from alembic import context

from idp.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, compare_type=True)
with context.begin_transaction():
    context.run_migrations()
