"""The reason of a person of the académie is for one family; what they search, and what the journal has of a visit."""

import uuid

import pytest
from sqlalchemy import select

from idp.audit.models import AuditEntry
from idp.db import db
from idp.desk.staff.models import Role
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post


@pytest.mark.row("K-40")
def test_a_reason_is_for_one_family(build: Build, colleagues: Colleagues) -> None:
    malo, zoe, other = build.child("Malo"), build.child("Zoé", uai=LYCEE), build.child("Tom")
    mother, father = build.active(children=[malo, zoe]), build.active(children=[malo], email="b@exemple.test")
    stranger = build.active(children=[other], email="c@exemple.test")
    browser = colleagues.signed_in(Role.HELPDESK)
    assert browser.get(f"/comptes/{uuid.uuid4()}").status_code == 404, "and the reason is still for any family"
    family = [f"/familles/{malo.id}", f"/familles/{zoe.id}", f"/comptes/{mother.id}", f"/comptes/{father.id}"]
    assert [browser.get(path).status_code for path in family] == [200] * 4
    path = f"/comptes/{stranger.id}"
    asked = browser.get(path).headers["Location"]
    assert asked == f"/motif?suite=%2Fcomptes%2F{stranger.id}"
    assert browser.get(f"/familles/{other.id}").headers["Location"].startswith("/motif")
    assert post(browser, f"{path}/debloquer", "/").headers["Location"].startswith("/motif")
    assert post(browser, asked, reason="ticket 99, un autre parent").headers["Location"] == path
    page = browser.get(path).get_data(as_text=True)
    assert "ticket 99, un autre parent" in page
    assert f'href="/motif?suite=/comptes/{stranger.id}">Changer' in page
    assert browser.get(family[0]).headers["Location"].startswith("/motif")


def test_pages_of_a_visit_are_one_entry_and_another_reason_is_another_visit(
    build: Build, colleagues: Colleagues
) -> None:
    malo = build.child("Malo")
    account, browser = build.active(children=[malo]), colleagues.signed_in(Role.HELPDESK)
    paths = (f"/comptes/{account.id}", f"/familles/{malo.id}", f"/comptes/{account.id}/suspension")
    for path in paths * 2:
        assert browser.get(path).status_code == 200
    kinds = select(AuditEntry.kind).where(AuditEntry.kind.in_(["account.read", "desk.pupil_read"]))
    assert sorted(db.session.scalars(kinds)) == ["account.read", "desk.pupil_read"]
    post(browser, "/motif", reason="ticket 5000, le parent rappelle")
    browser.get(paths[0])
    assert len(db.session.scalars(kinds).all()) == 3


def test_the_help_desk_searches_in_a_school_and_a_class(build: Build, colleagues: Colleagues) -> None:
    here, there = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    here.class_name, there.class_name = "6e 1", "2de 4"
    for child in (here, there):
        build.active(children=[child], family_name="LEROY", email=f"{child.given_name}@exemple.test")
    db.session.commit()
    browser = colleagues.signed_in(Role.HELPDESK)

    def shown_pupils(**query: str) -> list[bool]:
        page = browser.get("/recherche", query_string=query).get_data(as_text=True)
        return [f'href="/familles/{child.id}"' in page for child in (here, there)]

    assert shown_pupils(q="leroy") == [True, True]
    assert shown_pupils(q="leroy", ecole=COLLEGE) == [True, False]
    assert shown_pupils(ecole=LYCEE, classe="2de 4") == [False, True]
    assert '<option value="2de 4">' in browser.get(f"/recherche?ecole={LYCEE}").get_data(as_text=True)
    page = browser.get("/recherche?ecole=nulle+part").get_data(as_text=True)
    assert "Aucun établissement n’a ce nom ou ce numéro." in page


def test_a_refused_page_is_in_the_journal_with_its_role(colleagues: Colleagues) -> None:
    colleagues.signed_in().get("/equipe/inviter")
    page = colleagues.signed_in(Role.HEAD).get("/journal").get_data(as_text=True)
    assert "page /equipe/inviter, rôle : Secrétariat" in page.replace("\xa0", " ")
