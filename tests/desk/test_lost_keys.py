"""A lost key at each role: who gives the access back, how the person comes in again, and who gives nothing back."""

from datetime import date, datetime, timedelta

import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient

from idp.clock import PARIS
from idp.db import db
from idp.desk.ents import acceptance
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole
from idp.desk.staff.posts import Grant
from idp.desk.team import invitations
from idp.registration.metadata import ClientMetadata
from tests.authenticator import Authenticator
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk import authenticator
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading

FIRST = None
"""Nobody at the desk: the first person of the desk is restored by `idp staff reset`."""
PAGES = {
    Role.SECRETARY: "/classes",
    Role.HEAD: "/equipe",
    Role.ENT_OPERATOR: "/ent",
    Role.HELPDESK: "/ent",
    Role.DPO: "/ent",
    Role.ENGINEER: "/ent",
}
"""A page of each role."""


@pytest.fixture
def ent(build: Build) -> str:
    build.school()
    return build.ent().client_id


def person(colleagues: Colleagues, role: Role, ent: str, name: str = "Perdue") -> tuple[StaffAccount, StaffRole]:
    staff = colleagues.person(name)
    return staff, colleagues.grant(staff, role, client_id=ent)


def with_key(colleagues: Colleagues, staff: StaffAccount) -> tuple[FlaskClient, Authenticator]:
    """Enrol the person with a passkey; return the browser and the key."""
    browser, key = colleagues.desk.test_client(), Authenticator()
    authenticator.enrol(browser, colleagues.reset(staff), key)
    return browser, key


@pytest.mark.parametrize(
    ("lost", "by"),
    [
        (Role.SECRETARY, Role.HEAD),
        (Role.HEAD, Role.HEAD),
        (Role.HEAD, Role.ENGINEER),
        (Role.ENT_OPERATOR, Role.ENT_OPERATOR),
        (Role.ENT_OPERATOR, Role.ENGINEER),
        (Role.HELPDESK, Role.HELPDESK),
        (Role.DPO, Role.ENGINEER),
        (Role.ENGINEER, Role.ENGINEER),
        (Role.ENGINEER, FIRST),
    ],
)
def test_who_lost_a_key_comes_in_again_with_another(
    colleagues: Colleagues, ent: str, lost: Role, by: Role | None
) -> None:
    staff, role = person(colleagues, lost, ent)
    browser, former = with_key(colleagues, staff)
    db.session.query(StaffInvitation).delete()
    db.session.commit()
    if by is FIRST:
        link = colleagues.reset(staff)
    else:
        helper, _ = colleagues.session(person(colleagues, by, ent, "Collègue")[0])
        answer = post(helper, f"/equipe/{role.id}/acces")
        assert answer.headers["Location"] == "/equipe?fait=acces", answer.get_data(as_text=True)
        link = colleagues.path(db.session.query(StaffInvitation).one())
    assert browser.get(PAGES[lost]).status_code == 200, "the link ends nothing before it is used"
    again, key = colleagues.desk.test_client(), Authenticator()
    assert heading(authenticator.enrol(again, link, key)) == "Votre accès est prêt"
    assert again.get(PAGES[lost]).status_code == 200
    assert browser.get(PAGES[lost]).headers["Location"].startswith("/connexion")
    assert authenticator.sign_in(colleagues.desk.test_client(), former).status_code == 200, "the lost key opens nothing"
    assert authenticator.sign_in(colleagues.desk.test_client(), key).status_code == 303


@pytest.mark.row("K-31")
@pytest.mark.parametrize(
    ("role", "uai", "opens"),
    [
        (Role.HEAD, LYCEE, False),
        (Role.HELPDESK, "", False),
        (Role.HEAD, COLLEGE, True),
        (Role.SECRETARY, COLLEGE, True),
    ],
)
def test_a_link_opens_no_role_that_was_granted_elsewhere_after_it(
    desk: Flask, colleagues: Colleagues, build: Build, role: Role, uai: str, *, opens: bool
) -> None:
    lost = colleagues.person("Perdue")
    row = colleagues.grant(lost, Role.SECRETARY)
    helper = colleagues.signed_in(Role.HEAD)
    post(helper, f"/equipe/{row.id}/acces")
    link = colleagues.path(db.session.query(StaffInvitation).one())
    schools = [build.school(uai)] if uai else []
    invitations.invite(build.settings, lost.email, lost.name, Grant(role, schools))
    page = desk.test_client().get(link)
    assert (page.status_code == 200) is opens
    refused = helper.get(f"/equipe/{row.id}/acces").get_data(as_text=True)
    assert ("Cette personne a aussi un accès ailleurs" in refused) is not opens, "the page says the same"


@pytest.mark.row("K-31")
def test_a_link_does_not_open_an_ent_that_its_person_registered_after_it(colleagues: Colleagues, ent: str) -> None:
    lost, _ = person(colleagues, Role.ENT_OPERATOR, ent)
    link = colleagues.reset(lost)
    host = "https://ajoute.test"
    metadata = ClientMetadata(name="Ajouté", home_uri=f"{host}/", redirect_uris=(f"{host}/cb",), uais=(COLLEGE,))
    acceptance.ask(colleagues.build.settings, metadata, lost.id)
    assert colleagues.desk.test_client().get(link).status_code == 410


def test_one_person_sends_a_colleague_one_link_a_minute(desk: Flask, colleagues: Colleagues) -> None:
    staff = colleagues.person("Inès Nouvelle")
    row = colleagues.grant(staff, Role.SECRETARY)
    helper = colleagues.signed_in(Role.HEAD)
    path, sent = f"/equipe/{row.id}/acces", "/equipe?fait=acces"
    assert post(helper, path).headers["Location"] == sent
    refused = post(helper, path)
    assert refused.status_code == 200
    assert "Vous venez d’envoyer un mail à cette personne" in refused.get_data(as_text=True)
    assert db.session.query(StaffInvitation).count() == 1, "the link that was sent is still the one that works"
    other = colleagues.grant(colleagues.person("Autre Collègue"), Role.SECRETARY)
    assert post(helper, f"/equipe/{other.id}/acces").headers["Location"] == sent, "another mailbox"
    colleague = colleagues.signed_in(Role.HEAD)
    assert post(colleague, path).headers["Location"] == sent, "the page does not tell what others sent"


JULY = datetime(2027, 7, 5, 9, tzinfo=PARIS)
LAST_EVENING = datetime(2027, 8, 31, 23, 50, tzinfo=PARIS)
MIDNIGHT = datetime(2027, 9, 1, tzinfo=PARIS)


def works(colleagues: Colleagues, name: str, role: Role) -> tuple[StaffAccount, StaffRole]:
    """Return a person whose role was granted last autumn: it ends on 31 August."""
    staff = colleagues.person(name)
    row = colleagues.grant(staff, role)
    row.valid_until = posts.until_day(date(2027, 8, 31))
    db.session.commit()
    return staff, row


def is_in(browser: FlaskClient) -> bool:
    """Return whether the person of a browser is signed in, with a role."""
    answer = browser.get("/")
    assert answer.status_code == 200 or answer.headers["Location"].startswith("/connexion")
    return answer.status_code == 200


def test_roles_end_on_31_august_and_the_next_head_takes_over(colleagues: Colleagues, build: Build) -> None:
    with time_machine.travel(JULY, tick=False) as clock:
        head, own = works(colleagues, "Bruno Castel", Role.HEAD)
        stays, renewed = works(colleagues, "Ana Stable", Role.SECRETARY)
        leaves, _ = works(colleagues, "Bilal Partant", Role.SECRETARY)
        browser, _ = colleagues.session(head)
        assert "Accès à renouveler" in browser.get("/").get_data(as_text=True)
        ending = browser.get("/equipe").get_data(as_text=True).partition("finissent le 31 août")[2]
        assert "Votre accès finit aussi le 31 août, et vous ne le renouvelez pas vous-même" in ending
        path = f"/equipe/renouveler?acces={renewed.id}"
        answer = post(browser, "/equipe/renouveler", path, acces=[str(renewed.id), str(own.id)])
        assert answer.headers["Location"] == "/equipe?fait=renouvele"
        person = {"nom": "Chloé Suivante", "mail": "chloe@college.test", "role": "head"}
        assert post(browser, "/equipe/inviter", **person).headers["Location"] == "/equipe?fait=invite"
        key, next_head = Authenticator(), colleagues.desk.test_client()
        link = colleagues.path(db.session.query(StaffInvitation).one())
        assert heading(authenticator.enrol(next_head, link, key)) == "Votre accès est prêt"

        clock.move_to(LAST_EVENING)
        people = {staff.name: colleagues.session(staff)[0] for staff in (head, stays, leaves)}
        next_head = colleagues.desk.test_client()
        assert authenticator.sign_in(next_head, key).status_code == 303
        assert all(map(is_in, [*people.values(), next_head]))

        clock.move_to(MIDNIGHT - timedelta(seconds=1))
        assert is_in(people["Bruno Castel"])
        clock.move_to(MIDNIGHT)
        assert {name: is_in(browser) for name, browser in people.items()} == {
            "Bruno Castel": False, "Ana Stable": True, "Bilal Partant": False,
        }  # fmt: skip
        assert is_in(next_head)
        team = next_head.get("/equipe").get_data(as_text=True)
        states = {name: "terminé" in team.partition(name)[2].partition("</tr>")[0] for name in people}
        assert states == {"Bruno Castel": True, "Ana Stable": False, "Bilal Partant": True}
