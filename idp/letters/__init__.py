"""The letter that brings a parent to the service: an identifier and a provisional password, on paper.

Owns the drawing of provisional passwords (OWASP ASVS 5, V 6.5.3) and the letters as one PDF, a page per person, which
can be read aloud (PDF/UA-1) and is laid out for the window of a DL envelope. No URL: an operator prints letters. What a
parent types is folded and hashed by `idp.accounts.passwords`; here a secret is in memory and in the PDF's bytes alone.
"""
