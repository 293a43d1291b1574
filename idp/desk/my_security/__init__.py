"""« Ma sécurité »: a person's own passkeys, password, recovery codes and sessions at the desk."""
