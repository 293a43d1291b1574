"""The acts on one family: its letter, its closings, its disputes, its merged letters. They contain no sentence.

Each act is one transaction with its journal entry. It locks the account's row first, as a sign-in does: after the act
has committed, no earlier session is alive (Z-05). What is not possible raises a `RefusedError` with a `Code`; the two
shells, `idp.cli` and `idp.desk`, have a sentence for each.
"""
