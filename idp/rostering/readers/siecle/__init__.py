"""Reads SIECLE's XML exports."""
