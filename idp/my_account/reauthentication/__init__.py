"""« Confirmez que c’est vous »: asks for the password again before access changes."""
