"""Mails about unusual acts at the desk, to heads and engineers."""
