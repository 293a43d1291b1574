"""Rendering: letters as PDF pages, as slips, and as rows for a mail merge."""
