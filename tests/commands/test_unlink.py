"""`idp account unlink`: a letter that somebody else added gives its children back, and can be printed again."""

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, update

from idp.accounts import merging, school_notices
from idp.accounts.closings import Closing
from idp.accounts.models import Account, Guardianship, RosterAlias, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db, unit_of_work
from idp.families import closing
from idp.families.closing import Decision
from idp.oidc.logout.back_channel import LOGOUT
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import closed_as, dispute_tie, exclude_tie
from tests.commands.accounts import OPERATOR, living, reload_account, waiting
from tests.commands.conftest import Events, Run
from tests.commands.remains import DAY, purged
from tests.email_confirmation.post import html_of, post_office, text_of as mail_text
from tests.my_account.changes import enter
from tests.protocol.flow import tokens_for
from tests.waiting_guardians import wait

pytestmark = pytest.mark.row("R-16")

REASON = "deux homonymes, pièce d’identité vue"


def merged(build: Build, mine: Account, other: Account) -> None:
    with unit_of_work():
        merging.merge(build.settings, db.session.get_one(Account, mine.id), db.session.get_one(Account, other.id))
    db.session.expire_all()


def unlinked(act: Run, account: Account, code: int = 0) -> str:
    answer = act("account", "unlink", account.username, "--reason", REASON, "--yes")
    assert answer.code == code, answer.err
    return answer.err if code else answer.out


def children_of(account: Account) -> list[str]:
    return [child.given_name for child in reload_account(account).children]


def test_a_month_later_everything_goes_back_and_a_letter_is_printed(
    act: Run, app: Flask, build: Build, events: Events, tmp_path: Path
) -> None:
    ent = build.ent("Lycée", "lycee.test", uais=[LYCEE], backchannel_logout_uri="https://lycee.test/sortie")
    mine = build.active(children=[build.child("Malo")], roster_key="aaf:1")
    other = build.never_activated(children=[build.child("Inès", uai=LYCEE)], roster_key="aaf:2")
    db.session.add(RosterAlias(roster_key="siecle:2", account_id=other.id))
    db.session.commit()
    browser = enter(app.test_client(), mine)
    merged(build, mine, other)
    tokens_for(browser, ent)
    for row in (SchoolNotice, Account):
        db.session.execute(update(row).values(created_at=now() - 31 * DAY))
    db.session.execute(update(Account).where(Account.id == other.id).values(disabled_at=now() - 91 * DAY))
    db.session.commit()
    assert "accounts_removed" not in purged(act), "what was merged stays with the account that has it"
    with post_office(app) as office:
        assert unlinked(act, other) == f"{other.username} has its children again, and no letter: print one\n"
        [mail] = [mail for mail in office.deliver() if "n’est plus dans votre compte" in mail["Subject"]]
    assert (children_of(mine), children_of(other)) == (["Malo"], ["Inès"])
    after = reload_account(other)
    assert (after.roster_key, after.merge, after.disabled_at) == ("aaf:2", None, None)
    aliases = {alias.roster_key: alias.account_id for alias in db.session.scalars(select(RosterAlias))}
    assert aliases == {"siecle:2": other.id}
    assert living(mine) == 1, "the other mother keeps her own account"
    assert len(waiting(LOGOUT)) == 1, "the ENT of the lycée signs her out"
    assert mail["To"] == mine.email
    for part in (mail_text(mail), html_of(mail)):
        assert not [name for name in (other.username, mine.username, "Inès") if name in part]
    [notice] = db.session.scalars(select(SchoolNotice))
    assert (notice.settled_by, notice.sentence) == (OPERATOR, REASON)
    [event] = events("letter.unlinked")
    assert (event.account_id, event.actor) == (mine.id, OPERATOR)
    assert event.details == {"other": str(other.id), "uais": [LYCEE], "reason": REASON}
    printing = ("letters", "print", "--username", other.username, "--out", str(tmp_path / "lettre.pdf"))
    assert act(*printing).code == 0
    assert "is not merged into another account" in unlinked(act, other, code=1)


def test_closings_that_came_with_the_letter_go_back_and_later_disputes_do_not(act: Run, build: Build) -> None:
    names = ("exclue", "attend", "suspendu", "contesté", "écarté", "suspendu depuis")
    pupils = {name: build.child(name) for name in names}
    mine, other = build.active(children=[]), build.never_activated(children=list(pupils.values()))

    def tie(account: Account, name: str) -> Guardianship:
        return db.session.get_one(Guardianship, (account.id, pupils[name].id), populate_existing=True)

    came = now() - DAY
    exclude_tie(tie(other, "exclue"), since=came)
    wait(other, pupils["attend"].id)
    closing.close(other.id, Decision(reason="jugement", child=pupils["suspendu"].id))
    merged(build, mine, other)
    closing.close(mine.id, Decision(reason="jugement", child=pupils["suspendu depuis"].id))
    dispute_tie(tie(mine, "contesté"))
    exclude_tie(tie(mine, "écarté"))
    unlinked(act, other)
    assert children_of(mine) == []
    assert sorted(children_of(other)) == ["contesté", "écarté"]
    assert (closed_as(tie(other, "exclue")), tie(other, "exclue").ended_at) == ({"excluded"}, came)
    held = db.session.scalars(select(Closing).where(Closing.where_holding(now()))).all()
    assert {(row.account_id, row.child_id) for row in held} == {
        (other.id, pupils[name].id) for name in ("attend", "suspendu", "suspendu depuis")
    }
    open_ones = db.session.execute(select(SchoolNotice.kind, SchoolNotice.account_id).where(school_notices.is_open()))
    assert set(open_ones) == {(Kind.GUARDIAN_WAITS.value, other.id)}


def test_what_a_school_of_the_letter_closed_since_is_closed_for_both_people(act: Run, build: Build) -> None:
    mine = build.active(children=[build.child()])
    other = build.never_activated(children=[build.child(uai=LYCEE)])
    merged(build, mine, other)
    for uai in (COLLEGE, LYCEE):
        closing.close(mine.id, Decision(reason=uai, school=build.school(uai)))
    unlinked(act, other)
    held = db.session.scalars(select(Closing).where(Closing.where_holding(now()))).all()
    assert {(row.account_id, row.reason) for row in held} == {(mine.id, COLLEGE), (mine.id, LYCEE), (other.id, LYCEE)}
    assert reload_account(other).is_shut_at(now())


def test_an_account_that_is_left_without_children_is_closed(act: Run, build: Build) -> None:
    mine, other = build.active(children=[]), build.never_activated()
    merged(build, mine, other)
    unlinked(act, other)
    assert reload_account(mine).has_left
    assert reload_account(other).disabled_at is None


def test_of_two_merges_the_later_one_is_undone_first(act: Run, build: Build) -> None:
    first, second, third = (build.never_activated(children=[build.child(name)]) for name in ("Un", "Deux", "Trois"))
    merged(build, second, first)
    merged(build, third, second)
    assert f"unlink {second.username} first" in unlinked(act, first, code=1)
    unlinked(act, second)
    assert sorted(children_of(second)) == ["Deux", "Un"]
    unlinked(act, first)
    assert [children_of(account) for account in (first, second, third)] == [["Un"], ["Deux"], ["Trois"]]
