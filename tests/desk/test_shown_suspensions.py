"""What the desk says of suspensions: on the pages of a family, and in the list of a school."""

import re
from dataclasses import replace

import pytest
from sqlalchemy import select

from idp.accounts.closings import Closing
from idp.audit.models import AuditEntry
from idp.clock import now, today
from idp.db import db
from idp.desk.staff.models import Role
from idp.families import closing
from idp.families.closing import Decision
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_suspension import WHY, path_of, rows, text_of
from tests.pages import heading
from tests.rows import each_row


@pytest.mark.parametrize(
    ("role", "who"), [(Role.SECRETARY, "Le secrétariat"), (Role.HEAD, "La direction")], ids=["secretary", "head"]
)
def test_a_suspended_tie_is_no_suspended_account(colleagues: Colleagues, build: Build, role: Role, who: str) -> None:
    malo = build.child("Malo")
    account = build.active(children=[malo, build.child("Zoé")])
    browser = colleagues.signed_in(role)
    answer = post(browser, path_of(account), scope=malo.id.hex, reason=WHY, end="ouverte")
    done = text_of(browser, answer.headers["Location"])
    assert ("<h1>Lien suspendu</h1>" in done, "accès est suspendu" in done) == (True, False)
    [row] = rows()
    reopening = f"{path_of(account)}/{row.id}/reouverture"
    for path in (f"/comptes/{account.id}", f"/familles/{malo.id}"):
        page = text_of(browser, path)
        assert f"{who} a suspendu le lien entre Mme Noémie LEROY-VANDEPUTTE et Malo" in page
        assert ("Seule la direction de l’établissement peut rouvrir." in page) is (role is Role.SECRETARY)
        assert page.count(f'href="{reopening}"') == (role is Role.HEAD)
    assert "Lien avec un élève suspendu" in text_of(browser, f"/comptes/{account.id}")
    if role is Role.HEAD:
        assert heading(browser.get(reopening)) == "Rouvrir le lien"
        answer = post(browser, reopening, reason="réglé")
        assert "C’est rouvert" in text_of(browser, answer.headers["Location"])


def test_the_page_of_a_pupil_says_nothing_of_an_open_account_beside_a_suspended_tie(
    colleagues: Colleagues, build: Build
) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account, browser = build.active(children=[malo, zoe]), colleagues.signed_in()
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
    ready, closed = "Votre compte est prêt", "Je ne peux pas vous répondre au téléphone. Demandez à la direction"
    pages = {path: text_of(browser, path) for path in (f"/familles/{malo.id}", f"/familles/{zoe.id}")}
    assert [(ready in page, closed in page) for page in pages.values()] == [(False, True), (True, False)]
    whole = text_of(browser, f"/comptes/{account.id}")
    assert ready in whole, "the rest of the account is open"
    for page in (pages[f"/familles/{malo.id}"], whole):
        assert "Ne dites rien de cet élève à cette personne. La direction peut lui dire pourquoi." in page


def test_a_tie_stays_suspended_when_the_whole_account_reopens(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account, head = build.active(children=[malo]), colleagues.signed_in(Role.HEAD)
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
    assert "tout est comme avant" not in text_of(head, path_of(account))
    answer = post(head, path_of(account), scope="compte", reason=WHY, end="jour", until=f"{today()}")
    with_end = "Le lien avec Malo LEROY, 6e 1 reste suspendu, sans date de fin"
    assert with_end in text_of(head, answer.headers["Location"])
    [whole] = [row for row in rows() if row.child_id is None]
    assert with_end in text_of(head, f"{path_of(account)}/{whole.id}/reouverture")
    for path in (f"/familles/{malo.id}", f"/comptes/{account.id}"):
        links = re.findall(r'href="[^"]+/reouverture">(.*?)</a>', text_of(head, path))
        labels = [re.sub("<[^>]+>", "", link).removesuffix(f" pour {account.display_name}") for link in links]
        assert labels == ["Rouvrir le lien avec Malo", "Rouvrir tout le compte"]


def test_a_suspended_account_says_who_suspended_it(colleagues: Colleagues, build: Build) -> None:
    account = build.active(children=[build.child()])
    post(colleagues.signed_in(Role.HELPDESK), path_of(account), scope="compte", reason=WHY)
    for role, reopens in ((Role.SECRETARY, 0), (Role.HEAD, 1)):
        page = text_of(colleagues.signed_in(role), f"/comptes/{account.id}")
        assert "L’assistance de l’académie a suspendu tout le compte" in page
        assert page.count("/reouverture") == reopens
        assert "Seule la direction de l’établissement peut rouvrir." in page


@each_row(("children", "is_here"), [([COLLEGE, LYCEE], False), ([LYCEE], True)])
def test_a_closing_that_protects_pupils_of_two_schools_is_reopened_by_the_academy(
    colleagues: Colleagues, build: Build, children: list[str], *, is_here: bool
) -> None:
    account = build.active(children=[build.child("Malo", uai=uai) for uai in children])
    row = closing.close(account.id, Decision(reason="le juge a décidé", reference="RG 26/1"))
    head, path = colleagues.signed_in(Role.HEAD, uai=LYCEE), f"/comptes/{account.id}/suspension/{row.id}/reouverture"
    page = text_of(head, f"/comptes/{account.id}")
    assert "équipe du service" in page
    assert ("L’équipe du service seule peut rouvrir." in page) is not is_here
    assert ("Seule la direction de l’établissement peut rouvrir." in page) is is_here
    assert path in page if is_here else "RG 26/1" not in page and path not in page
    question = head.get(path)
    assert ("le juge a décidé" in question.get_data(as_text=True)) is is_here
    answers = (question.status_code, post(head, path, "/", reason="il est venu nous voir").status_code)
    assert answers == ((200, 303) if is_here else (404, 404))
    db.session.expire_all()
    assert db.session.get_one(Closing, row.id).holds_at(now()) is not is_here


def test_the_suspensions_of_a_school_are_a_list(colleagues: Colleagues, build: Build) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    both, there = build.active(children=[malo, zoe]), build.active(children=[zoe], family_name="AILLEURS")
    here = Decision(reason=WHY, reference="RG 26/1", school=build.school(), child=malo.id)
    for account, decision in (
        (both, here),
        (both, Decision(reason=WHY, reference="RG 26/2", school=build.school(LYCEE))),
        (there, Decision(reason=WHY, reference="RG 26/3", school=build.school(LYCEE))),
        (both, Decision(reason=WHY, reference="RG 26/4", school=build.school(LYCEE), child=zoe.id)),
        (build.active(children=[malo], family_name="UNJOUR"), Decision(reason=WHY, reference="RG 26/5")),
    ):
        closing.close(account.id, decision)
    over = closing.close(build.active(children=[malo], family_name="FINI").id, replace(here, child=None))
    closing.reopen(over.id, "réglé")
    browser = colleagues.signed_in()
    page = text_of(browser, "/suspensions")
    assert "Suspensions : 3" in page
    for shown in ("Lien avec Malo LEROY, 6e 1", "RG 26/1", 'data-of="Par">–<', "UNJOUR", "RG 26/5"):
        assert shown in page
    for hidden in (WHY, "Zoé", "AILLEURS", "FINI", "RG 26/2", "RG 26/3", "RG 26/4"):
        assert hidden not in page
    assert "/suspensions" not in text_of(browser, "/"), "« Aujourd’hui » counts only what somebody has to do"
    of_both = text_of(browser, f"/comptes/{both.id}")
    assert of_both.count("Lien avec un élève suspendu") == 1, "not the event of another school's tie"
    assert "Suspensions : 1" in text_of(colleagues.signed_in(Role.HELPDESK), "/suspensions")
    assert "Aucun compte" in text_of(colleagues.signed_in(uai="0590002P"), "/suspensions?page=7")
    searches = select(AuditEntry.details).where(AuditEntry.kind == "desk.searched").order_by(AuditEntry.id)
    noted = db.session.scalars(searches).all()
    assert [details["hits"] for details in noted] == [3, 1, 0]


def test_a_letter_that_still_opens_the_account_is_said_beside_a_suspended_tie(
    colleagues: Colleagues, build: Build
) -> None:
    malo = build.child("Malo")
    account = build.never_activated(children=[malo])
    closing.close(account.id, Decision(reason=WHY, child=malo.id, school=build.school()))
    page = text_of(colleagues.signed_in(), f"/comptes/{account.id}")
    assert "valable jusqu’au" in page
    assert "Il sert jusqu’au" not in page
