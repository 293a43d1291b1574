"""`make bench-peers`: other providers, installed in a folder of their own and measured beside the service."""
