"""« Connexion »: identifier and password. Owns `/connexion`.

The account's own password opens a session; a provisional password opens an activation only. Every failure shows the
same text after the same time, so that nobody learns which accounts exist or their state.
"""
