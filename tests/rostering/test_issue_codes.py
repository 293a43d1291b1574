"""Each issue that a phase tells is sorted: it follows from the files alone, or from the comparison."""

import ast
import inspect

from idp.rostering.reconcile import outcomes
from idp.rostering.reconcile.phases import (
    guardians,
    leavers,
    links,
    near_duplicates,
    outside,
    records,
    schools,
    students,
)
from idp.rostering.records import COMPARED, OF_THE_FILE

PHASES = (leavers, guardians, links, near_duplicates, outside, records, schools, students)


def test_every_code_of_the_phases_is_sorted() -> None:
    codes = {consequence.code for table in outcomes.OF_TABLE.values() for consequence in table.values()} - {""}
    codes |= {code for code, *_ in links._DISPUTES} | {code for code, _ in leavers._MESSAGES.values()}
    for phase in PHASES:
        for call in ast.walk(ast.parse(inspect.getsource(phase))):
            if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in {"tell_all", "Issue"}:
                codes |= {ast.literal_eval(code) for code in call.args[1:2] if isinstance(code, ast.Constant)}
    assert len(codes) > 20
    assert codes <= COMPARED | OF_THE_FILE, "add the code to COMPARED, or to OF_THE_FILE if no person follows from it"
    assert not COMPARED & OF_THE_FILE
