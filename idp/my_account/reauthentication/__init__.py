"""« Confirmez que c’est vous »: the password again before access changes."""
