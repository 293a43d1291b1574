"""`/comptes/<account>/courrier`: a letter at the counter."""

import re
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from idp.accounts import notices
from idp.accounts.models import Account, Merge
from idp.accounts.passwords.hasher import fold_provisional
from idp.clock import PARIS, now
from idp.db import db, retry_unit_of_work
from idp.desk import alerts as rules
from idp.desk.jobs.models import JobFile
from idp.desk.staff.models import Role
from idp.letters import recipients, secrets
from idp.letters.recipients import PrintError, Skip
from idp.outbox.queue import OutboxMessage
from idp.services import services
from idp.throttle import guard, limits
from idp.throttle.guard import Granted
from tests.builders import PASSWORD, PROVISIONAL, Build
from tests.closed import dispute_tie, suspend
from tests.desk.colleagues import Colleagues, post
from tests.desk.paper import last_job, secret_on, take
from tests.pages import form_token
from tests.rows import each_row

CHECKED = {"reason": "mot de passe et mail perdus", "came": "y", "document": "y", "guardian": "y"}


def again(account: Account) -> Account:
    db.session.expire_all()
    return db.session.get_one(Account, account.id)


def draw(browser: FlaskClient, account: Account, **fields: str) -> TestResponse:
    path = f"/comptes/{account.id}/courrier"
    return post(browser, path, generation=str(again(account).generation), layout="letter", **fields)


def opens(account: Account, secret: str) -> bool:
    hashed = again(account).provisional_hash
    return bool(hashed) and services().hasher.verify(hashed, fold_provisional(secret), "sign_in")


@pytest.mark.usefixtures("paper")
def test_a_letter_replaces_the_one_before_in_two_clicks(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    account, browser = build.never_activated(), colleagues.signed_in(proof_age=timedelta(hours=1))
    page = browser.get(f"/comptes/{account.id}/courrier").get_data(as_text=True)
    assert "Le mot de passe provisoire du courrier précédent ne marchera plus" in page
    answer = draw(browser, account)
    job = last_job()
    assert answer.headers["Location"] == f"/travaux/{job.id}"
    [sheet] = take(browser, job)
    taken = browser.get(f"/travaux/{job.id}").get_data(as_text=True)
    assert f'<a href="/comptes/{account.id}">Revenir au compte de {account.display_name}</a>' in taken
    assert account.username in sheet
    assert [opens(account, secret) for secret in (secret_on(sheet), PROVISIONAL)] == [True, False]
    acts = text("SELECT kind FROM audit WHERE staff_id IS NOT NULL AND client_id IS NULL ORDER BY id")
    kinds = db.session.execute(acts).scalars().all()
    assert kinds == ["account.read", "letter.drawn", "desk.file_taken"], "one entry for a visit"


@pytest.mark.row("K-05")
@pytest.mark.usefixtures("paper")
def test_the_letter_of_an_active_account_ends_its_password_and_tells_its_owner(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    account, browser = build.active(), colleagues.signed_in()
    page = browser.get(f"/comptes/{account.id}/courrier").get_data(as_text=True)
    assert "La personne sera prévenue par mail : n" in page
    assert "noemie.leroy@exemple.fr" not in page
    draw(browser, account, **CHECKED)
    [sheet] = take(browser, last_job())
    row = again(account)
    assert (row.password_hash, row.email, row.activated_at) == (None, None, None)
    assert [opens(account, secret) for secret in (secret_on(sheet), PASSWORD)] == [True, False]
    [message] = db.session.query(OutboxMessage).filter_by(kind=notices.NOTICE).all()
    assert message.payload["account"] == str(account.id)
    kinds = db.session.execute(text("SELECT kind FROM audit WHERE staff_id IS NOT NULL ORDER BY id")).scalars().all()
    assert {"letter.drawn", "letter.reissued", "desk.identity_checked"} <= set(kinds)


@pytest.mark.row("K-05")
@pytest.mark.usefixtures("paper")
def test_a_second_letter_of_an_account_that_has_been_active_needs_the_same_checks(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    account, browser = build.active(), colleagues.signed_in()
    draw(browser, account, **CHECKED)
    first = again(account).provisional_hash
    shown = browser.get(f"/comptes/{account.id}").get_data(as_text=True)
    assert shown.count("Nouveau courrier préparé") == 1, "one act is one line, though the journal has two entries"
    assert "Motif" in draw(browser, account).get_data(as_text=True)
    stale = colleagues.signed_in(proof_age=timedelta(minutes=11))
    fields = {"generation": str(again(account).generation), "layout": "letter", **CHECKED}
    answer = post(stale, f"/comptes/{account.id}/courrier", "/etablissements", **fields)
    assert "/preuve" in answer.headers["Location"]
    people, [skipped] = recipients.in_school(build.school(), None, renew=True)
    assert (people, skipped.skip) == ([], Skip.WAS_ACTIVE), "the letters of a class leave the account out"
    with pytest.raises(PrintError, match="has been active"):
        recipients.by_username([account.username], None, None, "")
    assert again(account).provisional_hash == first
    draw(browser, account, **CHECKED)
    assert again(account).provisional_hash != first
    [(_, letters, *_)] = db.session.execute(
        text("SELECT kind, count(*) FROM audit WHERE kind = 'letter.reissued' GROUP BY kind")
    ).all()
    assert letters == 2, "the alert about many letters counts both"


@pytest.mark.usefixtures("paper")
@pytest.mark.parametrize("missing", list(CHECKED))
def test_an_active_account_needs_a_reason_and_each_point(
    desk: Flask, colleagues: Colleagues, build: Build, missing: str
) -> None:
    account, browser = build.active(), colleagues.signed_in()
    page = draw(browser, account, **{**CHECKED, missing: ""} if missing == "reason" else _without(missing))
    assert "Un point à reprendre" in page.get_data(as_text=True)
    if missing != "reason":
        assert CHECKED["reason"] in page.get_data(as_text=True), "what was typed stays"
    assert again(account).password_hash is not None
    assert db.session.query(JobFile).count() == 0


def _without(name: str) -> dict[str, str]:
    return {key: value for key, value in CHECKED.items() if key != name}


@pytest.mark.usefixtures("paper")
def test_an_active_account_needs_a_fresh_proof(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    account, browser = build.active(), colleagues.signed_in(proof_age=timedelta(minutes=11))
    path = f"/comptes/{account.id}/courrier"
    proof = f"/preuve?suite=%2Fcomptes%2F{account.id}%2Fcourrier"
    assert browser.get(path).headers["Location"] == proof
    answer = post(browser, path, "/etablissements", generation="1", layout="letter", **CHECKED)
    assert answer.headers["Location"] == proof
    assert again(account).password_hash is not None


@pytest.mark.usefixtures("paper")
@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("disabled", "Ce compte est fermé"),
        ("disputed", "réglez d’abord ce signalement"),
        ("childless", "n’a plus d’enfant dans un établissement"),
        ("merged", "passés sur un autre compte"),
        ("suspended", "L’accès est suspendu"),
        ("tie suspended", "Pas de courrier pour ce compte"),
    ],
)
def test_a_page_says_why_there_is_no_letter(
    desk: Flask, colleagues: Colleagues, build: Build, state: str, words: str
) -> None:
    account, other = build.never_activated(), build.never_activated()
    tie = account.guardianships[0]
    match state:
        case "disabled":
            account.disabled_at = now()
        case "disputed":
            dispute_tie(tie)
        case "childless":
            tie.ended_at = tie.child.left_at = now()
        case "suspended":
            suspend(account.id)
        case "tie suspended":
            suspend(account.id, tie.child_id)
        case _:
            account.merge, account.disabled_at = Merge(into_id=other.id), now()
    db.session.commit()
    browser = colleagues.signed_in()
    page = browser.get(f"/comptes/{account.id}/courrier").get_data(as_text=True)
    assert words in page
    assert "Imprimer le courrier" not in page
    answer = post(browser, f"/comptes/{account.id}/courrier", "/etablissements", generation="0", layout="letter")
    assert words in answer.get_data(as_text=True)
    assert db.session.query(JobFile).count() == 0


def test_a_school_without_an_ent_prints_nothing_and_says_so(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    account = build.never_activated()
    page = colleagues.signed_in().get(f"/comptes/{account.id}/courrier").get_data(as_text=True)
    assert "Aucun ENT" in page


@pytest.mark.usefixtures("paper")
def test_a_form_that_is_sent_twice_prints_one_letter(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    account, browser = build.never_activated(), colleagues.signed_in()
    path = f"/comptes/{account.id}/courrier"
    first = post(browser, path, generation="0", layout="letter")
    job, hashed = last_job(), again(account).provisional_hash
    second = post(browser, path, generation="0", layout="letter")
    assert first.headers["Location"] == second.headers["Location"] == f"/travaux/{job.id}"
    assert again(account).provisional_hash == hashed
    colleague = colleagues.signed_in()
    page = post(colleague, path, generation="0", layout="letter").get_data(as_text=True)
    assert "Le compte a changé depuis l’ouverture de cette page" in page


@pytest.mark.usefixtures("paper")
def test_the_file_of_a_letter_is_named_by_its_moment_and_printed_again_once_taken(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    account, browser = build.never_activated(), colleagues.signed_in()
    draw(browser, account)
    job = last_job()
    [file] = db.session.query(JobFile).all()
    moments = [job.created_at.astimezone(PARIS) + timedelta(seconds=seconds) for seconds in range(60)]
    assert file.name in [f"courrier-{moment:%Y-%m-%d-%Hh%Mm%S}.pdf" for moment in moments], "it says when, and no name"
    assert "Fichier prêt pour Sylvie Marchand" in browser.get("/impressions").get_data(as_text=True)
    assert len(take(browser, job)) == 1
    page = browser.get("/impressions").get_data(as_text=True)
    assert re.search(r"Fichier pris le [^<]+ par Sylvie Marchand", page)
    assert ("Imprimer à nouveau" in page, "Prendre le fichier" in page) == (True, False)


@pytest.mark.usefixtures("paper")
def test_a_fault_before_the_commit_leaves_the_former_letter_and_no_file(
    desk: Flask, colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, browser = build.never_activated(), colleagues.signed_in()

    def fail(*_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(secrets, "reset_accounts", fail)
    page = draw(browser, account).get_data(as_text=True)
    assert "Rien n’a été imprimé" in page
    assert opens(account, PROVISIONAL)
    assert db.session.query(JobFile).count() == 0


@pytest.mark.usefixtures("paper")
def test_a_slip_has_the_same_secret(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    account, browser = build.never_activated(), colleagues.signed_in()
    post(browser, f"/comptes/{account.id}/courrier", generation="0", layout="slip")
    [sheet] = take(browser, last_job())
    assert opens(account, secret_on(sheet))


@pytest.mark.usefixtures("paper")
@each_row(
    ("lines", "why"),
    [
        (["Très longue ligne d’adresse, escalier, bâtiment et résidence des Grands Tilleuls"] * 6, "est trop long"),
        (["3 rue 漢字"], "a un caractère que le papier ne sait pas écrire"),
    ],
)
def test_an_address_that_cannot_be_printed_prints_nothing(
    desk: Flask, colleagues: Colleagues, build: Build, lines: list[str], why: str
) -> None:
    account, browser = build.never_activated(address_lines=lines, city="Rivebelle"), colleagues.signed_in()
    page = draw(browser, account).get_data(as_text=True).replace("\xa0", " ")
    assert f"Un nom ou l’adresse postale {why}" in page
    assert opens(account, PROVISIONAL)
    assert db.session.query(JobFile).count() == 0


@pytest.mark.usefixtures("paper")
def test_two_forms_at_the_same_time_print_one_letter(
    desk: Flask, colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, browser = build.never_activated(), colleagues.signed_in()
    path = f"/comptes/{account.id}/courrier"
    first: list[str] = []

    def overtaken(step: Callable[[], None]) -> None:
        monkeypatch.setattr(secrets, "retry_unit_of_work", retry_unit_of_work)
        first.append(post(browser, path, generation="0", layout="letter").headers["Location"])
        retry_unit_of_work(step)

    monkeypatch.setattr(secrets, "retry_unit_of_work", overtaken)
    second = post(browser, path, generation="0", layout="letter")
    assert [second.headers["Location"]] == first
    assert db.session.query(JobFile).count() == 1


class Counter:
    """A person at the counter whose last proof is old, and the number of first letters that the desk counts."""

    def __init__(self, colleagues: Colleagues) -> None:
        colleagues.build.ent()
        self.staff = colleagues.person()
        colleagues.grant(self.staff, Role.SECRETARY)
        self.browser, _ = colleagues.session(self.staff, proof_age=timedelta(hours=3))
        self.token = form_token(self.browser.get("/etablissements"))

    def send(self, account: Account) -> TestResponse:
        """Print a letter without looking at the account first, as a script would."""
        fields = {"csrf_token": self.token, "generation": str(again(account).generation), "layout": "letter"}
        return self.browser.post(f"/comptes/{account.id}/courrier", data=fields)

    def count(self, letters: int) -> None:
        for _ in range(letters):
            assert isinstance(guard.take(limits.FIRST_LETTERS, str(self.staff.id)), Granted)

    def is_full(self) -> bool:
        db.session.rollback()
        return guard.remaining_wait(limits.FIRST_LETTERS, str(self.staff.id)) > 0


@pytest.mark.row("K-30")
def test_ten_first_letters_an_hour_need_no_proof_and_more_do(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    thief = Counter(colleagues)
    thief.count(9)
    tenth, eleventh = build.never_activated(), build.never_activated()
    assert thief.send(tenth).headers["Location"].startswith("/travaux/")
    assert not opens(tenth, PROVISIONAL)
    proof = f"/preuve?suite=%2Fcomptes%2F{eleventh.id}%2Fcourrier"
    assert thief.send(eleventh).headers["Location"] == proof
    assert opens(eleventh, PROVISIONAL)
    assert thief.browser.get(f"/comptes/{eleventh.id}/courrier").headers["Location"] == proof, "before the click"
    other_session, _ = colleagues.session(thief.staff, proof_age=timedelta(hours=3))
    assert other_session.get(f"/comptes/{eleventh.id}/courrier").headers["Location"] == proof


def test_a_letter_after_a_proof_opens_the_next_ten(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    counter = Counter(colleagues)
    counter.count(10)
    assert counter.is_full()
    colleagues.age_proofs(timedelta())
    assert counter.send(build.never_activated()).headers["Location"].startswith("/travaux/")
    assert not counter.is_full()
    colleagues.age_proofs()
    counter.count(9)
    assert counter.send(build.never_activated()).headers["Location"].startswith("/travaux/")
    assert counter.is_full()


@pytest.mark.row("K-34")
@pytest.mark.parametrize(("days", "needs"), [(29, True), (31, False)])
def test_the_first_letter_of_a_guardian_whom_the_desk_has_just_imported_needs_a_proof(
    desk: Flask, colleagues: Colleagues, build: Build, days: int, *, needs: bool
) -> None:
    counter = Counter(colleagues)
    account = build.never_activated(is_from_desk=True, created_at=now() - timedelta(days=days))
    page, answer = counter.browser.get(f"/comptes/{account.id}/courrier"), counter.send(account)
    assert (page.status_code == 303) is needs, "before the page opens"
    assert answer.headers["Location"].startswith("/preuve?" if needs else "/travaux/")
    assert opens(account, PROVISIONAL) is needs


@pytest.mark.row("K-30")
def test_letters_of_a_script_are_opened_accounts_that_the_head_is_told_of(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    chief = colleagues.person("Henri Roux")
    colleagues.grant(chief, Role.HEAD)
    script = Counter(colleagues)
    script.count(10)
    for _ in range(rules.MOST_OPENED + 1):
        script.send(build.never_activated())  # each is refused: the tries count too
    rules.look(OutboxMessage())
    mails = db.session.query(OutboxMessage).filter_by(kind=rules.ALERT).all()
    assert [(mail.payload["alert"], mail.payload["recipient"]) for mail in mails] == [("many_accounts", str(chief.id))]
