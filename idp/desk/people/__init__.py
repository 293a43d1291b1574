"""`/droits`: requests of access, rectification and erasure (GDPR articles 15, 16 and 17)."""
