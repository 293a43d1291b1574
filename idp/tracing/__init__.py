"""Traces: which lines of the log, and which spans, belong to one request of a browser (W3C Trace Context)."""
