"""Reconciliation: the records of an import, compared with what the database holds."""
