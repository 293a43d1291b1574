"""Numbers about the running service, for Prometheus: counted in shared memory, served on a port of their own."""
