"""A person with two posts and two tabs: a form acts in the post whose page showed it, or not at all."""

import pytest
from werkzeug.test import TestResponse

from idp.clock import now
from idp.db import db
from idp.desk.jobs.models import Job
from idp.desk.kept_forms import KeptForm
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.desk.staff.sessions import IDLE
from tests.builders import COLLEGE, LYCEE
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import shown
from tests.pages import follow, form_token, heading

INVITE = "/equipe/inviter"
TYPED = {"nom": "Inès Nouvelle", "mail": "ines@college.test", "role": "secretary"}
REFUSED = "Vous travaillez maintenant pour Lycée Louise-Weber"


class TwoTabs:
    """A person with a post at two schools, who opened a page at the Collège, then chose the Lycée in another tab."""

    def __init__(self, colleagues: Colleagues, path: str, role: Role = Role.HEAD) -> None:
        self.path = path
        self.staff = colleagues.person("Anne Proviseure")
        self.college, self.lycee = (colleagues.grant(self.staff, role, uai=uai) for uai in (COLLEGE, LYCEE))
        self.browser, self.session = colleagues.session(self.staff)
        self.choose(self.college)
        self.token = form_token(self.browser.get(path))
        self.choose(self.lycee)

    def choose(self, role: StaffRole) -> None:
        """Choose a post."""
        assert post(self.browser, "/etablissements", post=str(role.id)).status_code == 303

    def send(self, **fields: str) -> TestResponse:
        """Press the button of the page that is still open in the first tab."""
        return self.browser.post(self.path, data={"csrf_token": self.token, **fields})


def invited() -> list[StaffAccount]:
    """Return the people with the mail address that was typed."""
    return db.session.query(StaffAccount).filter_by(mailbox=TYPED["mail"]).all()


@pytest.mark.row("K-29")
def test_a_role_is_granted_at_the_school_whose_page_was_filled_in_or_nowhere(colleagues: Colleagues) -> None:
    tabs = TwoTabs(colleagues, INVITE)
    refused = tabs.send(**TYPED)
    assert (refused.status_code, heading(refused)) == (409, REFUSED)
    assert "Rien n’a été fait : la page avait été ouverte pour Collège des Tilleuls" in shown(refused)
    assert invited() == []


@pytest.mark.row("K-28", "K-29")
def test_the_way_back_leads_to_the_page_as_it_was_filled_in(colleagues: Colleagues) -> None:
    tabs = TwoTabs(colleagues, INVITE)
    refused = tabs.send(**TYPED)
    assert TYPED["mail"] not in shown(tabs.browser.get(INVITE)), "not at the other school"
    way = f"/etablissements?suite={INVITE}"
    assert f'action="{way}"' in shown(refused)
    chosen = {"csrf_token": form_token(refused), "post": str(tabs.college.id)}
    page = follow(tabs.browser, tabs.browser.post(way, data=chosen))
    assert f'value="{TYPED["mail"]}"' in shown(page)
    assert "<b>Collège des Tilleuls</b>" in shown(page)
    tabs.token = form_token(page)
    assert tabs.send(**TYPED).headers["Location"].startswith("/equipe?fait=")
    [staff] = invited()
    assert [row.school_id for row in db.session.query(StaffRole).filter_by(staff_id=staff.id)] == [
        tabs.college.school_id
    ]


@pytest.mark.row("K-29")
def test_the_page_of_a_role_that_ended_does_nothing_in_the_role_that_remains(colleagues: Colleagues) -> None:
    tabs = TwoTabs(colleagues, "/etablissement/mots-de-passe")
    tabs.college.ended_at = now()
    db.session.commit()
    refused = tabs.send(uai=COLLEGE, word="BLOQUER")
    assert (refused.status_code, heading(refused)) == (409, REFUSED)
    assert "un rôle que vous n’avez plus" in shown(refused)
    assert str(tabs.college.id) not in shown(refused)
    assert db.session.query(Job).count() + db.session.query(KeptForm).count() == 0


@pytest.mark.row("K-28", "K-29")
@pytest.mark.parametrize("first", ["other post", "sign-in"])
def test_what_was_typed_is_kept_for_the_school_of_the_page(colleagues: Colleagues, first: str) -> None:
    tabs = TwoTabs(colleagues, INVITE)
    colleagues.age_proofs()  # the page needs a proof too: it comes after the way back
    if first == "sign-in":
        tabs.session.last_seen_at = now() - IDLE
        db.session.commit()
        assert tabs.send(**TYPED).headers["Location"].startswith("/connexion?")
    else:
        assert heading(tabs.send(**TYPED)) == REFUSED
    assert [row.role_id for row in db.session.query(KeptForm)] == [tabs.college.id]


def test_two_roles_at_one_school_are_two_posts(colleagues: Colleagues) -> None:
    staff = colleagues.person()
    rows = [colleagues.grant(staff, role) for role in (Role.SECRETARY, Role.HEAD)]
    browser, _ = colleagues.session(staff)
    tokens = []
    for row in rows:
        post(browser, "/etablissements", post=str(row.id))
        tokens.append(form_token(browser.get("/")))
    refused = browser.post("/classes/rappel", data={"csrf_token": tokens[0]})
    assert refused.status_code == 409
    assert "avec le rôle « Secrétariat ». Votre rôle est maintenant « Direction »." in shown(refused)
    assert browser.post("/classes/rappel", data={"csrf_token": tokens[1]}).status_code != 409


def test_what_concerns_the_person_alone_needs_no_post(colleagues: Colleagues) -> None:
    tabs = TwoTabs(colleagues, "/ma-securite")
    tabs.path = "/deconnexion"
    assert tabs.send().status_code == 303
