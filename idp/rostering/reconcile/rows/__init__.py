"""Holds the tables of the staging database that `schema` has no room for."""
