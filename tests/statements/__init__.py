"""Prepared statements and the connections that they run on."""
