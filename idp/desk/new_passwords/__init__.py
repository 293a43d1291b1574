"""`/etablissement/mots-de-passe`: make the families of a school choose new passwords."""
