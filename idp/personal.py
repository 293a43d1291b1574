"""What a person's export does with a column or a table; each says it as its `info`.

Labels are French, since the person reads them. `idp.operations.personal_data.export` has the tables that are exported.
"""

SHOWN, HELD, LEFT_OUT = "shown", "held", "left_out"


def shown(label: str) -> dict[str, str]:
    """Return the `info` of a column that the export shows under a label."""
    return {SHOWN: label}


def held(label: str) -> dict[str, str]:
    """Return the `info` of a column that the export names and does not show: a secret, or a text about other people."""
    return {HELD: label}


def left_out(because: str) -> dict[str, str]:
    """Return the `info` of a column or a table that has no data about the person, or a copy of what is exported."""
    return {LEFT_OUT: because}


KEY = left_out("key of the row")
OWN = left_out("key of the person's own account")
ANYBODYS = left_out("key of the person's own account, or of another person's")
COPY = left_out("a copy of what is exported")
GENERATION = left_out("a counter of changes of the password")
STAFF = left_out("names a member of staff")
DIGEST = held("empreinte d’une valeur secrète")
