"""Client registration: by an operator, by an invitation, or dynamically (RFC 7591, RFC 7592)."""
