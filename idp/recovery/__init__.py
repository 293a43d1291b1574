"""What a person does who lost the identifier or the password. Owns `/identifiant-oublie` and `/mot-de-passe-oublie`.

Today both pages say what the school's desk does at once: a new letter. Nothing about any account is shown.
"""
