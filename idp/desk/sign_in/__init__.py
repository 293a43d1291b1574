"""Signing in at the desk, proving again who one is, enrolling by an invitation, signing out."""
