"""The first page of the desk, the choice of a post, the reason for reading families' data."""
