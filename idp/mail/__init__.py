"""Mails: validation of emails, composition from `templates/mail/`, and SMTP.

The package has no table and knows no account: the handlers of the outbox call it.
"""
