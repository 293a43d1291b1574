"""Counts the statements and commits of each request of a flow, at the database's side of the product."""
