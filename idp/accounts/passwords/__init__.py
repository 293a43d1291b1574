"""Passwords: the hash, the policy, the list of stolen passwords, and the alarm for many wrong ones."""
