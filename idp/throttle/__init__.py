"""Rate limits: one table of limits (`limits.py`), counted in the database for all nodes together.

A try is counted before its work, by one statement, so that parallel tries cannot exceed a limit.
"""
