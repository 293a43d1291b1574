"""« Sélectionnez votre profil »: parents continue, other people are told where they sign in. Owns `/profil`."""
