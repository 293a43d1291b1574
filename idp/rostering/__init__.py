"""Imports school files: AAF, SIECLE, ONDE and plain CSV. Every account comes from such a file.

An import has four parts, each in its folder:

1. `files` opens archives and text, and `readers` turn each format into the same `records`.
2. The records wait in a private SQLite database (`reconcile.schema`).
3. The phases of `reconcile.phases.order` compare them with the database and decide what happens (`reconcile.decide`).
4. `write` applies the result in short transactions that may be interrupted anywhere.

`idp roster check` stops before the last part. Formats: SDET annex on the AAF (`ficAlimMENESR`), the XML exports of
SIECLE, the CSV exports of ONDE.
"""
