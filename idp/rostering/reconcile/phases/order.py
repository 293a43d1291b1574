"""Lists the phases of an import in their order, with the tables that each reads and writes.

A phase that inserts into or deletes from a table declares the table; a phase that updates it declares each column, as
`table.column`. A phase that creates an index reads its table. `asks_database` says that the phase reads the database of
the service. A test compares the declarations with what SQLite reports (`tests/rostering/test_phases.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from idp.rostering.reconcile import known
from idp.rostering.reconcile.phases import leavers, links, people, records, schools
from idp.rostering.reconcile.staging import Context


@dataclass(frozen=True, slots=True)
class Phase:
    """A step between the files and the plan."""

    run: Callable[[Context], None]
    reads: frozenset[str]
    writes: frozenset[str]
    asks_database: bool = False

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.run.__name__


def _phase(run: Callable[[Context], None], reads: str, writes: str, *, asks_database: bool = False) -> Phase:
    return Phase(run, frozenset(reads.split()), frozenset(writes.split()), asks_database)


_PERSON = "link student known_link known_account"

PHASES = (
    _phase(records.drop_former_links, "link student", "link"),
    _phase(known.copy_schools, "known_school", "known_school", asks_database=True),
    _phase(
        records.tell_apart, "student link", "student student.birth_date student.differs student.renamed link.student"
    ),
    _phase(
        records.refuse_copies,
        "school student guardian",
        "guardian.differs guardian.renamed school.differs student.fate guardian.fate issue",
    ),
    _phase(schools.find_schools, "school student known_school", "school.key school.uai student.uai"),
    _phase(schools.keep_only_school, "school student guardian link", "guardian link unread student school"),
    _phase(schools.find_scope, "school student known_school", "scope"),
    _phase(known.copy_children_of_scope, "scope student guardian", "known_child", asks_database=True),
    _phase(
        known.copy_people,
        "guardian link student known_child known_account known_link",
        "known_account known_alias known_child known_link",
        asks_database=True,
    ),
    _phase(records.drop_bad_emails, "guardian", "guardian.email issue"),
    _phase(
        schools.refuse_outside,
        "student guardian link known_school known_child known_alias known_account known_link outside_student "
        "outside_guardian outside_account",
        "outside_student outside_guardian outside_account shared_account student.fate student.outcome guardian.fate "
        "guardian.outcome link known_link known_child known_alias known_account issue",
        asks_database=True,
    ),
    _phase(
        records.find_same_pupils,
        "student link guardian known_child known_account known_link",
        "known_child.key unread",
    ),
    _phase(
        people.decide_students,
        "student known_child known_school",
        "student.child_id student.uai student.outcome student.fate issue",
    ),
    _phase(
        people.find_accounts,
        "guardian known_alias known_account",
        "guardian.account_id guardian.civility",
    ),
    _phase(
        people.compare_persons,
        f"guardian known_alias compared {_PERSON}",
        "compared known_account exchanged_key",
        asks_database=True,
    ),
    _phase(
        people.decide_guardians,
        "guardian link student known_alias compared exchanged_key",
        "guardian.outcome",
    ),
    _phase(people.refuse_retired_keys, "guardian retired_key", "retired_key guardian.outcome", asks_database=True),
    _phase(schools.keep_shared_accounts, "guardian shared_account", "guardian.outcome"),
    _phase(links.copy_closed, "", "protected_child closed_person", asks_database=True),
    _phase(links.doubt_corrections, "student link guardian known_link protected_child", "guardian.outcome"),
    _phase(
        people.apply_outcomes,
        "guardian compared",
        "guardian.fate guardian.account_id guardian.civility doubted_account replaced_key issue",
    ),
    _phase(
        leavers.find_former_accounts,
        "replaced_key kept_key known_account guardian",
        "kept_key replaced_key.closes issue",
        asks_database=True,
    ),
    _phase(
        links.find_links,
        "link student guardian known_alias known_account known_link known_child allowed_link excluded_link "
        "protected_child closed_person",
        "allowed_link allowed_link.authority allowed_link.wait excluded_link issue",
    ),
    _phase(leavers.find_absent, "student known_child unread", "absent_student student.lists_guardians"),
    _phase(
        leavers.find_ending_links,
        "student guardian link known_link allowed_link excluded_link exchanged_key absent_student ending_link unread",
        "ending_link lifted_exclusion",
    ),
    _phase(
        leavers.find_leaving_accounts,
        "ending_link excluded_link allowed_link replaced_key known_link known_account leaving_account",
        "leaving_account known_account closing_account",
        asks_database=True,
    ),
    _phase(
        people.find_changes,
        "student guardian known_child known_school known_account known_link allowed_link ending_link",
        "changed_student changed_guardian",
    ),
    _phase(
        people.find_near_duplicates,
        "guardian new_person near_duplicate",
        "new_person near_duplicate issue",
        asks_database=True,
    ),
    _phase(schools.tell_schools_without_name, "school known_school", "issue"),
    _phase(
        links.tell_left_out,
        "student link guardian known_alias known_account known_link allowed_link excluded_link leaving_account",
        "issue",
    ),
)


def run(context: Context) -> None:
    """Run all phases."""
    for phase in PHASES:
        phase.run(context)
        context.staging.flush()
