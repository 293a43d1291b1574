"""Turns each format into the same records."""
