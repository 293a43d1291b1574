"""The roles of the desk as its contract has them, written here again: nothing of it is taken from the product."""

from idp.desk.staff.models import Role

AT_A_SCHOOL = frozenset({Role.SECRETARY, Role.HEAD})
AT_AN_ENT = frozenset({Role.ENT_OPERATOR})
RIGHTS: dict[str, frozenset[Role]] = {
    "READ_FAMILIES": AT_A_SCHOOL | {Role.HELPDESK, Role.DPO},
    "HELP_FAMILIES": AT_A_SCHOOL | {Role.HELPDESK},
    "PRINT_LETTER": AT_A_SCHOOL,
    "CLOSE": AT_A_SCHOOL | {Role.HELPDESK},
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
NEEDS: dict[str, str] = {
    "POST": "home.give_reason home.today jobs.cancel jobs.content jobs.hand_out jobs.show jobs.take",
    "SIGNED_IN": (
        "home.choose my_security.add_code my_security.add_key my_security.begin_code "
        "my_security.challenge my_security.draw_codes my_security.end_session my_security.remove_key "
        "my_security.show sign_in.proof_challenge sign_in.prove sign_in.sign_out"
    ),
    "DECIDE_ENTS": "ents.accept ents.accept_change ents.read_change ents.refuse ents.refuse_change",
    "DECIDE_FILES": "files.decline",
    "EDIT_SCHOOL": "school.edit school.preview school.show",
    "FORCE_PASSWORDS": "new_passwords.force new_passwords.show",
    "HELP_FAMILIES": "accounts.passkeys accounts.remove_passkeys accounts.resend accounts.unlock",
    "IMPORT_FILES": (
        "files.compare files.import_ files.problems files.problems_csv files.send files.sheet files.show "
        "files.upload files.withdraw"
    ),
    "MANAGE_ENTS": (
        "ents.draft ents.edit ents.publish ents.register ents.secret ents.trial ents.withdraw_change ents.write_charter"
    ),
    "MANAGE_TEAM": "team.end team.give_back team.invite team.renew team.show",
    "PRINT_CLASSES": "classes.letters prints.again prints.show",
    "PRINT_LETTER": "letter.draw letter.show",
    "READ_CLASSES": "classes.names classes.names_csv classes.remind classes.show",
    "READ_ENTS": "ents.detail ents.read_charter ents.show",
    "READ_FAMILIES": "accounts.family accounts.show search.search",
    "READ_JOURNAL": "journal.export journal.show",
    "READ_NOTICES": "decisions.notice decisions.to_decide",
    "READ_RETENTION": "people.show",
    "READ_STATISTICS": "statistics.export statistics.show",
    "REOPEN": "decisions.reopen decisions.restore",
    "SERVE_RIGHTS": "people.confirm people.copy people.erase people.erased people.find people.person people.rectify",
    "SETTLE_NOTICES": "decisions.answer decisions.call",
    "CLOSE": "decisions.close decisions.closed decisions.in_force",
}
"""The routes that need each right; without a right, those for a person with a post, and for a signed-in person."""
FRESH = (
    "accounts.passkeys accounts.remove_passkeys "
    "decisions.call decisions.restore classes.letters ents.accept ents.accept_change ents.draft "
    "ents.edit ents.publish ents.read_change ents.refuse ents.refuse_change ents.register ents.secret "
    "files.import_ files.problems_csv files.sheet journal.export my_security.add_code "
    "my_security.add_key my_security.begin_code my_security.challenge my_security.draw_codes "
    "my_security.end_session my_security.remove_key my_security.show new_passwords.force "
    "new_passwords.show people.confirm people.copy "
    "people.erase people.erased people.find people.person people.rectify prints.again school.edit "
    "decisions.reopen decisions.close team.end team.give_back team.invite team.renew"
)
"""The routes that need a proof of the last five minutes, whatever they are asked for."""
_OF_FAMILIES = frozenset({"READ_FAMILIES", "HELP_FAMILIES", "CLOSE", "READ_NOTICES", "SERVE_RIGHTS"})
ASKS_REASON: dict[Role, frozenset[str]] = {
    Role.HELPDESK: _OF_FAMILIES,
    Role.DPO: _OF_FAMILIES | {"READ_JOURNAL"},
}
"""The rights whose pages ask a role of the académie for a reason first."""
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
