"""Statements that are prepared once, and run on connections of their own: those of the hot requests."""
