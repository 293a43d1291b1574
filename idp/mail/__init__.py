"""Mails to families: the one validator of addresses, their composition from `templates/mail/`, and SMTP.

Owns no table and knows no account: the handlers of the slices say to whom and what; the outbox says when.
"""
