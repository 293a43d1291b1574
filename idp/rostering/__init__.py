"""School files in: AAF, SIECLE, ONDE and plain CSV, read into the same records, then reconciled with what is known.

Owns no page: `idp roster check` reads and tells, `idp roster import` does. One reader for each format yields
`records`; a `staging` area of the import's own holds them while they are checked; `reconcile` brings the database to
what the file says, in short transactions that may be cut anywhere. Formats: SDET annex on the AAF (`ficAlimMENESR`),
the XML exports of SIECLE, the CSV exports of ONDE. No account exists until a file brought it.
"""
