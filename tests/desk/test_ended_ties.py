"""Notices about ties that an import ended, and what follows an answer: each is true at that moment."""

import pytest

from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.accounts.school_notices import Kind
from idp.clock import now
from idp.db import db
from idp.desk.decisions.answers import OF_ENDED_TIE
from idp.desk.decisions.words import Answer
from idp.desk.staff.models import Role
from tests.builders import Build
from tests.closed import closed_as, settle_dispute
from tests.desk.colleagues import Colleagues
from tests.desk.test_notices import CHECKED, answered, disputed, noticed, plain, reloaded, tie_of


@pytest.mark.parametrize("answer", list(OF_ENDED_TIE))
def test_a_disputed_tie_that_an_import_ended_is_answered_as_it_was(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    account, notice = disputed(build)
    tie_of(account).ended_at = ended = now()
    db.session.commit()
    browser = colleagues.signed_in()
    page = plain(browser.get(f"/signalements/{notice.id}"))
    assert "Ce signalement ne ferme donc plus le compte." in page
    assert "le compte est fermé et" not in page
    assert browser.get(f"/signalements/{notice.id}/fichier").status_code == 404
    assert "finit tout de suite" not in plain(browser.get(f"/signalements/{notice.id}/{answer.value}"))
    result = answered(browser, notice, answer)
    assert "avait déjà fini" in plain(browser.get(result.headers["Location"]))
    tie = tie_of(account)
    assert ("disputed" in closed_as(tie), tie.ended_at) == (False, ended), "the dispute does not return with the tie"
    assert ("excluded" in closed_as(tie)) is (answer is not Answer.WAS_WRONG)
    assert reloaded(notice).settled_at is not None


def half_ended(build: Build) -> tuple[Account, SchoolNotice, dict[str, Guardianship]]:
    """Return a disputed account with two pupils, the notice, and its ties by given name: an import ended Zoé's."""
    account, notice = disputed(build, build.child("Malo"), build.child("Zoé"))
    ties = {tie.child.given_name: tie for tie in account.guardianships}
    ties["Zoé"].ended_at = now()
    db.session.commit()
    return account, notice, ties


@pytest.mark.parametrize("answer", [Answer.RIGHT, Answer.REJECT, Answer.FILE])
def test_an_answer_for_all_pupils_settles_the_ended_tie_too(
    colleagues: Colleagues, build: Build, answer: Answer
) -> None:
    _, notice, ties = half_ended(build)
    browser = colleagues.signed_in()
    assert "Ce lien a déjà fini." in plain(browser.get(f"/signalements/{notice.id}/{answer.value}"))
    assert answered(browser, notice, answer).status_code == 200, "which pupil is not said"
    assert answered(browser, notice, answer, child="tous").status_code == 303
    assert reloaded(notice).settled_at is not None
    confirms = answer is not Answer.REJECT
    assert {name: (tie.is_unended, closed_as(tie)) for name, tie in ties.items()} == {
        "Malo": (not confirms, {"excluded"} if confirms else set()),
        "Zoé": (False, {"excluded"} if confirms else set()),
    }


@pytest.mark.parametrize("first", ["Malo", "Zoé"])
def test_an_answer_for_one_pupil_keeps_the_notice_open_for_the_other(
    colleagues: Colleagues, build: Build, first: str
) -> None:
    _, notice, ties = half_ended(build)
    browser = colleagues.signed_in()
    result = answered(browser, notice, Answer.RIGHT, child=ties[first].child_id.hex)
    assert "Le signalement attend encore votre réponse pour les autres." in plain(
        browser.get(result.headers["Location"])
    )
    assert reloaded(notice).settled_at is None
    assert {name for name, tie in ties.items() if "disputed" in closed_as(tie)} == {"Malo", "Zoé"} - {first}
    assert [name for name, tie in ties.items() if "excluded" in closed_as(tie)] == [first]
    last = Answer.WAS_WRONG if first == "Malo" else Answer.REJECT
    assert answered(browser, notice, last).status_code == 303
    assert reloaded(notice).settled_at is not None
    assert not [name for name, tie in ties.items() if "disputed" in closed_as(tie)]
    assert ties["Malo"].is_unended is (first == "Zoé")
    assert not ties["Zoé"].is_unended


def test_only_the_head_confirms_a_call_about_a_tie_that_ended(colleagues: Colleagues, build: Build) -> None:
    account, notice = disputed(build)
    tie_of(account).ended_at = now()
    reloaded(notice).taken_by = ["somebody"]
    db.session.commit()
    browser = colleagues.signed_in()
    assert browser.get(f"/signalements/{notice.id}/{Answer.WAS_RIGHT.value}").status_code == 404
    assert browser.get(f"/signalements/{notice.id}/{Answer.WAS_WRONG.value}").status_code == 200


def test_a_new_guardian_who_may_enter_gets_a_letter(colleagues: Colleagues, build: Build) -> None:
    account = build.never_activated(provisional_hash=None, provisional_expires_at=None)
    notice = noticed(build, Kind.GUARDIAN_WAITS, account)
    browser = colleagues.signed_in(Role.HEAD)
    result = answered(browser, notice, Answer.ADMIT)
    assert f"Imprimer un courrier pour {account.display_name}" in plain(browser.get(result.headers["Location"]))


def test_a_notice_whose_disputed_tie_is_gone_is_only_noted(colleagues: Colleagues, build: Build) -> None:
    account, notice = disputed(build)
    settle_dispute(account.id)
    db.session.commit()
    browser = colleagues.signed_in()
    assert browser.get(f"/signalements/{notice.id}/raison").status_code == 404
    assert answered(browser, notice, Answer.FILE).status_code == 303
    assert reloaded(notice).settled_at is not None


def test_a_refusal_says_in_french_what_to_do(colleagues: Colleagues, build: Build) -> None:
    account = build.active(contested_at=now(), contested_email=None)
    notice = noticed(build, Kind.EMAIL_CONTESTED, account)
    answer = answered(colleagues.signed_in(), notice, Answer.RIGHT)
    assert "Plusieurs anciennes adresses se contredisent" in plain(answer)
    assert CHECKED in plain(answer)
    assert reloaded(notice).settled_at is None
