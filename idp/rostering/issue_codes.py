"""Codes of issues that follow from the comparison with the database, not from the files alone.

A person who may import files and may not read families does not see to which lines these issues belong: a file of one
line would ask about one person.
"""

COMPARED = frozenset(
    {
        "change_of_unknown",
        "guardian_left",
        "guardian_missing",
        "guardian_waits",
        "key_changes_person",
        "key_of_other_person",
        "keys_exchanged",
        "name_corrected",
        "name_in_doubt",
        "namesake_starts_again",
        "near_duplicate",
        "no_legal_authority",
        "no_open_student",
        "no_student",
        "outside",
        "student_left",
        "student_missing",
        "student_school_unknown",
        "student_without_class",
        "student_without_representative",
        "tie_disputed",
        "tie_excluded",
    }
)
"""Codes of issues about a person whom the database knows, or does not know."""
WITHOUT_ACCOUNT = frozenset({"no_legal_authority", "no_open_student", "no_student", "student_left"})
"""Codes of issues that say why somebody has no account, as it is to be: nobody has to do anything."""
OF_THE_FILE = frozenset(
    {
        "bad_mail",
        "delta_of_one_school",
        "guardian_key_case",
        "guardian_key_twice",
        "other_school",
        "repeated_line",
        "school_key_twice",
        "school_without_name",
        "student_key_case",
        "student_key_twice",
    }
)
"""Codes of the other issues that the phases tell: about a school, or about what the files say of themselves."""
