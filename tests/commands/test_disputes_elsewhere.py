"""A dispute at one school, seen from another school of the same account."""

import json
from pathlib import Path

from flask import Flask
from flask.testing import FlaskClient

from idp.families.refusals import Code
from tests import closed
from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.conftest import Run
from tests.commands.disputes import alarms, apply_change, dispute, notices, printed
from tests.my_account.changes import change_email, enter
from tests.pages import submit
from tests.settlements import REJECT, refused, settle


def test_a_school_does_not_settle_the_dispute_of_another_school_on_its_account(
    act: Run, browser: FlaskClient, build: Build, tmp_path: Path
) -> None:
    build.ent(uais=[COLLEGE, LYCEE])
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo)
    with refused(Code.SETTLED):
        settle(build.settings, account, REJECT, uai=LYCEE)
    [skipped] = printed(act, LYCEE, tmp_path / "lettres.pdf")["skipped"]
    assert COLLEGE in skipped["reason"]
    named = act("letters", "print", "--username", account.username, "--out", str(tmp_path / "lettre.pdf"))
    assert (named.code, COLLEGE in named.err) == (1, True)


def test_a_letter_under_a_dispute_of_another_school_counts_as_disputed(
    act: Run, browser: FlaskClient, build: Build
) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    dispute(browser, build.never_activated(children=[malo, ines]), malo)
    answer = act("letters", "status", "--json")
    rows = {row["uai"]: row for school in json.loads(answer.out)["schools"] for row in school["classes"]}
    assert (rows[LYCEE]["accounts"], rows[LYCEE]["expired"], rows[LYCEE]["disputed"]) == (1, 0, 1)
    assert (rows[COLLEGE]["accounts"], rows[COLLEGE]["disputed"]) == (1, 1), "in each class, as at the desk"


def test_a_dispute_of_one_child_is_not_counted_twice_in_its_school(
    act: Run, browser: FlaskClient, build: Build
) -> None:
    malo, ines = build.child(), build.child("Inès")
    dispute(browser, build.never_activated(children=[malo, ines]), malo)
    [school] = json.loads(act("letters", "status", "--json").out)["schools"]
    assert sum(row["disputed"] for row in school["classes"]) == 1
    assert sum(row["expired"] for row in school["classes"]) == 0


def test_a_school_with_only_disputed_ties_is_notified_of_a_contested_email(act: Run, app: Flask, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.active(children=[malo, ines])
    change_email(enter(app.test_client(), account))
    apply_change(app, build, account)
    closed.dispute(account.id, children=[ines.id])
    former = app.test_client()
    submit(former, former.get(alarms(build, account)[-1]))
    assert {notice[0] for notice in notices(account) if notice[1] == "email_contested"} == {COLLEGE, LYCEE}
