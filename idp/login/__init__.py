"""« Connexion »: identifier and password. Owns `/connexion`.

A right password of the account's own opens a session; a right provisional one opens an activation and nothing else.
Whatever is wrong, the page says the same, in the same time: it tells nobody which accounts exist or in what state they
are.
"""
