"""Runs the phases of an import, the steps between the files and the plan, in their order.

A phase reads only tables that the files or the phases before it have filled (`tests/rostering/test_phases.py`).
"""

from idp.rostering.reconcile import known
from idp.rostering.reconcile.phases import leavers, links, people, records, schools
from idp.rostering.reconcile.staging import Context

PHASES = (
    records.drop_former_links,
    known.copy_schools,
    records.tell_apart,
    records.refuse_copies,
    schools.find_schools,
    schools.keep_only_school,
    schools.find_scope,
    known.copy_children_of_scope,
    known.copy_people,
    records.drop_bad_emails,
    schools.refuse_outside,
    records.find_same_pupils,
    people.decide_students,
    people.find_accounts,
    people.compare_persons,
    people.decide_guardians,
    people.refuse_retired_keys,
    schools.keep_shared_accounts,
    links.copy_closed,
    links.doubt_corrections,
    people.apply_outcomes,
    leavers.find_former_accounts,
    links.find_links,
    leavers.find_absent,
    leavers.find_ending_links,
    leavers.find_leaving_accounts,
    people.find_changes,
    people.find_near_duplicates,
    schools.tell_schools_without_name,
    links.tell_left_out,
)


def run(context: Context) -> None:
    """Run all phases."""
    for phase in PHASES:
        phase(context)
        context.staging.flush()
