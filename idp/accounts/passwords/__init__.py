"""Passwords: the hash, the policy, and the list of stolen passwords."""
