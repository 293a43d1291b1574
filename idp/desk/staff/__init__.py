"""The people who work at the desk: their accounts, roles, credentials and sessions."""
