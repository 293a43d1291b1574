"""« Ce n’est pas mon enfant », on the telephone: the dispute that a colleague opens for a caller."""

import uuid
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from idp.accounts import notices
from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.accounts.notices import NOTICE, Notice
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db, unit_of_work
from idp.desk.staff.models import Role, StaffAccount
from idp.my_account.connections import acts_of_others
from idp.outbox.queue import OutboxMessage
from idp.throttle import guard
from idp.throttle.limits import HEAD_CLOSINGS, SECRETARY_CLOSINGS, Budget
from tests.builders import COLLEGE, LYCEE, Build
from tests.closed import closed_as, settle_dispute, suspend
from tests.desk.colleagues import Colleagues, post
from tests.email_confirmation.post import text_of
from tests.pages import form_token

CALL = {"caller": "la mère, 06 12 34 56 78", "reason": "elle n’a pas d’enfant ici"}
"""Who calls, and what they say."""


def plain(answer: TestResponse) -> str:
    return unescape(answer.get_data(as_text=True)).replace("\u202f", " ").replace("\xa0", " ")


def in_role(colleagues: Colleagues, staff: StaffAccount, role: Role) -> FlaskClient:
    """Return a browser in which a person of several roles acts in this one."""
    chosen = colleagues.grant(staff, role)
    browser, session = colleagues.session(staff)
    session.role_id = chosen.id
    db.session.commit()
    return browser


def test_a_call_about_a_wrong_child_is_a_dispute_and_says_who_took_it(colleagues: Colleagues, build: Build) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account = build.active(children=[malo, zoe])
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}/pas-mon-enfant/{malo.id}"
    offer = f'href="{path}">Au téléphone : « Ce n’est pas mon enfant »'
    assert offer in plain(browser.get(f"/familles/{malo.id}"))
    page = plain(browser.get(path))
    assert "Le lien avec l’élève et le compte se ferment tout de suite" in page
    assert "Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom." in page
    assert "Écrivez qui appelle" in plain(post(browser, path, "/", reason=CALL["reason"]))
    results = [post(browser, path, "/", **CALL), post(browser, path, "/", **CALL)]
    [notice] = db.session.scalars(select(SchoolNotice))
    [noted] = db.session.scalars(select(AuditEntry.details).where(AuditEntry.kind == "guardianship.disputed"))
    assert noted["reason"] == "la mère, 06 12 34 56 78 : elle n’a pas d’enfant ici"
    assert {result.headers["Location"] for result in results} == {f"/signalements/{notice.id}?fait=appel"}
    after = plain(browser.get(results[0].headers["Location"]))
    assert "C’est noté" in after
    assert "quelqu’un a dit au nom de" in after
    assert "<dt>Appel pris par</dt><dd>Sylvie Marchand" in after
    assert "Corrigez aussi le fichier" in after
    ties = {tie.child_id: "disputed" in closed_as(tie) for tie in db.session.get_one(Account, account.id).guardianships}
    assert ties == {malo.id: True, zoe.id: False}
    [entry] = db.session.scalars(select(AuditEntry).where(AuditEntry.kind == "guardianship.disputed"))
    assert (entry.details["by_telephone"], entry.details["desk"]["role"]) == (True, "secretary")
    [mail] = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE))
    assert (mail["notice"], mail["account"]) == ("compte_conteste", str(account.id))
    shown = plain(browser.get(f"/comptes/{account.id}"))
    assert "Au téléphone : « Ce n’est pas mon enfant »" in shown, "the last events say it"
    assert "Quelqu’un a dit au nom de cette personne qu’elle n’est pas responsable d’un enfant." in shown
    assert offer not in plain(browser.get(f"/familles/{malo.id}"))
    [(_, words)] = acts_of_others(account.id)
    assert "après un appel en votre nom" in str(words), "« Mes connexions » says it, when the account is open again"
    post(browser, f"/signalements/{notice.id}/rejet", sentence="vu avec la famille")
    settled = plain(browser.get(f"/signalements/{notice.id}?fait=rejet"))
    assert "est rétabli" in settled
    assert "courrier" not in settled.partition("<main")[2], "the password of an activated account still works"


@pytest.mark.parametrize("is_active", [False, True])
def test_a_call_says_first_that_the_letter_ends(colleagues: Colleagues, build: Build, *, is_active: bool) -> None:
    malo = build.child("Malo")
    account = build.active(children=[malo]) if is_active else build.never_activated(children=[malo])
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}/pas-mon-enfant/{malo.id}"
    assert ("Son courrier ne marche plus" in plain(browser.get(path))) is not is_active
    post(browser, path, "/", **CALL)
    db.session.refresh(account)
    assert is_active or (account.provisional_expires_at or now()) <= now()


def test_the_head_alone_confirms_a_call_with_a_proof_and_not_the_own_one(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    account = build.active(children=[malo])
    staff = colleagues.person()
    as_secretary, as_head = (in_role(colleagues, staff, role) for role in (Role.SECRETARY, Role.HEAD))
    other = colleagues.signed_in(Role.HEAD)
    called = post(as_secretary, f"/comptes/{account.id}/pas-mon-enfant/{malo.id}", "/", **CALL)
    notice = called.headers["Location"].partition("?")[0]
    for browser in (as_secretary, as_head, colleagues.signed_in()):
        page = plain(browser.get(notice))
        assert ("Rejeter" in page, "Donner raison" in page, "n’y est plus" in page) == (True, False, False)
        for reply in ("raison", "fichier"):
            assert post(browser, f"{notice}/{reply}", "/", sentence="vu").status_code == 404
    colleagues.age_proofs()
    for reply in ("raison", "rejet"):
        assert other.get(f"{notice}/{reply}").headers["Location"].startswith("/preuve?")
    assert "disputed" in closed_as(db.session.get_one(Guardianship, (account.id, malo.id)))
    colleagues.age_proofs(timedelta())
    assert post(other, f"{notice}/raison", sentence="vu avec la famille").status_code == 303
    db.session.expire_all()
    assert "excluded" in closed_as(db.session.get_one(Guardianship, (account.id, malo.id)))
    assert db.session.get_one(Account, account.id).disabled_at is not None
    mails = db.session.scalars(select(OutboxMessage.payload).where(OutboxMessage.kind == NOTICE)).all()
    assert {mail["notice"] for mail in mails} == {"compte_conteste", "lien_fini"}
    back = f"/comptes/{account.id}/pas-mon-enfant/{malo.id}/retour"
    for browser, offered in ((as_secretary, False), (as_head, True)):
        assert (f'href="{back}">Rétablir le lien' in plain(browser.get(f"/familles/{malo.id}"))) is offered
        assert (browser.get(back).status_code == 200) is offered
    restored = post(as_head, back, reason="venue avec le livret de famille")
    assert "C’est rétabli" in plain(as_head.get(restored.headers["Location"]))
    db.session.expire_all()
    assert db.session.get_one(Guardianship, (account.id, malo.id)).holds_at(now())
    assert db.session.get_one(Account, account.id).disabled_at is None
    assert "il n’y a rien à rétablir" in plain(as_head.get(back))
    late = post(as_head, back, "/", reason="venue avec le livret de famille")
    assert "un collègue a peut-être répondu avant vous" in plain(late)


def test_who_took_any_call_about_a_tie_does_not_confirm_it(colleagues: Colleagues, build: Build) -> None:
    malo = build.child("Malo")
    path = f"/comptes/{build.active(children=[malo]).id}/pas-mon-enfant/{malo.id}"
    heads = [in_role(colleagues, colleagues.person(name), Role.HEAD) for name in ("Anne", "Bea", "Cléo")]
    for browser in (heads[0], heads[1], heads[0]):
        notice = post(browser, path, "/", **CALL).headers["Location"].partition("?")[0]
    for browser, may_confirm in zip(heads, (False, False, True), strict=True):
        page = plain(browser.get(notice))
        assert "<dt>Appel pris par</dt><dd>Anne, Bea</dd>" in page
        assert ("Donner raison" in page) is may_confirm
        assert (browser.get(f"{notice}/raison").status_code == 200) is may_confirm


def test_after_a_rejected_call_every_school_prints_a_letter_at_once_and_a_mail_says_so(
    colleagues: Colleagues, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    build.ent(uais=[COLLEGE, LYCEE])
    account = build.never_activated(children=[malo, zoe], school_email="gaston@exemple.test")
    head = colleagues.signed_in(Role.HEAD)
    called = post(head, f"/comptes/{account.id}/pas-mon-enfant/{malo.id}", "/", **CALL)
    notice = called.headers["Location"].partition("?")[0]
    answered = post(head, f"{notice}/rejet", sentence="vu avec la famille").headers["Location"]
    assert "Son courrier ne marche plus : imprimez-en un autre." in plain(head.get(answered))
    assert f'href="/comptes/{account.id}/courrier">Imprimer un courrier pour' in plain(head.get(notice))
    elsewhere = colleagues.signed_in(uai=LYCEE)
    for browser in (head, elsewhere):
        assert "Il vous faut un courrier" in plain(browser.get(f"/comptes/{account.id}"))
        form = browser.get(f"/comptes/{account.id}/courrier")
        assert 'name="generation"' in plain(form)
    sent: list[Any] = []
    monkeypatch.setattr(notices, "deliver", lambda mail, recipient: sent.append((mail, recipient)))
    with unit_of_work():
        notices.tell(Notice.TIE_ENDED, account.id, school=str(malo.school_id))
    of_notices = select(OutboxMessage).where(OutboxMessage.kind == NOTICE).order_by(OutboxMessage.created_at)
    for message in db.session.scalars(of_notices).all():
        notices.hand_over(message, build.settings, lambda _account: [])
    assert [(mail["Subject"], recipient) for mail, recipient in sent] == [
        ("Votre compte est fermé pour le moment", "gaston@exemple.test"),
        ("Votre compte est de nouveau ouvert", "gaston@exemple.test"),
        ("Un élève n’est plus dans votre compte", "gaston@exemple.test"),
    ], "nobody knows who called, also before the account is activated"
    assert "Votre courrier ne marche plus" in text_of(sent[1][0])
    assert not [mail for mail, _ in sent if account.username in mail.as_string()], "nobody has proved the mailbox"


def test_a_second_call_about_a_tie_waits_seven_days_or_the_head(colleagues: Colleagues, build: Build) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account = build.active(children=[malo, zoe])
    secretary, path = colleagues.signed_in(), f"/comptes/{account.id}/pas-mon-enfant"
    notice = post(secretary, f"{path}/{malo.id}", "/", **CALL).headers["Location"].partition("?")[0]
    post(secretary, f"{notice}/rejet", sentence="vu avec la famille")
    assert "il y a moins de 7 jours : seule la direction" in plain(post(secretary, f"{path}/{malo.id}", "/", **CALL))
    assert "disputed" not in closed_as(db.session.get_one(Account, account.id).guardianships[0])
    assert post(secretary, f"{path}/{zoe.id}", "/", **CALL).status_code == 303, "another tie is another call"
    assert post(colleagues.signed_in(Role.HEAD), f"{path}/{malo.id}", "/", **CALL).status_code == 303
    db.session.execute(update(SchoolNotice).values(settled_at=now() - timedelta(days=7)))
    settle_dispute()
    db.session.commit()
    assert post(secretary, f"{path}/{malo.id}", "/", **CALL).status_code == 303


@pytest.mark.parametrize(("role", "limit"), [(Role.SECRETARY, SECRETARY_CLOSINGS), (Role.HEAD, HEAD_CLOSINGS)])
def test_calls_and_suspensions_of_one_person_are_bounded_together(
    colleagues: Colleagues, build: Build, role: Role, limit: Budget
) -> None:
    ties = [(build.active(children=[child]), child) for child in (build.child(f"P{n}") for n in range(4))]
    staff = colleagues.person()
    browser = in_role(colleagues, staff, role)
    for _ in range(limit.windows[0].tries - 2):
        guard.take(limit, str(staff.id))
    token = form_token(browser.get("/"))

    def close(number: int) -> TestResponse:
        account, child = ties[number]
        fields = {"csrf_token": token, **CALL, "scope": child.id.hex, "reason": "enquête en cours", "end": "ouverte"}
        path = "suspension" if number % 2 else f"pas-mon-enfant/{child.id}"
        return browser.post(f"/comptes/{account.id}/{path}", data=fields)

    assert {close(number).status_code for number in (0, 0, 1)} == {303}, "a second click counts no more"
    for number in (2, 3):
        assert f"le maximum d’accès fermés : {limit.rates}" in plain(close(number))
        assert ties[number][0].guardianships[0].holds_at(now())


@pytest.mark.parametrize("state", ["suspended", "ended", "none"])
def test_a_call_about_a_tie_that_does_not_hold_changes_nothing(
    colleagues: Colleagues, build: Build, state: str
) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    account = build.active(children=[malo, zoe])
    [tie] = [tie for tie in account.guardianships if tie.child_id == malo.id]
    browser, path = colleagues.signed_in(Role.HEAD), f"/comptes/{account.id}/pas-mon-enfant"
    if state == "none":
        for child in (zoe.id, build.child("Tom").id, uuid.uuid4()):
            assert post(browser, f"{path}/{child}", "/", **CALL).status_code == 404
    else:
        if state == "ended":
            tie.ended_at = now()
        else:
            suspend(account.id, malo.id)
        db.session.add(Guardianship(account_id=account.id, child_id=build.child("Lou").id))  # it keeps it in scope
        db.session.commit()
        assert "Rien n’a été fait" in plain(post(browser, f"{path}/{malo.id}", "/", **CALL))
    assert not db.session.scalars(select(SchoolNotice)).all()
