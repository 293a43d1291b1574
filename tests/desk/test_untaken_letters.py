"""A letter whose file nobody took is no paper: the pages say so, and it is printed again."""

from flask import Flask

from idp.clock import now
from idp.db import db
from idp.desk.jobs.models import JobFile
from idp.desk.staff.models import Role
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues
from tests.desk.paper import last_job, take
from tests.desk.test_letter import CHECKED, draw
from tests.desk.test_notices import plain

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
    for words in (untaken, "Courrier à imprimer à nouveau", "le nouveau courrier n’est pas encore imprimé"):
        assert (words in page, family.count(words)) == (True, 1), words
    for untrue in ("ce courrier est valable", "Prenez le nouveau courrier", "Il sert jusqu’au"):
        assert untrue not in page
    assert untaken not in plain(browser.get(f"/comptes/{never.id}")), "this one was taken"
    assert f'href="/impressions"><span class="count">1</span><span><b>{UNTAKEN}</b>' in plain(browser.get("/"))
    assert UNTAKEN not in plain(elsewhere.get("/"))
    assert "personne ne l’a pris" in plain(browser.get("/impressions"))
    draw(browser, active, **CHECKED)
    assert untaken not in plain(browser.get(f"/comptes/{active.id}")), "another letter waits"
    _let_files_expire()
    assert untaken in plain(browser.get(f"/comptes/{active.id}"))
    draw(browser, active, **CHECKED)
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
    rows = plain(secretary.get(f"/recherche?q={active.username}"))
    assert "Courrier à imprimer à nouveau" in rows
    assert "Nouveau courrier à utiliser" not in rows
    active.disabled_at = now()
    db.session.commit()
    assert UNTAKEN not in plain(secretary.get("/")), "no letter opens a closed account"


def _let_files_expire() -> None:
    db.session.query(JobFile).update({"expires_at": now()})
    db.session.commit()
