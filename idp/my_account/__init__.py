"""« Gérer mon compte »: what a signed-in person sees and decides of their own account. Owns `/mon-compte` and below.

« Ma charte » alone, `/mon-compte/charte`, is the charter slice's.
"""
