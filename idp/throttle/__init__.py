"""Brakes: every limit in one table (`limits.py`), counted in the database so that all nodes agree.

A slot is taken before the work that it protects, by one statement: parallel tries cannot outrun the counter.
"""
