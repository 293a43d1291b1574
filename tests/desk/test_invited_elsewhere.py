"""An invitation of somebody whose mailbox may have an account at the desk: the inviter does not learn it."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from idp.clock import now
from idp.db import db
from idp.desk.staff.models import CredentialKind, Role, StaffCredential, StaffInvitation
from idp.desk.team.notices import NEW_CREDENTIAL
from idp.outbox.queue import OutboxMessage
from tests.builders import COLLEGE, LYCEE, Build
from tests.desk.colleagues import Colleagues, post
from tests.desk.test_team import PERSON, invited, roles_of, text
from tests.pages import form_token


@pytest.mark.parametrize("account", ["none", "invited", "enrolled"])
def test_an_invitation_does_not_tell_whether_the_mailbox_has_an_account(
    colleagues: Colleagues, build: Build, account: str
) -> None:
    if account != "none":
        colleagues.invited("Nom d’ailleurs", email=PERSON["mail"])
    staff = invited()
    if staff and account == "enrolled":
        staff.enrolled_at = staff.last_sign_in_at = now() - timedelta(days=1)
        db.session.commit()
    browser = colleagues.signed_in(Role.HEAD, uai=LYCEE)
    answer = post(browser, "/equipe/inviter", role="secretary", **PERSON)
    assert answer.headers["Location"] == "/equipe?fait=invite"
    page = text(browser.get("/equipe?fait=invite"))
    assert "L’invitation part par mail." in page
    row = page.partition(PERSON["mail"])[2].partition("</tr>")[0]
    assert "invité" in row
    assert "jamais" in row
    assert not any(name in page for name in ("Nom d’ailleurs", PERSON["nom"]))
    staff = invited()
    assert staff
    key = next(role.id for role in roles_of(staff) if role.school_id == build.school(LYCEE).id)
    before = db.session.query(OutboxMessage).count()
    again = text(browser.get(f"/equipe/{key}/acces"))
    assert "<h1>Renvoyer l’invitation</h1>" in again
    sentences = re.findall(r"<li>([^<]+)</li>", again.partition("<main")[2])
    assert [re.split(r"\.|\s:", sentence)[0] for sentence in sentences] == [
        "Un mail part à nouveau",
        "Si la personne n’a jamais utilisé le bureau",
        "Si elle l’utilise déjà ailleurs",
    ], "both cases, for every mailbox"
    assert post(browser, f"/equipe/{key}/acces").headers["Location"] == "/equipe?fait=renvoye"
    assert db.session.query(OutboxMessage).count() == before + 1
    message = db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.created_at.desc()).limit(1)).one()
    assert set(message.payload) == ({"staff"} if account == "enrolled" else {"invitation"}), "a link, or none"
    assert db.session.query(StaffInvitation).filter_by(is_reset=True).count() == 0
    staff.enrolled_at = staff.last_sign_in_at = now()
    db.session.commit()
    assert staff.name in text(browser.get("/equipe"))
    assert staff.name in text(browser.get("/journal"))


def test_who_is_unseen_is_searched_sorted_journalled_and_told_by_the_mail_address(
    colleagues: Colleagues, build: Build
) -> None:
    build.school()
    elsewhere = colleagues.person("Zénobie Quatrefages")
    elsewhere.email = elsewhere.mailbox = PERSON["mail"]
    elsewhere.enrolled_at = elsewhere.last_sign_in_at = now() - timedelta(days=1)
    db.session.commit()
    colleagues.grant(elsewhere, Role.HEAD, uai=COLLEGE)
    browser = colleagues.signed_in(Role.HEAD, uai=LYCEE)
    post(browser, "/equipe/inviter", role="secretary", **PERSON)
    assert PERSON["mail"] in text(browser.get("/equipe?q=ines"))
    assert PERSON["mail"] not in text(browser.get("/equipe?q=Quatre"))
    page = browser.get("/journal")
    assert PERSON["mail"] in text(page)
    assert "Invitation au bureau" in text(page), "the entry that an unknown mailbox has"
    export = browser.post("/journal/export", data={"csrf_token": form_token(page), "format": "csv"})
    assert "Quatrefages" not in text(page) + text(export)
    db.session.add(StaffCredential(staff_id=elsewhere.id, kind=CredentialKind.TOTP, secret=b"encrypted"))
    db.session.commit()
    at_work, _ = colleagues.session(elsewhere)
    assert post(at_work, "/ma-securite/codes-de-secours", "/etablissements").status_code == 200
    mails = db.session.scalars(select(OutboxMessage).where(OutboxMessage.kind == NEW_CREDENTIAL)).all()
    assert {mail.payload["recipient"] for mail in mails} == {str(elsewhere.id)}
