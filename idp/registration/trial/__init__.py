"""Checks an ENT before it opens."""
