"""Applies the plan of an import to the database, in short transactions."""
