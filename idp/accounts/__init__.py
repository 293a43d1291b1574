"""Who may sign in and for whom: accounts, schools, children, guardianships, passwords and one-time links.

Owns no page. The vocabulary is SDET's and AAF's; names are kept verbatim, since ENT software compares them letter by
letter.
"""
