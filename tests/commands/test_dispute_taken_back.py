"""A school that confirmed a dispute by mistake takes its decision back."""

from flask.testing import FlaskClient

from idp.families.refusals import Code
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import closed_as
from tests.commands.accounts import reload_account
from tests.commands.conftest import Events, Run
from tests.commands.disputes import dispute, tie
from tests.settlements import CONFIRM, REASON, REJECT, refused, settle

MISTAKE = "erreur de ligne, la mère est venue"


def test_a_confirmed_dispute_is_revoked(act: Run, browser: FlaskClient, build: Build, events: Events) -> None:
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    settle(build.settings, account, CONFIRM)
    shown = act("account", "show", account.username, "--school", COLLEGE)
    assert "state: disabled, tie ended by the school" in shown.out
    [line] = [line for line in shown.out.splitlines() if line.startswith("ended_by_school: ")]
    for part in (malo.student_id, malo.given_name, REASON, COLLEGE):
        assert part in line
    settle(build.settings, account, REJECT, reason=MISTAKE, reopens=True)
    opened = tie(account, malo)
    assert (closed_as(opened), opened.ended_at) == (set(), None)
    assert (reload_account(account).disabled_at, reload_account(account).has_left) == (None, False)
    assert [
        (entry.details["before"], entry.details["after"], entry.details["reason"])
        for entry in events("dispute.settled")
    ] == [
        ("disputed", "excluded", REASON),
        ("excluded", "holds", MISTAKE),
    ]
    with refused(Code.TIE_OPEN):
        settle(build.settings, account, REJECT, reason=MISTAKE, reopens=True)
    assert "ended_by_school" not in act("account", "show", account.username).out


def test_a_school_revokes_only_its_own_decision(act: Run, browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo)
    settle(build.settings, account, CONFIRM)
    with refused(Code.TIE_OPEN):
        settle(build.settings, account, REJECT, uai=LYCEE, reopens=True)
    assert "ended_by_school" not in act("account", "show", account.username, "--school", LYCEE).out
    assert reload_account(account).disabled_at is None
