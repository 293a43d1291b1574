"""A year's end at a school: in July the head renews and invites the next head; on 1 September the others are out."""

from datetime import date, datetime, timedelta

import time_machine
from flask.testing import FlaskClient

from idp.clock import PARIS
from idp.db import db
from idp.desk.staff import posts
from idp.desk.staff.models import Role, StaffAccount, StaffInvitation, StaffRole
from tests.authenticator import Authenticator
from tests.builders import Build
from tests.desk import authenticator
from tests.desk.colleagues import Colleagues, post
from tests.pages import heading

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
