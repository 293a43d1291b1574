"""Who may open a page of the desk, and what comes first."""

import re
import uuid
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp import languages
from idp.accounts.passwords.hasher import HasherBusyError
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.desk import access
from idp.desk.access import gate
from idp.desk.jobs.models import Job
from idp.desk.kept_forms import KeptForm
from idp.desk.staff.models import Role, StaffAccount, StaffRole
from idp.desk.staff.sessions import IDLE
from idp.operations.checks.proxy import Arrived
from idp.operations.health import ECHO_HEADER, sign_echo
from idp.web.door import Door
from idp.web.errors import ServiceBusyError
from idp.web.http import Request
from tests import databases
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.school_files import shown
from tests.pages import follow, form_token, heading
from tests.rows import each_row


@pytest.mark.parametrize("error", [ServiceBusyError, HasherBusyError])
def test_the_page_of_a_busy_desk_speaks_of_no_families(
    desk: Flask, visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def busy() -> None:
        raise error(3)

    monkeypatch.setitem(desk.view_functions, "sign_in.sign_in", access.public(busy))
    answer = visitor.get("/connexion")
    assert answer.status_code == 503
    assert heading(answer) == "Le bureau est très demandé"
    assert "familles" not in answer.get_data(as_text=True).partition("<main")[2]


def test_who_asks_by_too_long_a_url_is_led_home_and_not_to_the_same_url(visitor: FlaskClient) -> None:
    answer = visitor.get("/connexion?x=" + "x" * 8_300)
    assert (answer.status_code, heading(answer)) == (414, "Cette adresse est trop longue")
    links = re.findall(r'class="btn" href="([^"]*)"', answer.text.partition("<main")[2])
    assert links == ["/"]


def test_a_page_from_memory_names_nobody_whoever_is_signed_in(desk: Flask, colleagues: Colleagues) -> None:
    browser, door = colleagues.signed_in(Role.SECRETARY), desk.wsgi_app
    assert isinstance(door, Door)
    home = browser.get("/")
    assert "Sylvie Marchand" in home.text
    asked = home.request.environ
    names = ("REQUEST_METHOD", "PATH_INFO", "HTTP_COOKIE", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    request = Request({**{name: asked[name] for name in names}, "QUERY_STRING": "x" * 8_300})
    for response, status, title in (
        (door.refuse(request, 414), 414, "Cette adresse est trop longue"),
        (door.shed(request), 503, "Le bureau est très demandé"),
    ):
        page = str(response.body, "utf-8")
        assert (response.status, f"<h1>{title}</h1>" in page) == (status, True)
        assert "Sylvie Marchand" not in page


def test_the_desk_is_french_whatever_the_browser_asks_for(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "OFFERED", ("fr", "en"))
    page = visitor.get("/connexion?langue=en&ui_locales=en", headers={"Accept-Language": "en"})
    assert '<html lang="fr"' in page.text
    assert "lang=" not in str(page.headers.getlist("Set-Cookie"))


def test_a_form_is_sent_with_the_proof_that_opened_its_page(colleagues: Colleagues) -> None:
    browser = colleagues.signed_in(Role.HEAD)
    token = form_token(browser.get("/equipe/inviter"))
    colleagues.age_proofs(timedelta(minutes=9))
    assert browser.post("/equipe/inviter", data={"csrf_token": token}).status_code == 200
    assert browser.get("/equipe/inviter").headers["Location"] == "/preuve?suite=%2Fequipe%2Finviter"


@each_row(
    ("asked", "back"),
    [
        ("/ma-securite", "/"),
        ("/classes/courriers?classe=6e+1", "/classes"),
        ("/classes/liste?classe=6e+1", "/classes/liste?classe=6e+1"),
        ("/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/suspension", "/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/courrier", "/comptes/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/signalements/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e/x", "/signalements/8a5f2c9e-2a3f-4a6e-9d55-0d6a0b1c2d3e"),
        ("/etablissement/mots-de-passe", "/"),
        ("/droits", "/"),
        ("/preuve", "/"),
        ("/connexion/x", "/"),
        ("/static/desk.css", "/"),
        ("/", "/"),
    ],
)
def test_a_person_who_gives_no_proof_goes_back(colleagues: Colleagues, asked: str, back: str) -> None:
    browser = colleagues.signed_in(Role.HEAD, proof_age=timedelta(minutes=11))
    page = browser.get("/preuve", query_string={"suite": asked}).get_data(as_text=True)
    assert f'<a href="{back}">Annuler</a>' in page


def test_a_person_with_two_posts_chooses_one(colleagues: Colleagues) -> None:
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    lycee = colleagues.grant(staff, Role.HEAD, uai="0599002P")
    browser, _ = colleagues.session(staff)
    assert heading(browser.get("/etablissements")) == "Choisir un établissement"
    colleagues.grant(staff, Role.ENGINEER)
    assert heading(browser.get("/etablissements")) == "Choisir un rôle"
    assert post(browser, "/etablissements", post=str(lycee.id)).headers["Location"] == "/"
    assert "Lycée Louise-Weber" in browser.get("/").get_data(as_text=True)


@pytest.mark.row("K-17")
@each_row(
    ("headers", "is_taken"),
    [
        ({}, True),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": databases.DESK, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "https://connexion.exemple.test"}, False),
        ({"Origin": f"{databases.DESK}.ailleurs.test"}, False),
        ({"Origin": databases.DESK.replace("https", "http")}, False),
    ],
)
def test_a_form_of_another_site_is_refused_also_with_the_right_token(
    colleagues: Colleagues, headers: dict[str, str], *, is_taken: bool
) -> None:
    browser = colleagues.signed_in()
    token = form_token(browser.get("/etablissements"))
    answer = browser.post("/deconnexion", data={"csrf_token": token}, headers=headers)
    assert answer.status_code == (303 if is_taken else 400)
    assert is_taken or heading(answer) == "Ce formulaire vient d’un autre site"
    assert (browser.get("/").status_code == 303) is is_taken


@pytest.mark.row("K-16")
def test_refused_pages_do_not_fill_the_journal(colleagues: Colleagues, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_ALL", 3)
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    ids = [str(uuid.uuid4()) for _ in range(20)]
    for key in ids[:17]:
        browser = colleagues.session(staff)[0]  # a new session is no new budget
        assert browser.get(f"/comptes/{key}").status_code == 404
    entries = db.session.scalars(
        select(AuditEntry.details).where(AuditEntry.kind == "desk.refused").order_by(AuditEntry.id)
    ).all()
    assert [entry["count"] for entry in entries] == [1, 2, 3, 4, 8, 16]
    assert [entry["subject"] for entry in entries[:3]] == ids[:3]
    assert colleagues.signed_in().get(f"/comptes/{ids[0]}").status_code == 404
    assert db.session.query(AuditEntry).filter_by(kind="desk.refused").count() == 7, "another person's are noted"


def test_nobody_chooses_the_post_of_another(colleagues: Colleagues) -> None:
    other = colleagues.grant(colleagues.person(), Role.HEAD)
    staff = colleagues.person()
    colleagues.grant(staff, Role.SECRETARY)
    browser, _ = colleagues.session(staff)
    assert post(browser, "/etablissements", post=str(other.id)).status_code == 404
    assert "Secrétariat" in browser.get("/").get_data(as_text=True)


def test_without_a_provider_of_the_academy_there_is_no_such_door(visitor: FlaskClient) -> None:
    page = visitor.get("/connexion")
    assert "académie »" not in page.get_data(as_text=True)
    assert post(visitor, "/connexion/academie", "/connexion").status_code == 404
    assert visitor.get("/connexion/academie/retour").status_code == 404


def test_the_desk_says_to_idp_doctor_that_it_is_the_desk(desk: Flask, settings: Settings) -> None:
    seen = desk.test_client().get("/healthz", headers={ECHO_HEADER: sign_echo(settings)}).get_json()["seen"]
    assert Arrived(**seen).is_desk


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
    assert f'href="/motif?suite=/comptes/{stranger.id}">Changer' in browser.get(path).get_data(as_text=True)
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
    page = browser.get("/recherche?ecole=nulle+part").get_data(as_text=True)
    assert "Aucun établissement n’a ce nom ou ce numéro." in page


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
        assert post(self.browser, "/etablissements", post=str(role.id)).status_code == 303

    def send(self, **fields: str) -> TestResponse:
        """Press the button of the page that is still open in the first tab."""
        return self.browser.post(self.path, data={"csrf_token": self.token, **fields})


def invited() -> list[StaffAccount]:
    """Return the people with the mail address that was typed."""
    return db.session.query(StaffAccount).filter_by(mailbox=TYPED["mail"]).all()


@pytest.mark.row("K-28", "K-29")
def test_the_way_back_leads_to_the_page_as_it_was_filled_in(colleagues: Colleagues) -> None:
    tabs = TwoTabs(colleagues, INVITE)
    refused = tabs.send(**TYPED)
    assert "Rien n’a été fait : la page avait été ouverte pour Collège des Tilleuls" in shown(refused)
    assert TYPED["mail"] not in shown(tabs.browser.get(INVITE)), "not at the other school"
    way = f"/etablissements?suite={INVITE}"
    assert f'action="{way}"' in shown(refused)
    chosen = {"csrf_token": form_token(refused), "post": str(tabs.college.id)}
    page = follow(tabs.browser, tabs.browser.post(way, data=chosen))
    assert f'value="{TYPED["mail"]}"' in shown(page)
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
