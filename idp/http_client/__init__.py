"""Outgoing HTTP requests: one deadline for the whole request, and no request to an internal IP."""
