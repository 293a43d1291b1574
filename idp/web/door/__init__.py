"""Endpoints of the protocol, which are answered before Flask."""
