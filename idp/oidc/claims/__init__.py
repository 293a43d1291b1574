"""Claims: which ones a client receives, the `claims` parameter and the standard claims (Core 5)."""
