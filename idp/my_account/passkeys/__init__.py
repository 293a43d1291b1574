"""« Se connecter sans mot de passe »: the passkeys of the signed-in person."""
