"""« Décisions »: the notices that a school settles, and the accesses that it closes and reopens."""
