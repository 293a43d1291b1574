"""What a person does who lost the identifier or the password, without being signed in.

Owns `/identifiant-oublie`, `/mot-de-passe-oublie` and the link that leads to a new password. Both forms do the same
work and give the same answer whatever is typed; all that depends on an account happens later, in the worker, and is
told to its confirmed mailbox alone. Nobody is signed in here.
"""
