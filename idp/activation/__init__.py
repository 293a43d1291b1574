"""« Activez votre compte »: from the letter's secret to a password of one's own.

Owns `/activation` and `/activation/non-representant`. Reached only with an interaction that a right provisional
password marked. It opens no session and issues no code; its last step is one transaction: the account is activated, the
link is issued, its mail is in the outbox – or nothing is.
"""
