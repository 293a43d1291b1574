"""The roles of the desk as its contract has them, written here again: nothing of it is taken from the product."""

from idp.desk.staff.models import Role

AT_A_SCHOOL = frozenset({Role.SECRETARY, Role.HEAD})
AT_AN_ENT = frozenset({Role.ENT_OPERATOR})
RIGHTS: dict[str, frozenset[Role]] = {
    "READ_FAMILIES": AT_A_SCHOOL | {Role.HELPDESK, Role.DPO},
    "HELP_FAMILIES": AT_A_SCHOOL | {Role.HELPDESK},
    "PRINT_LETTER": AT_A_SCHOOL,
    "SUSPEND": AT_A_SCHOOL | {Role.HELPDESK},
    "REOPEN": frozenset({Role.HEAD}),
    "READ_NOTICES": AT_A_SCHOOL | {Role.HELPDESK, Role.DPO},
    "SETTLE_NOTICES": AT_A_SCHOOL,
    "IMPORT_FILES": AT_A_SCHOOL | {Role.ENGINEER},
    "DECIDE_FILES": frozenset({Role.HEAD}),
    "READ_JOBS": AT_A_SCHOOL | {Role.ENGINEER},
    "READ_CLASSES": AT_A_SCHOOL,
    "PRINT_CLASSES": AT_A_SCHOOL,
    "EDIT_SCHOOL": AT_A_SCHOOL | {Role.ENGINEER},
    "MANAGE_TEAM": frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.ENGINEER}),
    "MANAGE_ALL_TEAMS": frozenset({Role.ENGINEER}),
    "READ_ENTS": frozenset({Role.HEAD, Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER}),
    "MANAGE_ENTS": frozenset({Role.ENT_OPERATOR, Role.ENGINEER}),
    "DECIDE_ENTS": frozenset({Role.ENGINEER}),
    "READ_STATISTICS": AT_A_SCHOOL | {Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER},
    "READ_JOURNAL": AT_A_SCHOOL | {Role.ENT_OPERATOR, Role.HELPDESK, Role.DPO, Role.ENGINEER},
    "FORCE_PASSWORDS": frozenset({Role.HEAD, Role.ENGINEER}),
    "READ_RETENTION": frozenset({Role.DPO}),
    "SERVE_RIGHTS": frozenset({Role.DPO}),
}
"""The roles that have each right."""
SCOPES: dict[Role, str] = {
    Role.SECRETARY: "SCHOOL",
    Role.HEAD: "SCHOOL",
    Role.ENT_OPERATOR: "ENT",
    Role.HELPDESK: "ACADEMY",
    Role.DPO: "ACADEMY",
    Role.ENGINEER: "ACADEMY",
}
MANY_CLOSINGS: dict[Role, int] = {Role.SECRETARY: 5, Role.HEAD: 20, Role.HELPDESK: 10}
"""How many accesses that one person closes on one day are an alert."""
