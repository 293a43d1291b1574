"""The letter that brings a parent to the service: an identifier and a provisional password, on paper.

Owns who gets a letter, the drawing of provisional passwords (OWASP ASVS 5, V 6.5.3), and the papers: a page per person
or slips, as one PDF which can be read aloud (PDF/UA-1), laid out for the window of a DL envelope, and the list for a
mail merge. No URL: an operator prints letters. What a parent types is folded by `idp.accounts.passwords.hasher`. A
secret in clear is in memory, in the pipes to our own processes, and on paper; in the database it is a slow hash.
"""
