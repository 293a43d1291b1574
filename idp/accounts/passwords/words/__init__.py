"""What is easy to guess: our own lists of French words, and the estimate of a password's strength that uses them.

The lists are text files, one entry a line, the most usual first: rank is what an attacker's patience is measured by.
They were written for this project; accents are allowed in them, they are folded when read.
"""
