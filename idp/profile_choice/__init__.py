"""« Sélectionnez votre profil »: parents go on here, everybody else is shown their own door. Owns `/profil`."""
