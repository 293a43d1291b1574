"""« Activez votre compte »: from the letter's secret to the person's own password.

Owns `/activation` and `/activation/non-representant`. It requires an interaction that a correct provisional password
marked. It opens no session and issues no code. Its last step is one transaction, which activates the account, issues
the link and enqueues its mail.
"""
