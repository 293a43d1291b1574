"""Accounts: people, schools, children, guardianships, passwords and one-time links.

Owns no page. The vocabulary is SDET's and AAF's. Names are kept verbatim, since ENT software compares them letter by
letter.
"""
