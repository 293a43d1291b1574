"""« Imprimer les courriers » and `/impressions`: the letters of a class as a job."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.accounts.passwords.hasher import fold_provisional
from idp.clock import now, today
from idp.db import db, retry_unit_of_work
from idp.desk.jobs import lifecycle
from idp.desk.jobs.models import Job, JobFile, State
from idp.desk.letter import prints as letter_words
from idp.desk.staff.models import Role
from idp.letters import printing, secrets
from idp.outbox.queue import OutboxMessage
from idp.services import services
from tests.builders import LYCEE, PROVISIONAL, Build
from tests.commands.families import parent, pupil
from tests.desk.colleagues import Colleagues, post
from tests.desk.paper import last_job, secret_on, take
from tests.desk.test_letter import CHECKED, draw
from tests.desk.test_notices import plain
from tests.desk.trial_jobs import do_all

pytestmark = pytest.mark.usefixtures("paper")
PATH = "/classes/courriers?classe=6e+1"


class KilledError(BaseException):
    """The end of a process: nothing of the job handles it."""


@pytest.fixture
def family(build: Build) -> list[Account]:
    """Two parents without a letter in 6e 1, and one in 6e 2."""
    first, second = pupil(build, "6e 1"), pupil(build, "6e 2")
    return [
        parent(build, first, family_name="BERNARD"),
        parent(build, first, family_name="ADAM"),
        parent(build, second, family_name="ZOLA"),
    ]


def ask(browser: FlaskClient, path: str = PATH, **fields: str) -> Job:
    answer = post(browser, path, word="IMPRIMER", layout="letters", **fields)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return last_job()


def opens(account: Account, secret: str) -> bool:
    db.session.expire_all()
    hashed = db.session.get_one(Account, account.id).provisional_hash
    return bool(hashed) and services().hasher.verify(hashed, fold_provisional(secret), "sign_in")


def test_a_class_is_printed_in_the_order_of_names_and_handed_out_once(
    desk: Flask, colleagues: Colleagues, family: list[Account]
) -> None:
    browser = colleagues.signed_in()
    words = browser.get(PATH).get_data(as_text=True)
    assert ("Recevront un courrier : 2" in words, "ZOLA" in words) == (True, False)
    job = ask(browser)
    do_all()
    sheets = take(browser, job)
    assert [opens(account, secret_on(sheet)) for account, sheet in zip(reversed(family[:2]), sheets, strict=True)] == [
        True,
        True,
    ]
    assert f'href="/impressions/{job.id}/a-nouveau"' in browser.get("/impressions").get_data(as_text=True)


def test_a_print_that_nobody_took_counts_each_of_its_letters(
    desk: Flask, colleagues: Colleagues, family: list[Account]
) -> None:
    browser = colleagues.signed_in()
    ask(browser)
    do_all()
    [file] = db.session.query(JobFile)
    tile = r'<span class="count">2</span><span><b>Courriers que personne n’a pris'
    assert not re.search(tile, browser.get("/").get_data(as_text=True))
    file.expires_at = now()
    db.session.commit()
    assert re.search(tile, browser.get("/").get_data(as_text=True))
    assert "Recevront un courrier : 2" in browser.get(PATH).get_data(as_text=True)
    job = ask(browser)
    do_all()
    assert len(take(browser, job)) == 2
    assert "Recevront un courrier : 0" in browser.get(PATH).get_data(as_text=True)


def test_a_print_again_is_for_the_people_of_that_print_alone(
    desk: Flask, colleagues: Colleagues, build: Build, family: list[Account]
) -> None:
    browser = colleagues.signed_in()
    job = ask(browser)
    do_all()
    [adam, bernard] = [secret_on(sheet) for sheet in take(browser, job)]
    late = parent(build, pupil(build, "6e 1"), family_name="TARD")
    path = f"/impressions/{job.id}/a-nouveau"
    moved = family[0].children[0]
    moved.class_name = "6e 2"
    db.session.commit()
    page = browser.get(path).get_data(as_text=True).replace("\xa0", " ")
    assert "qui reçoivent un nouveau courrier : 2, et personne d’autre" in page
    assert "Tapez le mot IMPRIMER" in post(browser, path, word="non").get_data(as_text=True)
    again = ask(browser, path)
    assert ask(browser, path).id == again.id, "a second tap"
    do_all()
    sheets = take(browser, again)
    assert len(sheets) == 2
    assert not opens(family[1], adam)
    assert not opens(family[0], bernard)
    assert db.session.get_one(Account, late.id).provisional_hash is None
    family[1].guardianships[0].ended_at = now()
    db.session.commit()
    page = browser.get(path).get_data(as_text=True).replace("\xa0", " ")
    assert "Personnes qui n’ont plus de lien avec un élève d’ici : 1." in page


def test_no_valid_letter_is_replaced_without_the_typed_word(
    desk: Flask, colleagues: Colleagues, build: Build, family: list[Account]
) -> None:
    browser = colleagues.signed_in()
    assert "IMPRIMER" not in browser.get(PATH).get_data(as_text=True), "nobody has a valid letter"
    build.never_activated(children=[family[0].children[0]])
    for word in ("", "oui", "RAPPELER"):
        page = post(browser, PATH, word=word, layout="letters", renew="y")
        assert "Tapez le mot IMPRIMER" in page.get_data(as_text=True)
    assert db.session.query(Job).count() == 0
    assert post(browser, PATH, layout="letters").status_code == 303


def test_many_names_are_folded_by_class(
    desk: Flask, colleagues: Colleagues, family: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letter_words, "MOST_OPEN", 2)
    page = colleagues.signed_in().get("/classes/courriers?tout=1").get_data(as_text=True).replace("\xa0", " ")
    titles = re.findall(r"<details class=\"more\">\s*<summary>Recevront un courrier, (.*?)</summary>", page)
    assert titles == ["6e 1 : 2", "6e 2 : 1"]


def test_classes_and_prints_of_another_school_do_not_exist(
    desk: Flask, colleagues: Colleagues, build: Build, family: list[Account]
) -> None:
    pupil(build, "2de 7", LYCEE)
    browser, stranger = colleagues.signed_in(), colleagues.signed_in(Role.HEAD, uai=LYCEE)
    for path in ("courriers", "rappel", "liste", "liste.csv"):
        assert browser.get(f"/classes/{path}").headers["Location"] == "/classes"
        for query in ("?classe=2de+7", "?classe=%00", "?classe=" + "x" * 300):
            assert browser.get(f"/classes/{path}{query}").status_code == 404
    ask(browser)
    assert "6e 1" not in stranger.get("/impressions").get_data(as_text=True)


def test_valid_letters_are_renewed_only_when_asked(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    child = pupil(build, "6e 1")
    holder = build.never_activated(children=[child])
    active = build.active(children=[child])
    browser = colleagues.signed_in()
    page = browser.get(PATH).get_data(as_text=True)
    assert "Courrier encore valable : 1" in page
    assert "Mot de passe déjà choisi : 1" in page
    answer = post(browser, PATH, word="IMPRIMER", layout="letters")
    assert "personne à qui imprimer" in answer.get_data(as_text=True)
    job = ask(browser, renew="y")
    do_all()
    [sheet] = take(browser, job)
    assert opens(holder, secret_on(sheet))
    assert not opens(holder, PROVISIONAL)
    assert db.session.get_one(Account, active.id).password_hash is not None
    assert "checked" not in browser.get(PATH).get_data(as_text=True), "letters that are valid by now stay so"


@pytest.mark.row("K-14")
def test_a_class_is_printed_once_at_a_time(desk: Flask, colleagues: Colleagues, family: list[Account]) -> None:
    browser, colleague = colleagues.signed_in(), colleagues.signed_in(Role.HEAD)
    job = ask(browser)
    assert ask(browser).id == job.id, "a second tap"
    for other, fields in ((browser, {"renew": "y"}), (colleague, {})):
        answer = post(other, PATH, word="IMPRIMER", layout="letters", **fields)
        assert "déjà en cours" in answer.get_data(as_text=True)
    do_all()
    assert db.session.query(Job).filter_by(kind=job.kind).count() == 1
    assert ask(colleague, renew="y").id != job.id


@pytest.mark.parametrize("where", ["before", "after"])
def test_a_kill_leaves_no_secret_without_its_file(
    desk: Flask, colleagues: Colleagues, family: list[Account], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    browser = colleagues.signed_in()
    job = ask(browser)
    original = retry_unit_of_work

    def killed(step: Callable[[], None]) -> None:
        if where == "before":

            def half() -> None:
                step()
                raise KilledError

            original(half)
        original(step)

    def killed_afterwards(*args: object) -> None:
        printing_in_memory(*args)  # type: ignore[arg-type]
        raise KilledError

    printing_in_memory = printing.print_in_memory
    monkeypatch.setattr(secrets, "retry_unit_of_work", killed)
    if where == "after":
        monkeypatch.setattr(printing, "print_in_memory", killed_afterwards)
    with pytest.raises(KilledError):
        do_all()
    monkeypatch.undo()
    db.session.expire_all()
    files, state = db.session.query(JobFile).count(), db.session.get_one(Job, job.id).state
    printed = [account.provisional_hash is not None for account in db.session.query(Account).all()]
    assert (files, state, sum(printed)) == ((0, State.RUNNING, 0) if where == "before" else (1, State.DONE, 2))
    message = db.session.query(OutboxMessage).filter_by(kind=lifecycle.JOB).one()
    message.leased_until = now() - timedelta(seconds=1)
    db.session.commit()
    do_all()
    assert db.session.query(JobFile).count() == 1
    sheets = take(browser, job)
    assert [opens(account, secret_on(sheet)) for account, sheet in zip(reversed(family[:2]), sheets, strict=True)] == [
        True,
        True,
    ]


def test_a_print_that_is_cancelled_at_its_last_step_changes_no_secret(
    desk: Flask, colleagues: Colleagues, family: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = colleagues.signed_in()
    job = ask(browser)
    original = retry_unit_of_work

    def late(step: Callable[[], None]) -> None:
        lifecycle.cancel(db.session.get_one(Job, job.id))
        original(step)

    monkeypatch.setattr(secrets, "retry_unit_of_work", late)
    do_all()
    db.session.expire_all()
    assert db.session.get_one(Job, job.id).state is State.CANCELLED
    assert db.session.query(JobFile).count() == 0
    assert [account.provisional_hash for account in db.session.query(Account)] == [None] * 3
    assert "aucun mot de passe provisoire n’a changé" in browser.get(f"/travaux/{job.id}").get_data(as_text=True)


def test_accounts_that_another_print_has_just_printed_are_skipped_and_named(
    desk: Flask, colleagues: Colleagues, family: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = colleagues.signed_in()
    slow, fast = ask(browser), family[1]
    original = retry_unit_of_work

    def overtaken(step: Callable[[], None]) -> None:
        monkeypatch.setattr(secrets, "retry_unit_of_work", original)
        other = printing.PrintOrder(usernames=[fast.username])
        with_settings = (services().settings, services().hasher, other, lambda _pdfs, _report: None)
        printing.print_in_memory(*with_settings)
        original(step)

    monkeypatch.setattr(secrets, "retry_unit_of_work", overtaken)
    do_all()
    page = browser.get(f"/travaux/{slow.id}").get_data(as_text=True)
    assert "Compte modifié pendant l’impression : ADAM Noémie" in page
    [sheet] = take(browser, slow)
    assert opens(family[0], secret_on(sheet))


def test_an_address_without_room_and_a_large_school_are_told(
    desk: Flask, colleagues: Colleagues, build: Build, family: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    family[0].address_lines = ["Très longue ligne d’adresse, escalier, bâtiment et résidence des Grands Tilleuls"] * 6
    family[0].city = "Rivebelle"
    db.session.commit()
    browser = colleagues.signed_in()
    ask(browser)
    do_all()
    sentence = "un nom ou l’adresse est trop long pour le papier (à raccourcir dans la base élèves) : BERNARD Noémie."
    assert sentence in browser.get("/impressions").get_data(as_text=True)
    monkeypatch.setattr(printing, "IN_MEMORY", 0)
    job = ask(browser, "/classes/courriers?tout=1")
    do_all()
    assert "imprimez classe par classe" in browser.get(f"/travaux/{job.id}").get_data(as_text=True)


def test_a_print_has_a_file_for_each_class_and_several_for_a_large_one(
    desk: Flask, colleagues: Colleagues, family: list[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printing, "IN_A_CLASS_FILE", 1)
    browser = colleagues.signed_in()
    job = ask(browser, "/classes/courriers?tout=1")
    do_all()
    names = sorted(row.name for row in db.session.query(JobFile))
    day = today().isoformat()
    assert names == [f"courriers-6e-1-{day}-2.pdf", f"courriers-6e-1-{day}.pdf", f"courriers-6e-2-{day}.pdf"]
    assert len(take(browser, job)) == 3


UNTAKEN = "Courriers que personne n’a pris"


def test_a_letter_that_nobody_took_is_told_until_it_is_printed_again(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    build.ent()
    child = build.child()
    active, never = build.active(children=[child]), build.never_activated(children=[child], given_name="Yann")
    browser, elsewhere = colleagues.signed_in(), colleagues.signed_in(uai=LYCEE)
    draw(browser, active, **CHECKED)
    untaken = "mais personne n’a pris le fichier"
    assert "ce courrier est valable" in plain(browser.get(f"/comptes/{active.id}")), "its file waits"
    assert UNTAKEN not in plain(browser.get("/"))
    _let_files_expire()
    draw(browser, never)
    take(browser, last_job())
    page, family = (plain(browser.get(path)) for path in (f"/comptes/{active.id}", f"/familles/{child.id}"))
    assert (untaken in page, family.count(untaken), "ce courrier est valable" in page) == (True, 1, False)
    assert untaken not in plain(browser.get(f"/comptes/{never.id}")), "this one was taken"
    assert f'href="/impressions"><span class="count">1</span><span><b>{UNTAKEN}</b>' in plain(browser.get("/"))
    assert UNTAKEN not in plain(elsewhere.get("/"))
    draw(browser, active, **CHECKED)
    assert untaken not in plain(browser.get(f"/comptes/{active.id}")), "another letter waits"
    take(browser, last_job())
    _let_files_expire()
    assert "ce courrier est valable" in plain(browser.get(f"/comptes/{active.id}"))
    assert UNTAKEN not in plain(browser.get("/"))


def test_whoever_reads_an_account_reads_that_nobody_took_its_letter(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    build.ent()
    child = build.child()
    active = build.active(children=[child])
    secretary = colleagues.signed_in()
    draw(secretary, active, **CHECKED)
    _let_files_expire()
    untaken, wrong = "mais personne n’a pris le fichier", "Prenez le nouveau courrier"
    for role in (Role.HELPDESK, Role.DPO):
        page = plain(colleagues.signed_in(role).get(f"/comptes/{active.id}"))
        assert (untaken in page, wrong in page) == (True, False), role
    assert "Courrier à imprimer à nouveau" in plain(secretary.get(f"/recherche?q={active.username}"))
    active.disabled_at = now()
    db.session.commit()
    assert UNTAKEN not in plain(secretary.get("/")), "no letter opens a closed account"


def _let_files_expire() -> None:
    db.session.query(JobFile).update({"expires_at": now()})
    db.session.commit()
