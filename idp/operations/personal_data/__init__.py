"""A person's data: which columns hold them, their export and their erasure (GDPR articles 15, 17, 20)."""
