"""Turn each format into the same records."""
