"""The page of an account that an import closed: its former school reads why, and does nothing with it."""

from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from idp.accounts import school_notices
from idp.accounts.models import Account, Child, SchoolNotice
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues
from tests.desk.objects import OBJECTS
from tests.desk.school_files import families, imported, row, sheet
from tests.desk.test_matrix import Visitor, methods, tried, url
from tests.desk.test_suspension import text_of

WHY = "Un import a fermé ce compte : le fichier donne maintenant son numéro ou son nom à une autre personne."


def replaced(colleagues: Colleagues) -> tuple[Account, Account, Child]:
    """Return a guardian whose key a file gave to another person, this person, and the pupil."""
    head = colleagues.signed_in(Role.HEAD)
    imported(head, sheet(*families(30)))
    imported(head, sheet(*families(29), row(30, given="Zacharie", civility="M.", mail="z@exemple.fr")))
    [notice] = db.session.scalars(select(SchoolNotice).where(SchoolNotice.kind == "person_replaced"))
    former, successor = (db.session.get_one(Account, key) for key in (notice.account_id, notice.other_account_id))
    [child] = db.session.scalars(select(Child).where(Child.family_name == "FAMILLE30"))
    return former, successor, child


@pytest.mark.row("K-04")
def test_the_former_school_reads_why_an_import_closed_an_account(desk: Flask, colleagues: Colleagues) -> None:
    former, successor, child = replaced(colleagues)
    [notice] = db.session.scalars(select(SchoolNotice.id))
    for role in (Role.SECRETARY, Role.HEAD):
        browser = colleagues.signed_in(role)
        assert f'<a href="/comptes/{former.id}">' in text_of(browser, f"/signalements/{notice}")
        page = text_of(browser, f"/comptes/{former.id}")
        assert WHY in page
        assert f'<a href="/comptes/{successor.id}">M. Zacharie FAMILLE30</a>' in page
        assert f'<a href="/familles/{child.id}">' in page
        assert "Ancien lien" in page
        assert "Demandez à l’académie" not in page
        assert not [label for label in (">Suspendre<", ">Nouveau courrier<") if label in page]
        assert f"/comptes/{former.id}" not in text_of(browser, "/recherche?q=marie%20famille30"), "no list has it"
    assert WHY in text_of(colleagues.signed_in(Role.DPO), f"/comptes/{former.id}")
    assert colleagues.signed_in(Role.HEAD, uai=LYCEE).get(f"/comptes/{former.id}").status_code == 404


@pytest.mark.row("K-04")
def test_a_replaced_account_is_open_to_no_act_and_to_no_other_school(desk: Flask, colleagues: Colleagues) -> None:
    former, _, child = replaced(colleagues)
    ids: dict[str, Any] = {"account": former.id, "key": former.id, "child": child.id}
    tried_here = 0
    for role in (Role.SECRETARY, Role.HEAD):
        for uai, opened in (("", 200), (LYCEE, 404)):
            browser = colleagues.signed_in(role, uai=uai) if uai else colleagues.signed_in(role)
            visitor = Visitor(browser)
            for rule, method in tried(desk):
                if OBJECTS.get(rule.endpoint) not in {OBJECTS["accounts.show"], OBJECTS["decisions.restore"]}:
                    continue
                expected = opened if rule.endpoint == "accounts.show" else 404
                assert visitor.ask(method, url(desk, rule, ids)).status_code == expected, (rule, method, role, uai)
                tried_here += "GET" in methods(rule)
    assert tried_here > 10


def test_an_account_that_goes_on_or_closed_with_its_last_child_is_not_replaced(
    desk: Flask, colleagues: Colleagues, build: Build
) -> None:
    school = build.school()
    cases: tuple[dict[str, Any], ...] = ({"has_left": True, "disabled_at": now()}, {})
    head = colleagues.signed_in(Role.HEAD)
    for values in cases:
        account = build.active(children=[build.child()], **values)
        account.guardianships[0].ended_at = now()
        db.session.commit()
        with unit_of_work():
            school_notices.add(school_notices.Kind.PERSON_REPLACED, account.id, [school.id])
        assert head.get(f"/comptes/{account.id}").status_code == 404, values
    account = build.active(children=[build.child()], disabled_at=now())
    account.guardianships[0].ended_at = now()
    db.session.commit()
    assert head.get(f"/comptes/{account.id}").status_code == 404, "no notice says that an import closed it"
    with unit_of_work():
        school_notices.add(school_notices.Kind.PERSON_REPLACED, account.id, [school.id])
    page = text_of(head, f"/comptes/{account.id}")
    assert WHY in page
    assert "une personne dont le compte est supprimé" in page
