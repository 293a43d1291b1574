"""The address of a button, opened as a page: nothing is done, and the page leads to that of the button."""

import uuid

from flask import Flask
from werkzeug.routing import Rule

from idp.desk.staff.models import Role
from tests.desk.colleagues import Colleagues
from tests.desk.test_matrix import CHOICES, methods, rules

PAGES = {
    "academy.begin": "sign_in.sign_in",
    "accounts.resend": "accounts.show",
    "accounts.unlock": "accounts.show",
    "enrolment.begin_code": "enrolment.enrol",
    "enrolment.challenge": "enrolment.enrol",
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
