"""Every form of the desk: what its page lets a person fill in comes back after the end of the session."""

import io
import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from lxml import html
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from idp.clock import now
from idp.db import db
from idp.desk import access, kept_forms
from idp.desk.staff.models import Role, StaffAccount, StaffSession
from tests.builders import COLLEGE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.contract import RIGHTS
from tests.desk.objects import NOT_WHOLE, OBJECTS, Ids
from tests.desk.test_kept_forms import NOTHING_DONE, move_session
from tests.desk.test_matrix import CHOICES, methods, rules, url

KEEPS_NOTHING = {
    "sign_in.prove": "a password and a code",
    "sign_in.proof_challenge": "nothing was typed",
    "sign_in.sign_out": "the session is over: that is what was asked for",
}
"""The forms for a signed-in person that keep nothing, and why."""
_FOR_ENGINEERS = {"ents.accept", "ents.refuse", "files.upload", "team.invite"}
"""The forms that only an engineer has, or that are longer for an engineer."""
_NEVER = {"hidden", "submit", "password", "file"}
"""The types of inputs whose values are not kept."""
FILLED = {
    ("classes.letters", "layout"),
    ("ents.accept", "uais"),
    ("ents.edit", "scopes"),
    ("ents.refuse", "reason"),
    ("ents.register", "release_username"),
    ("ents.secret", "way"),
    ("ents.write_charter", "text"),
    ("files.upload", "uai"),
    ("home.give_reason", "reason"),
    ("letter.draw", "document"),
    ("my_security.add_key", "passkey_name"),
    ("new_passwords.force", "word"),
    ("decisions.answer", "sentence"),
    ("people.erase", "word"),
    ("people.rectify", "note"),
    ("prints.again", "word"),
    ("school.edit", "adresse"),
    ("decisions.reopen", "reason"),
    ("decisions.close", "end"),
    ("team.invite", "ent"),
}
"""An endpoint and one of its fields, to show that the test below fills in the forms that it is about."""


def guarded_posts(desk: Flask) -> list[Rule]:
    """Return the routes that take a form of a signed-in person."""
    return [
        rule
        for rule in rules(desk)
        if "POST" in (rule.methods or ()) and access.need_of(desk, rule.endpoint).level is not access.Level.PUBLIC
    ]


def test_every_form_declares_what_it_keeps(desk: Flask) -> None:
    silent = {
        rule.endpoint
        for rule in guarded_posts(desk)
        if kept_forms.kept_fields(desk.view_functions[rule.endpoint]) is None
    }
    assert silent == set(KEEPS_NOTHING)


def form_to(page: TestResponse, path: str) -> Any:
    here = page.request.full_path.rstrip("?")
    tree: Any = html.fromstring(page.get_data(as_text=True))
    sent = [form for form in tree.xpath('//form[@method="post"]') if (form.get("action") or here) == path]
    return sent[0] if sent else None


def fields(form: Any) -> Iterator[Any]:
    for element in form.xpath(".//input|.//select|.//textarea"):
        if element.get("type", "text") not in _NEVER:
            yield element


def fill(form: Any) -> dict[str, str]:
    """Return values for the fields of a form: other values than those of the page, if there are any."""
    typed: dict[str, str] = {}
    for element in fields(form):
        name, kind = element.get("name"), element.get("type", element.tag)
        if kind in {"radio", "checkbox"}:
            typed[name] = element.get("value")
        elif kind == "select":
            typed[name] = element.xpath(".//option/@value")[-1]
        else:
            typed[name] = "2026-12-31" if kind == "date" else f"gardé {name}"[: int(element.get("maxlength", "30"))]
    return typed


def shown(form: Any) -> dict[str, str]:
    values: dict[str, str] = {}
    for element in fields(form):
        name, kind = element.get("name"), element.get("type", element.tag)
        if kind in {"radio", "checkbox"}:
            if element.get("checked") is not None:
                values[name] = element.get("value")
        elif kind == "select":
            values[name] = next(iter(element.xpath(".//option[@selected]/@value")), "")
        else:
            values[name] = ((element.text or "") if kind == "textarea" else element.get("value", "")).strip()
    return values


def class_with_letters(colleagues: Colleagues) -> Ids:
    """Make a class with a guardian who gets a letter, one who has one, and one to remind."""
    build, children = colleagues.build, [colleagues.build.child()]
    children[0].class_name = "6e A"
    db.session.commit()
    build.active(children=children, email=None, pending_email="p@exemple.fr", family_name="ADAM")
    build.never_activated(children=children, family_name="BERNARD")
    build.never_activated(children=children, family_name="CARON", provisional_hash=None)
    return {"classe": "6e A"}


class Forms:
    """The forms of the desk, and people who may send them."""

    def __init__(self, desk: Flask, colleagues: Colleagues) -> None:
        self.desk, self.colleagues = desk, colleagues
        self.staff = {role: self._member(role) for role in (Role.HEAD, Role.ENGINEER, Role.DPO)}

    def _member(self, role: Role) -> StaffAccount:
        staff = self.colleagues.person()
        self.colleagues.grant(staff, role)
        return staff

    def member_for(self, rule: Rule) -> StaffAccount:
        """Return a person who has the right to a route, for some forms the engineer."""
        right = access.need_of(self.desk, rule.endpoint).right
        roles = [role for role in self.staff if right is None or role in RIGHTS[right.name]]
        return self.staff[roles[-1] if rule.endpoint in _FOR_ENGINEERS else roles[0]]

    def sign_in(self, browser: FlaskClient, staff: StaffAccount) -> None:
        move_session(self.colleagues.session(staff, reason="ticket 4512")[0], browser)

    def path(self, rule: Rule) -> str:
        """Return the path of a route, with its query, about a new object."""
        if rule.rule.startswith("/classes"):
            return url(self.desk, rule, class_with_letters(self.colleagues))
        return url(
            self.desk, rule, OBJECTS[rule.endpoint](self.colleagues, COLLEGE) if rule.endpoint in OBJECTS else {}
        )

    def page(self, path: str) -> str:
        while not self.desk.url_map.bind("").test(path.partition("?")[0], "GET"):
            path = path.rpartition("/")[0]
        return path


def test_chosen_roles_come_back_on_the_page_that_names_them(desk: Flask, colleagues: Colleagues) -> None:
    forms = Forms(desk, colleagues)
    browser, rows = desk.test_client(), [colleagues.grant(colleagues.person(), Role.SECRETARY) for _ in range(3)]
    forms.sign_in(browser, forms.staff[Role.HEAD])
    colleagues.age_proofs()
    answer = post(browser, "/equipe/renouveler", "/etablissements", acces=[str(row.id) for row in rows[:2]])
    assert answer.headers["Location"] == "/preuve?suite=%2Fequipe%2Frenouveler"
    colleagues.age_proofs(timedelta())
    page = browser.get("/equipe/renouveler").get_data(as_text=True)
    assert [f'name="acces" value="{row.id}"' in page for row in rows] == [True, True, False]


def test_refused_form_links_to_a_page_that_can_be_opened(desk: Flask) -> None:
    browser, adapter = desk.test_client(), desk.url_map.bind("")
    for rule in guarded_posts(desk):
        path = re.sub(r"<uuid:\w+>", str(uuid.uuid4()), rule.rule).replace("<reply>", "rejet")
        refused = browser.post(path)
        tree: Any = html.fromstring(refused.get_data(as_text=True))
        [link] = tree.xpath('//a[normalize-space()="Ouvrir la page à nouveau"]/@href')
        assert (refused.status_code, adapter.test(link, "GET")) == (400, True), path
        assert (link == path) is adapter.test(path, "GET"), path
        assert path.startswith(link)


@pytest.mark.row("K-28")
def test_all_that_a_page_lets_a_person_fill_in_comes_back(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    build.ent()
    forms, filled = Forms(desk, colleagues), set()
    for rule in guarded_posts(desk):
        if rule.endpoint in NOT_WHOLE or rule.endpoint in KEEPS_NOTHING:
            continue
        path, staff, browser = forms.path(rule), forms.member_for(rule), desk.test_client()
        forms.sign_in(browser, staff)
        form = form_to(browser.get(forms.page(path)), path)
        if form is None:
            continue
        typed, token = fill(form), form.xpath('.//input[@name="csrf_token"]/@value')[0]
        db.session.query(StaffSession).update({"last_seen_at": now() - timedelta(hours=1)})
        db.session.commit()
        files = {"fichiers": (io.BytesIO(b"x"), "x.csv")} if rule.endpoint == "files.upload" else {}
        answer = browser.post(path, data={"csrf_token": token, **typed, **files})
        assert answer.headers["Location"].startswith("/connexion"), rule.endpoint
        forms.sign_in(browser, staff)
        again, later = browser.get(forms.page(path)), browser.get(forms.page(path))
        texts = [page.get_data(as_text=True) for page in (again, later)]
        assert [NOTHING_DONE in text for text in texts] == [True, False], rule.endpoint
        shown_again = shown(form_to(again, path))
        assert {name: shown_again.get(name) for name in typed} == typed, rule.endpoint
        filled |= {(rule.endpoint, name) for name in typed}
    assert filled >= FILLED, FILLED - filled


PAGES = {
    "academy.begin": "sign_in.sign_in",
    "accounts.resend": "accounts.show",
    "accounts.unlock": "accounts.show",
    "enrolment.begin_password": "enrolment.enrol",
    "enrolment.begin_passkey": "enrolment.enrol",
    "ents.publish": "ents.write_charter",
    "ents.refuse": "ents.accept",
    "ents.refuse_change": "ents.read_change",
    "ents.trial": "ents.detail",
    "ents.withdraw_change": "ents.detail",
    "files.decline": "files.compare",
    "files.import_": "files.compare",
    "files.send": "files.compare",
    "files.withdraw": "files.compare",
    "jobs.cancel": "jobs.show",
    "my_security.add_code": "my_security.show",
    "my_security.add_key": "my_security.show",
    "my_security.begin_code": "my_security.show",
    "my_security.challenge": "my_security.show",
    "my_security.draw_codes": "my_security.show",
    "my_security.end_session": "my_security.show",
    "my_security.remove_key": "my_security.show",
    "people.copy": "people.person",
    "people.rectify": "people.person",
    "sign_in.challenge": "sign_in.sign_in",
    "sign_in.proof_challenge": "sign_in.prove",
    "statistics.export": "statistics.show",
}
"""The page with the button of each route that takes a POST only; the sign-out is on each page."""


def buttons(desk: Flask) -> list[Rule]:
    shown = {rule.rule for rule in rules(desk) if "GET" in methods(rule)}
    return [rule for rule in rules(desk) if rule.rule not in shown and "POST" in methods(rule)]


def test_the_address_of_a_button_leads_to_its_page(desk: Flask, colleagues: Colleagues) -> None:
    browser, build = colleagues.signed_in(Role.HEAD), desk.url_map.bind("").build
    assert {rule.endpoint for rule in buttons(desk)} == {*PAGES, "sign_in.sign_out"}
    wrong = {}
    for rule in buttons(desk):
        ids = {name: "x" * 43 if name == "token" else uuid.uuid4() for name in rule.arguments} | CHOICES
        values = {name: ids[name] for name in rule.arguments}
        answer = browser.get(build(rule.endpoint, values))
        assert (answer.status_code, answer.headers["Allow"]) == (405, "OPTIONS, POST"), rule
        page = answer.get_data(as_text=True)
        if rule.endpoint == "sign_in.sign_out":
            assert "Revenir à la page du bouton" not in page
            continue
        expected = build(PAGES[rule.endpoint], values)
        if f'<a class="btn" href="{expected}">Revenir à la page du bouton</a>' not in page:
            wrong[rule.endpoint] = page[page.find('<div class="acts"') :][:200]
    assert wrong == {}
