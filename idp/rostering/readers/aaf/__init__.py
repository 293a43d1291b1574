"""Reads the AAF (`ficAlimMENESR`)."""
