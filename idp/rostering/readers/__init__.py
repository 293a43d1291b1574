"""Readers: each turns one format into the same records."""
