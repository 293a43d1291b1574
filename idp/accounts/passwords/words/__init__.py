"""Our own lists of French words, and the estimate of a password's strength that uses them.

The lists are text files, one entry a line, the most frequent first: the estimate uses the rank. They were written for
this project. Accents are allowed; they are folded when the file is read. `long_passwords.filter` comes from
a list of others: see `lists.py`.
"""
