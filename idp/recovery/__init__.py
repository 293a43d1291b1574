"""Recovery of a forgotten identifier or password, without a session.

Owns `/identifiant-oublie`, `/mot-de-passe-oublie` and the link that leads to a new password. Both forms do the same
work and give the same answer, whatever is typed. The worker does everything that depends on an account, and the result
goes to its confirmed mailbox only. Nobody is signed in here.
"""
