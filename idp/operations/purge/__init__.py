"""The daily purge: old rows and unused accounts."""
