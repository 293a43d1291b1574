"""« Suspendre l’accès » and « Rouvrir l’accès »: a school closes an account or one tie for a time."""
