"""A school that confirmed a dispute by mistake takes its decision back."""

import sys

import click
import pytest
from flask.testing import FlaskClient

from tests.builders import COLLEGE, LYCEE, Build
from tests.commands.accounts import reload_account
from tests.commands.conftest import Events, Run
from tests.commands.disputes import REASON, dispute, listed, tie

MISTAKE = "erreur de ligne, la mère est venue"


def test_a_confirmed_dispute_is_revoked(act: Run, browser: FlaskClient, build: Build, events: Events) -> None:
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    settle = ("account", "disputes", account.username)
    assert act(*settle, "--confirm", "--reason", REASON).code == 0
    shown = act("account", "show", account.username, "--school", COLLEGE)
    assert "state: disabled, tie ended by the school" in shown.out
    [line] = [line for line in shown.out.splitlines() if line.startswith("ended_by_school: ")]
    for part in (malo.student_id, malo.given_name, REASON, COLLEGE):
        assert part in line
    back = act(*settle, "--reject", "--reason", MISTAKE, "--uai", COLLEGE)
    assert back.code == 0, back.err
    assert "which the school had ended, is restored" in back.out
    opened = tie(account, malo)
    assert (opened.disputed_at, opened.ended_at, opened.excluded_at) == (None, None, None)
    assert (reload_account(account).disabled_at, reload_account(account).left_at) == (None, None)
    assert [
        (entry.details["before"], entry.details["after"], entry.details["reason"])
        for entry in events("dispute.settled")
    ] == [
        ("disputed", "excluded", REASON),
        ("excluded", "holds", MISTAKE),
    ]
    again = act(*settle, "--reject", "--reason", MISTAKE)
    assert (again.code, "no open dispute" in again.err) == (1, True)
    assert "ended_by_school" not in act("account", "show", account.username).out


def test_reject_settles_an_open_dispute_before_a_confirmed_one(act: Run, browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès")
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo, ines)
    settle = ("account", "disputes", account.username, "--reason", REASON)
    assert act(*settle, "--confirm", "--child", malo.student_id).code == 0
    assert act(*settle, "--reject").code == 0
    assert tie(account, malo).excluded_at is not None
    assert act(*settle, "--reject", "--child", malo.student_id).code == 0
    assert tie(account, malo).excluded_at is None
    assert listed(act) == []


def test_a_school_revokes_only_its_own_decision(act: Run, browser: FlaskClient, build: Build) -> None:
    malo, ines = build.child(), build.child("Inès", uai=LYCEE)
    account = build.never_activated(children=[malo, ines])
    dispute(browser, account, malo)
    settle = ("account", "disputes", account.username, "--reason", REASON)
    assert act(*settle, "--confirm").code == 0
    refused = act(*settle, "--reject", "--uai", LYCEE)
    assert (refused.code, "no open dispute" in refused.err) == (1, True)
    assert "ended_by_school" not in act("account", "show", account.username, "--school", LYCEE).out
    assert reload_account(account).disabled_at is None


@pytest.mark.parametrize(
    ("options", "answer", "ended"), [((), False, False), ((), True, True), (("--yes",), False, True)]
)
def test_confirm_asks_first_on_a_terminal(
    act: Run,
    browser: FlaskClient,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    *,
    answer: bool,
    ended: bool,
) -> None:
    malo = build.child()
    account = build.never_activated(children=[malo])
    dispute(browser, account, malo)
    prompts: list[str] = []

    def confirm(question: str, **_: object) -> bool:
        prompts.append(question)
        if not answer:
            raise click.Abort
        return True

    monkeypatch.setattr(type(sys.stdin), "isatty", lambda _self: True)
    monkeypatch.setattr(click, "confirm", confirm)
    act("account", "disputes", account.username, "--confirm", "--reason", REASON, *options)
    assert (tie(account, malo).excluded_at is not None) is ended
    assert [account.username in prompt for prompt in prompts] == ([] if options else [True])
