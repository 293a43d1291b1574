"""« Gérer mon compte »: a signed-in person's own account. Owns `/mon-compte` and below.

The exception is « Ma charte », `/mon-compte/charte`, which the charter slice owns.
"""
