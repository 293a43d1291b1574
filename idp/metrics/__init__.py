"""Numbers about the running service, for Prometheus: counted by its own library, served on a port of their own."""
