"""« Suspendre l’accès », « Rouvrir l’accès », « Ce n’est pas mon enfant »: a school closes an account or one tie."""
