"""Alembic's environment: the caller passes the connection and what to do after each revision; see `idp.tables`."""

from alembic import context

from idp.tables import metadata

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    transaction_per_migration=True,  # so that a revision keeps no lock while the next one waits for its own
    on_version_apply=attributes.get("on_version_apply", ()),
)
with context.begin_transaction():
    context.run_migrations()
