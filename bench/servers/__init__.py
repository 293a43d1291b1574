"""The servers that are measured: the product, and the common way to start and stop a server process."""
