"""Every route of the desk × every role × own scope, other school, expired role, disabled person, stale proof.

The routes are those of the application: a new route is tried as soon as it exists. A route with an object's id needs an
entry in `tests.desk.objects`, which makes the object in a school, so that the test can ask for those of the own school
and of another.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_babel import lazy_gettext as _l
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from idp.accounts.closings import Closing
from idp.accounts.models import Account, Child, School, SchoolNotice
from idp.audit import log
from idp.audit.models import AuditEntry
from idp.clients.models import Client
from idp.clock import now
from idp.db import db
from idp.desk import access
from idp.desk.access import ROLES, Right, scope
from idp.desk.jobs import kinds
from idp.desk.jobs.kinds import Finished, Kind
from idp.desk.staff import sessions
from idp.desk.staff.models import Role, StaffAccount, StaffRole, StaffSession
from idp.desk.team import colleagues as team
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import suspend
from tests.desk.colleagues import Colleagues
from tests.desk.contract import ASKS_REASON, AT_A_SCHOOL, AT_AN_ENT, FRESH, NEEDS, RIGHTS, SCOPES
from tests.desk.objects import NARROWER, NOT_WHOLE, OBJECTS, Ids, Kept
from tests.pages import form_token

SIGN_IN, PROOF, REASON, CHOICE = "/connexion", "/preuve", "/motif", "/etablissements"
LEADS_FIRST = (SIGN_IN, PROOF, REASON, CHOICE)
"""The pages that come before a page."""
CHOICES = {"reply": "rejet"}
"""Variable parts that are words."""
BOUNDED = AT_A_SCHOOL | AT_AN_ENT
"""The roles whose scope is less than the académie."""


@pytest.fixture(autouse=True)
def trial() -> Iterator[None]:
    back = kinds.page("home.today", _l("Revenir à « Aujourd’hui »"))
    kinds.KINDS["trial"] = Kind("trial", _l("Essai"), Right.READ_JOURNAL, lambda _: Finished({}), lambda _: [], back)
    yield
    del kinds.KINDS["trial"]


def rules(desk: Flask) -> list[Rule]:
    return sorted(
        (rule for rule in desk.url_map.iter_rules() if rule.endpoint != "static"), key=lambda rule: rule.endpoint
    )


def methods(rule: Rule) -> list[str]:
    """Return the methods of a route that a browser uses."""
    return [method for method in ("GET", "POST") if method in (rule.methods or ())]


def url(desk: Flask, rule: Rule, ids: Ids) -> str:
    values = {name: ids[name] for name in rule.arguments} if rule.arguments else ids
    path: str = desk.url_map.bind("").build(rule.endpoint, values)
    return path


class Visitor:
    """A browser with a form token, which a refusal does not renew."""

    def __init__(self, browser: FlaskClient, page: str = "/etablissements") -> None:
        self.browser = browser
        self.token = form_token(browser.get(page))

    def ask(self, method: str, path: str, *, token: bool = True) -> TestResponse:
        if method == "GET":
            return self.browser.get(path)
        return self.browser.post(path, data={"csrf_token": self.token} if token else {})


def first_page(answer: TestResponse) -> str:
    """Return the page that comes first, empty if the view ran."""
    location = answer.headers.get("Location", "").partition("?")[0]
    return location if answer.status_code == 303 and location in LEADS_FIRST else ""


def tried(desk: Flask) -> Iterator[tuple[Rule, str]]:
    """Yield the routes that need somebody, by method, except the end of the session."""
    for rule in rules(desk):
        if is_guarded(desk, rule) and rule.endpoint != "sign_in.sign_out":
            yield from ((rule, method) for method in methods(rule))


def is_guarded(desk: Flask, rule: Rule) -> bool:
    return access.need_of(desk, rule.endpoint).level is not access.Level.PUBLIC


def right_of(desk: Flask, rule: Rule) -> Right | None:
    return access.need_of(desk, rule.endpoint).right


def has_object(rule: Rule) -> bool:
    """Return whether a route is about something of a school."""
    return bool(rule.arguments) or rule.endpoint in OBJECTS


def objects(rule: Rule, colleagues: Colleagues, uai: str) -> Ids:
    """Return the values of the variable parts of a route."""
    return OBJECTS[rule.endpoint](colleagues, uai) if has_object(rule) else {}


@contextmanager
def about(rule: Rule, method: str, role: Role) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{method} {rule.rule} ({rule.endpoint}) as {role.value}: {error}") from error


def member(colleagues: Colleagues, build: Build, role: Role, uai: str = COLLEGE) -> StaffAccount:
    staff = colleagues.person()
    client_id = build.ent().client_id if role is Role.ENT_OPERATOR else ""
    colleagues.grant(staff, role, uai=uai, client_id=client_id)
    return staff


def overs() -> Iterator[Any]:
    """Yield each role with each end of an access.

    Before the sign-in, the role makes no difference: `make test` tries all roles with one end, and all ends with one
    role.
    """
    for role in Role:
        for how in ("expired", "disabled", "ended", "older credentials", "idle", "too long"):
            is_short = role is Role.HEAD or how == "expired"
            yield pytest.param(role, how, marks=[] if is_short else [pytest.mark.long])


def test_every_variable_part_is_in_the_table(desk: Flask) -> None:
    variable = {rule.endpoint for rule in rules(desk) if rule.arguments}
    assert variable <= OBJECTS.keys(), "add the endpoint to OBJECTS, with an object of a school"
    assert OBJECTS.keys() <= {rule.endpoint for rule in rules(desk)}


@pytest.mark.row("K-08")
def test_each_route_needs_the_right_and_the_proof_of_the_contract(desk: Flask) -> None:
    needs = {rule.endpoint: access.need_of(desk, rule.endpoint) for rule in rules(desk) if is_guarded(desk, rule)}
    routes = {endpoint: name for name, endpoints in NEEDS.items() for endpoint in endpoints.split()}
    assert {endpoint: need.right.name if need.right else need.level.name for endpoint, need in needs.items()} == routes
    assert {endpoint for endpoint, need in needs.items() if need.fresh} == set(FRESH.split())


def test_roles_have_the_rights_and_the_scope_of_the_contract() -> None:
    assert {right.name: {role for role, row in ROLES.items() if right in row.rights} for right in Right} == RIGHTS
    assert {role: access.spec(role).scope.name for role in Role} == SCOPES
    asks = {role: {right.name for right in row.asks_reason} for role, row in ROLES.items()}
    assert {role: rights for role, rights in asks.items() if rights} == ASKS_REASON


@pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")  # of tables whose rows are none
@pytest.mark.parametrize("role", list(Role))
def test_a_role_that_is_not_in_the_table_sees_nothing_and_may_do_nothing(
    desk: Flask, colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch, role: Role
) -> None:
    suspend(build.active(children=[build.child()]).id)
    build.ent()
    browser, session = colleagues.session(member(colleagues, build, role), reason="ticket 4512")
    monkeypatch.delitem(ROLES, role)
    with log.acting_for(log.current_origin()), desk.test_request_context():
        sessions.resume(session.id)
        for rows, condition in (
            (School, scope.schools()), (Child, scope.children()), (Account, scope.accounts()),
            (Account, scope.replaced_accounts()), (Closing, scope.decisions()), (SchoolNotice, scope.notices()),
            (Client, scope.clients()), (AuditEntry, scope.journal()), (StaffRole, team.in_scope()),
        ):  # fmt: skip
            assert db.session.query(rows).filter(condition).count() == 0, rows
    visitor, kept = Visitor(browser), Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        if right_of(desk, rule) is not None:
            with about(rule, method, role):
                assert visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint))).status_code == 404


@pytest.mark.row("K-08")
@pytest.mark.parametrize("role", list(Role))
def test_a_role_opens_what_it_has_the_right_to(desk: Flask, colleagues: Colleagues, build: Build, role: Role) -> None:
    staff = member(colleagues, build, role)
    visitor, kept = Visitor(colleagues.session(staff, reason="ticket 4512")[0]), Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        right = right_of(desk, rule)
        refused = (right is not None and role not in RIGHTS[right.name]) or role in NARROWER.get(rule.endpoint, ())
        ids = kept.ids(rule.endpoint) if refused else objects(rule, colleagues, COLLEGE)
        db.session.query(StaffSession).update({"reason_about": None})  # the reason is for this family
        db.session.commit()
        answer = visitor.ask(method, url(desk, rule, ids))
        with about(rule, method, role):
            assert answer.status_code < 500
            if refused:
                assert answer.status_code == 404
            elif not has_object(rule) or (role in AT_A_SCHOOL and rule.endpoint not in NOT_WHOLE):
                assert method == "POST" or answer.status_code in {200, 303}
                assert not has_object(rule) or answer.status_code != 404
                assert not first_page(answer)
        if method == "POST" and answer.status_code == 303:  # the act may have ended the session
            visitor = Visitor(colleagues.session(staff, reason="ticket 4512")[0])


@pytest.mark.row("K-04")
@pytest.mark.parametrize("role", list(Role))
def test_an_object_of_another_school_is_missing(desk: Flask, colleagues: Colleagues, build: Build, role: Role) -> None:
    staff = member(colleagues, build, role)
    visitor = Visitor(colleagues.session(staff, reason="ticket 4512")[0])
    kept = Kept(colleagues, LYCEE)
    for rule, method in tried(desk):
        right = right_of(desk, rule)
        may = right is None or role in RIGHTS[right.name]
        if not has_object(rule) or (may and role not in BOUNDED):
            continue
        answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
        with about(rule, method, role):
            assert answer.status_code == 404


@pytest.mark.parametrize("role", list(Role))
def test_what_does_not_exist_is_missing(desk: Flask, colleagues: Colleagues, build: Build, role: Role) -> None:
    staff = member(colleagues, build, role)
    visitor = Visitor(colleagues.session(staff, reason="ticket 4512")[0])
    missing = uuid.uuid4()
    for rule, method in tried(desk):
        if rule.arguments:
            ids = dict.fromkeys(rule.arguments, missing) | CHOICES
            with about(rule, method, role):
                assert visitor.ask(method, url(desk, rule, ids)).status_code == 404


@pytest.mark.row("K-21")
@pytest.mark.parametrize(("role", "how"), list(overs()))
def test_whose_access_is_over_is_led_to_the_sign_in(
    desk: Flask, colleagues: Colleagues, build: Build, role: Role, how: str
) -> None:
    staff = member(colleagues, build, role)
    browser, session = colleagues.session(staff, reason="ticket 4512")
    visitor = Visitor(browser)
    row = db.session.query(StaffRole).filter_by(staff_id=staff.id).one()
    match how:
        case "expired":
            row.valid_until = now() - timedelta(seconds=1)
        case "ended":
            row.ended_at = now()
        case "disabled":
            staff.disabled_at = now()
        case "older credentials":
            staff.generation += 1
        case "idle":
            session.last_seen_at = now() - timedelta(minutes=30)
        case "too long":
            session.expires_at = now()
    db.session.commit()
    kept = Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
        with about(rule, method, role):
            assert first_page(answer) == SIGN_IN


@pytest.mark.parametrize("role", list(Role))
def test_a_stale_proof_comes_before_what_asks_for_a_fresh_one(
    desk: Flask, colleagues: Colleagues, build: Build, role: Role
) -> None:
    staff = member(colleagues, build, role)
    browser, _ = colleagues.session(staff, proof_age=timedelta(minutes=10), reason="ticket 4512")
    visitor, fresh = Visitor(browser), 0
    kept = Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        need = access.need_of(desk, rule.endpoint)
        if not need.fresh:
            continue
        fresh += 1
        answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
        with about(rule, method, role):
            if need.right is not None and role not in RIGHTS[need.right.name]:
                assert answer.status_code == 404
            else:
                assert first_page(answer) == PROOF
    assert fresh


@pytest.mark.parametrize("role", list(ASKS_REASON))
def test_the_academy_gives_a_reason_first(desk: Flask, colleagues: Colleagues, build: Build, role: Role) -> None:
    visitor, kept = Visitor(colleagues.session(member(colleagues, build, role))[0]), Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        right = right_of(desk, rule)
        if right is not None and right.name in ASKS_REASON[role] and role in RIGHTS[right.name]:
            answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
            with about(rule, method, role):
                assert first_page(answer) == REASON


def test_a_person_with_two_posts_chooses_before_anything_else(desk: Flask, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    for uai in (COLLEGE, LYCEE):
        colleagues.grant(staff, Role.HEAD, uai=uai)
    visitor = Visitor(colleagues.session(staff)[0])
    kept = Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        if access.need_of(desk, rule.endpoint).level is access.Level.POST:
            answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
            with about(rule, method, Role.HEAD):
                assert first_page(answer) == CHOICE


@pytest.mark.row("K-29")
def test_a_form_that_another_post_showed_does_nothing(desk: Flask, colleagues: Colleagues) -> None:
    staff = colleagues.person()
    college, lycee = (colleagues.grant(staff, Role.HEAD, uai=uai).id for uai in (COLLEGE, LYCEE))
    browser, session = colleagues.session(staff)
    session.role_id = college
    db.session.commit()
    visitor = Visitor(browser)
    session.role_id = lycee
    db.session.commit()
    kept, entries = Kept(colleagues, LYCEE), db.session.query(AuditEntry).count
    for rule, method in tried(desk):
        if method == "POST" and access.need_of(desk, rule.endpoint).level is access.Level.POST:
            path = url(desk, rule, kept.ids(rule.endpoint))
            before = entries()
            answer = visitor.ask(method, path)
            with about(rule, method, Role.HEAD):
                assert answer.status_code == 409
                assert entries() == before, "nothing was done, read or refused"


def test_strangers_are_led_to_the_sign_in(desk: Flask, colleagues: Colleagues) -> None:
    visitor = Visitor(desk.test_client(), "/connexion")
    kept = Kept(colleagues, COLLEGE)
    for rule, method in tried(desk):
        answer = visitor.ask(method, url(desk, rule, kept.ids(rule.endpoint)))
        with about(rule, method, Role.HEAD):
            assert first_page(answer) == SIGN_IN


@pytest.mark.row("K-17")
def test_every_form_needs_its_token(desk: Flask, colleagues: Colleagues, build: Build) -> None:
    visitor = Visitor(colleagues.session(member(colleagues, build, Role.HEAD))[0])
    posts = [rule for rule in rules(desk) if "POST" in methods(rule)]
    assert len(posts) > 10
    kept = Kept(colleagues, COLLEGE)
    for rule in posts:
        path = url(desk, rule, kept.ids(rule.endpoint))
        with about(rule, "POST", Role.HEAD):
            for data in ({}, {"csrf_token": ""}, {"csrf_token": "x"}, {"csrf_token": visitor.token[:-2] + "AA"}):
                assert visitor.browser.post(path, data=data).status_code == 400
            assert visitor.browser.post(f"{path}?csrf_token={visitor.token}").status_code == 400
    other = Visitor(colleagues.signed_in(Role.HEAD))
    assert visitor.browser.post("/deconnexion", data={"csrf_token": other.token}).status_code == 400
    assert visitor.browser.get("/").status_code == 200
