"""Compares the records of an import with the database, phase by phase: `order` lists them."""
