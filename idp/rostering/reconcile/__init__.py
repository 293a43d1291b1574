"""Compares the records of an import with the database, and decides what happens to each person."""
