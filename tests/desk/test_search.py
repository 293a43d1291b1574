"""What the search of the desk finds, in whose scope, and what the journal keeps."""

import json
import re
from datetime import timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import create_engine, make_url, select, text

from bench.desk import rows
from idp.accounts.models import Account, Child
from idp.audit.desk_events import FamiliesSearched
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db, unit_of_work
from idp.desk.search import service
from idp.desk.search.query import Terms, condition
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from idp.statements import index_only
from tests.builders import LYCEE, Build
from tests.closed import dispute_tie
from tests.database.test_plans import _is_work, _walks
from tests.desk.colleagues import Colleagues
from tests.protocol.listening import listening
from tests.rows import each_row


@pytest.fixture
def secretary(colleagues: Colleagues) -> FlaskClient:
    """A browser in which one secretary searches for all rows of a table."""
    return colleagues.signed_in()


@pytest.fixture
def families(build: Build) -> dict[str, Child]:
    pupils = {
        "malo": build.child("Malo", "LEROY"),
        "eleonore": build.child("Éléonore", "D’ALMEIDA"),
        "jean": build.child("Jean-Pierre", "BENABDELKADER"),
        "anne": build.child("Anne", "LE GALL"),
        "li": build.child("Mei", "LI"),
    }
    for child, class_name in ((pupils["anne"], "6e 10"), (pupils["jean"], "CM2")):
        child.class_name = class_name
    build.never_activated(children=[pupils["malo"]], username="n.leroy4821")
    build.active(
        children=[pupils["eleonore"]],
        username="i.dalmeida5512",
        given_name="Inês",
        family_name="D’ALMEIDA",
        email="ines@exemple.fr",
    )
    build.active(
        children=[pupils["jean"]],
        username="f.diop7731",
        given_name="Fatou",
        family_name="DIOP",
        birth_name="SARR",
        email=None,
        pending_email="fatou.diop@exemple.fr",
    )
    db.session.commit()
    return pupils


def names(browser: FlaskClient, typed: str, state: str = "", class_name: str = "") -> list[str]:
    """Return the keys of the pupils that a search shows, in the order of the page."""
    page = browser.get("/recherche", query_string={"q": typed, "etat": state, "classe": class_name})
    assert page.status_code == 200
    html = page.get_data(as_text=True)
    return [piece.partition('"')[0] for piece in html.split('scope="row"><a href="/familles/')[1:]]


@each_row("typed", ["vandeputte", "leroyvandepute", "noemie leroy"])
def test_a_word_of_many_people_is_found_in_a_school(
    secretary: FlaskClient, families: dict[str, Child], monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    monkeypatch.setattr(service, "_AT_ONCE", 1)
    assert names(secretary, typed) == [str(families["malo"].id)]


@each_row(
    "typed, key",
    [
        ("Leroy", "malo"),
        ("leroy malo", "malo"),
        ("MALO LEROY", "malo"),
        ("ler", "malo"),
        ("Mme Leroy", "malo"),
        ("M. et Mme Leroy", "malo"),
        ("monsieur leroy", "malo"),
        ("Jean Diop", "jean"),
        ("madame diop jean-pierre", "jean"),
        ("diop CM2", "jean"),
        ("vandeputte", "malo"),
        ("leroy-vandeputte", "malo"),
        ("leroyvandeputte", "malo"),
        ("Noemie", "malo"),
        ("n.leroy4821", "malo"),
        ("N. Leroy4821", "malo"),
        ("n.leroy48", "malo"),
        ("leroy m", "malo"),
        ("Lerpy", "malo"),
        ("Leory", "malo"),
        ("Leeroy", "malo"),
        ("Lroy", "malo"),
        ("vandepute", "malo"),
        ("malo lerou", "malo"),
        ("eleonore", "eleonore"),
        ("dalmeida", "eleonore"),
        ("d'almeida", "eleonore"),
        ("d almeida", "eleonore"),
        ("almeida", "eleonore"),
        ("ines@exemple.fr", "eleonore"),
        ("INES@exemple.fr", "eleonore"),
        ("jean pierre", "jean"),
        ("jeanpierre", "jean"),
        ("jean-pierre ben", "jean"),
        ("benabdlek", "jean"),
        ("diop", "jean"),
        ("sarr", "jean"),
        ("fatou.diop@exemple.fr", "jean"),
        ("cm2", "jean"),
        ("legall", "anne"),
        ("lɛ gall", "anne"),
        ("le gall", "anne"),
        ("6e 10", "anne"),
        ("6ème 10", "anne"),
        ("6e10", "anne"),
        ("Li", "li"),
    ],
)
def test_a_family_is_found_as_it_is_asked_for(
    secretary: FlaskClient, families: dict[str, Child], typed: str, key: str
) -> None:
    assert names(secretary, typed) == [str(families[key].id)]


@each_row("typed", ["6e 1", "6e1", "6eme 1"])
def test_a_class_does_not_begin_another(secretary: FlaskClient, families: dict[str, Child], typed: str) -> None:
    shown = names(secretary, typed)
    assert str(families["malo"].id) in shown
    assert str(families["anne"].id) not in shown


@each_row("typed", ["zzz", "leroy zoe", "ines@exemple", "%%%", "___", "le\x00zz%", "\U0001f600" * 90])
def test_what_no_family_has_is_not_found(secretary: FlaskClient, families: dict[str, Child], typed: str) -> None:
    assert names(secretary, typed) == []


@each_row("typed", ["l", "le", "é", "-"])
def test_less_than_three_letters_are_refused_with_a_sentence(secretary: FlaskClient, build: Build, typed: str) -> None:
    build.never_activated()
    page = secretary.get("/recherche", query_string={"q": typed})
    assert "au moins 3 lettres" in page.get_data(as_text=True)
    assert f'value="{typed}"' in page.get_data(as_text=True), "what was typed stays"


def test_a_short_class_without_a_family_is_no_error(colleagues: Colleagues, build: Build) -> None:
    build.never_activated()
    assert "Aucune famille trouvée" in colleagues.signed_in().get("/recherche?q=3e&etat=ferme").get_data(as_text=True)


def test_another_school_finds_nothing(colleagues: Colleagues, families: dict[str, Child]) -> None:
    browser = colleagues.signed_in(uai=LYCEE)
    for typed in ("leroy", "n.leroy4821", "ines@exemple.fr", "lerpy", "6e 1"):
        assert names(browser, typed) == []


def test_a_former_guardian_is_not_found(colleagues: Colleagues, build: Build) -> None:
    account = build.never_activated(family_name="ANCIEN")
    account.guardianships[0].ended_at = now()
    db.session.commit()
    assert names(colleagues.signed_in(), "ancien") == []


def test_a_state_filters(colleagues: Colleagues, families: dict[str, Child]) -> None:
    browser = colleagues.signed_in()
    assert names(browser, "leroy", "courrier") == [str(families["malo"].id)]
    assert names(browser, "leroy", "en-service") == []
    assert names(browser, "diop", "a-confirmer") == [str(families["jean"].id)]
    assert names(browser, "diop", "autre") == [str(families["jean"].id)], "an unknown state filters nothing"


@pytest.mark.parametrize("typed", ["", "malo", "leroy-vandeputte", "malo leroy-vandeputte"])
def test_a_parent_whose_only_tie_is_suspended_is_found_as_closed(
    colleagues: Colleagues, build: Build, typed: str
) -> None:
    malo = build.child("Malo")
    account, browser = build.active(children=[malo]), colleagues.signed_in()
    assert names(browser, typed, "en-service") == [str(malo.id)]
    closing.close(account.id, Decision(reason="jugement", child=malo.id, school=build.school()))
    assert names(browser, typed, "en-service") == []
    assert names(browser, typed, "ferme") == [str(malo.id)]
    if typed:
        page = colleagues.signed_in(Role.DPO).get(f"/droits/recherche?q={typed}").get_data(as_text=True)
        assert ("Lien suspendu</span>" in page, "En service</span>" in page) == (True, False)


def test_at_most_forty_rows_are_shown(colleagues: Colleagues, build: Build) -> None:
    for number in range(52):
        build.child(f"Élève{number}", "MARTIN")
    browser = colleagues.signed_in()
    assert len(names(browser, "martin")) == 40
    assert "les 40 premiers élèves" in browser.get("/recherche?q=martin").get_data(as_text=True)


def test_a_state_or_a_class_alone_is_searched_in_a_school(colleagues: Colleagues, families: dict[str, Child]) -> None:
    browser = colleagues.signed_in()
    assert names(browser, "", "courrier") == [str(families["malo"].id)]
    assert names(browser, "", "courrier", "6e 10") == []
    assert names(browser, "", "", "6e 10") == [str(families["anne"].id)]
    assert names(browser, "le gall", "", "CM2") == []
    assert names(browser, "diop", "", "CM2") == [str(families["jean"].id)]
    assert names(browser, "f.diop7731", "", "6e 10") == []
    page = browser.get("/recherche?etat=courrier&classe=6e 1").get_data(as_text=True)
    assert "<summary>Filtrer\u00a0: Courrier à utiliser, 6e 1</summary>" in page
    for unknown in ("7e 9", "\x00", "-"):
        page = browser.get("/recherche", query_string={"classe": unknown}).get_data(as_text=True)
        assert "Cette classe n’existe plus" in page
    academy = colleagues.signed_in(Role.HELPDESK).get("/recherche?etat=courrier&classe=6e 1").get_data(as_text=True)
    assert "Avec un état, tapez aussi un nom" in academy


def test_a_class_says_who_is_listed_and_not_counted(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    build.active(children=[malo])
    suspended, closed = build.active(children=[malo], email="s@exemple.fr"), build.active(children=[malo], email=None)
    browser = colleagues.signed_in()
    assert "3 comptes, 1 élève.</p>" in browser.get("/recherche?classe=6e 1").get_data(as_text=True)
    closing.close(suspended.id, Decision(reason="jugement", child=malo.id, school=build.school()))
    closing.close(closed.id, Decision(reason="jugement", school=build.school()))
    page = browser.get("/recherche?classe=6e 1").get_data(as_text=True).replace("\u00a0", " ")
    assert "1 compte, 1 élève. 2 autres sont dans la liste sans être comptés : fermés, ou sans lien ouvert" in page


def test_a_state_has_pages_of_forty_pupils(colleagues: Colleagues, build: Build) -> None:
    children = [build.child(f"Élève{number:02}", "MARTIN") for number in range(52)]
    build.never_activated(children=children)
    browser = colleagues.signed_in()
    first = browser.get("/recherche?etat=courrier&classe=6e 1").get_data(as_text=True)
    assert ("Page 1 sur 2" in first, "Page précédente" in first) == (True, False)
    following = unescape(first.partition('">Page suivante')[0].rpartition('href="')[2])
    second = browser.get(following).get_data(as_text=True)
    shown = [str(child.id) for child in children if f"/familles/{child.id}" in second]
    assert shown == [str(child.id) for child in children[40:]]
    for page in ("0", "-1", "x", "99999999999999999999", "3"):
        assert browser.get(f"/recherche?etat=courrier&page={page}").status_code == 200


def test_the_first_page_has_the_search_for_whom_may_use_it(colleagues: Colleagues) -> None:
    for role, has_search in ((Role.SECRETARY, True), (Role.HELPDESK, True), (Role.ENGINEER, False)):
        page = colleagues.signed_in(role).get("/").get_data(as_text=True)
        assert ('<input id="q" name="q"' in page) is has_search


def test_a_row_shows_class_and_states(colleagues: Colleagues, families: dict[str, Child]) -> None:
    page = colleagues.signed_in().get("/recherche?q=malo").get_data(as_text=True)
    for shown in ("6e 1", "Noémie LEROY-VANDEPUTTE", "Courrier à utiliser", "/comptes/"):
        assert shown in page
    assert "@" not in page.partition("<main")[2], "no mail address"


def test_a_dispute_is_beside_the_pupil_whom_it_is_about(colleagues: Colleagues, build: Build) -> None:
    account = build.never_activated(children=[build.child("Abel", "ROUX"), build.child("Zoé", "ROUX")])
    tie = account.guardianships[0]
    disputed = tie.child.given_name
    dispute_tie(tie)
    rows = colleagues.signed_in().get("/recherche?q=roux").get_data(as_text=True).split("<tr>")[2:]
    for row in rows:
        tags = re.findall(r'class="tag \w+">([^<]+)<', row)
        is_it = f"ROUX {disputed}<" in row
        assert tags == ["Compte contesté", *(["Lien contesté"] if is_it else [])]
    assert len(rows) == 2


def test_each_search_is_in_the_journal_without_its_words(colleagues: Colleagues, families: dict[str, Child]) -> None:
    browser = colleagues.signed_in()
    for typed in ("Leroy Malo", "malo LEROY", "zzz"):
        names(browser, typed)
    entries = db.session.query(AuditEntry).filter_by(kind=FamiliesSearched.kind).order_by(AuditEntry.id).all()
    assert [entry.details["hits"] for entry in entries] == [1, 1, 0]
    digests = [entry.details["terms_digest"] for entry in entries]
    assert digests[0] == digests[1] != digests[2], "the digest is that of the folded words"
    assert "leroy" not in str([entry.details for entry in entries]).casefold()
    assert entries[0].details["desk"]["role"] == "secretary"


def test_a_corrected_name_is_found(colleagues: Colleagues, families: dict[str, Child]) -> None:
    with unit_of_work():
        account = db.session.query(Account).filter_by(username="n.leroy4821").one()
        account.family_name = "KERVELLA"
    assert names(colleagues.signed_in(), "kervella") == [str(families["malo"].id)]
    assert names(colleagues.signed_in(), "vandeputte") == []


def test_pupils_who_left_come_last(colleagues: Colleagues, build: Build) -> None:
    gone, here = build.child("Aaron", "MARTIN"), build.child("Zoé", "MARTIN")
    gone.left_at = now() - timedelta(days=1)
    db.session.commit()
    assert names(colleagues.signed_in(), "martin") == [str(here.id), str(gone.id)]


_PUPILS, _SCHOOLS = 20_000, 500
_SPELLINGS = 1_000
"""The length of the parameters of the step of typing errors, which has its own test."""
_FILLED = {"account", "child", "guardianship"}
_PAGES = {
    Role.SECRETARY: (
        "/",
        "/classes",
        "/activation",
        "/impressions",
        "/signalements",
        "/fichiers",
        "/recherche?liste=mails",
        "/recherche?etat=courrier",
        "/suspensions",
        "/recherche?etat=en-service&classe=6e 1",
    ),
    Role.HELPDESK: ("/", "/suspensions", "/activation", "/signalements", "/equipe"),
}


@pytest.fixture
def academy(settings: Settings) -> None:
    engine = create_engine(make_url(settings.database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        rows.fill(connection, _PUPILS, _SCHOOLS)
    engine.dispose()


def _url(settings: Settings, statement: str) -> str:
    """Return the URL of the database; the statement about a pupil and a guardian together runs by indexes only."""
    if "named AS" not in statement:
        return settings.database_url
    url = make_url(settings.database_url).update_query_dict({"options": "-cenable_seqscan=off"})
    return url.render_as_string(hide_password=False)


@each_row("role", [Role.SECRETARY, Role.HELPDESK])
def test_no_search_and_no_list_walks_a_table(
    desk: Flask, academy: None, colleagues: Colleagues, settings: Settings, role: Role
) -> None:
    browser = colleagues.signed_in(role, uai="C7")
    for typed in ("bernardmar malo", "zzz bernardmar", "bernardmar", "ber", "6e 1", "x.nguyvan71234", "a@exemple.fr"):
        with listening(desk) as seen:
            assert browser.get("/recherche", query_string={"q": typed}).status_code == 200
        plans = [
            step
            for statement, values in seen
            if re.search("search_text|mailbox", statement) and len(str(values)) < _SPELLINGS
            for step in _walks(statement, values, _url(settings, statement))
        ]
        assert not plans, typed
    for page in _PAGES[role]:
        with listening(desk) as seen:
            assert browser.get(page).status_code == 200
        steps = [step for each in seen if _is_work(each[0]) for step in _walks(*each, settings.database_url)]
        assert not [step for step in steps if json.loads(step)["Relation Name"] in _FILLED], page


def test_a_rare_word_is_not_compared_with_all_families_of_a_school(
    desk: Flask, academy: None, colleagues: Colleagues
) -> None:
    browser = colleagues.signed_in(Role.SECRETARY, uai="C7")
    with listening(desk) as seen:
        assert browser.get("/recherche?q=bernradmar").status_code == 200
    compared = [statement for statement, _ in seen if "search_text @@" in statement]
    assert len(compared) == 4, "beginnings and typing errors, of pupils and guardians"
    assert not [statement for statement in compared if "school_id" in statement]


def test_a_typing_error_is_looked_up_in_the_index(desk: Flask, academy: None) -> None:
    with index_only():
        for table in (Account, Child):
            looked_up = select(table.id).where(condition(table.search_text, Terms(("bernradmar",)).near()))
            statement = looked_up.compile(db.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(db.session.scalars(text(f"EXPLAIN {statement}")))
            assert f"Bitmap Index Scan on ix_{table.__tablename__}_search_text" in plan
