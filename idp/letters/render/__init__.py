"""Renders letters as PDF pages and as slips."""
