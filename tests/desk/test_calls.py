"""« Ce n’est pas mon enfant », on the telephone: the dispute that a colleague opens for a caller."""

import uuid
from html import unescape

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from idp.accounts.models import Account, Guardianship, SchoolNotice
from idp.accounts.notices import NOTICE
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff.models import Role
from idp.my_account.connections.rules import acts_of_others
from idp.outbox.models import OutboxMessage
from tests.builders import LYCEE, Build
from tests.desk.colleagues import Colleagues, post


def plain(answer: TestResponse) -> str:
    """Return the text of an answer with ordinary spaces."""
    return unescape(answer.get_data(as_text=True)).replace("\u202f", " ").replace("\xa0", " ")


@pytest.mark.both_databases(sqlite_is_long=True)
def test_a_call_about_a_wrong_child_is_a_dispute_and_says_who_took_it(colleagues: Colleagues, build: Build) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé")
    account = build.active(children=[malo, zoe])
    browser, path = colleagues.signed_in(), f"/comptes/{account.id}/pas-mon-enfant/{malo.id}"
    offer = f'href="{path}">Au téléphone : « Ce n’est pas mon enfant »'
    assert offer in plain(browser.get(f"/familles/{malo.id}"))
    page = plain(browser.get(path))
    assert "Le lien avec l’élève et le compte se ferment tout de suite" in page
    assert "Un mail prévient la personne, car quelqu’un d’autre peut appeler en son nom." in page
    results = [post(browser, path, "/"), post(browser, path, "/")]
    [notice] = db.session.scalars(select(SchoolNotice))
    assert {result.headers["Location"] for result in results} == {f"/signalements/{notice.id}?fait=appel"}
    after = plain(browser.get(results[0].headers["Location"]))
    assert "C’est noté" in after
    assert "quelqu’un a dit au nom de" in after
    assert "<dt>Appel pris par</dt><dd>Sylvie Marchand" in after
    assert "corrigez le fichier" in after
    ties = {tie.child_id: tie.is_disputed for tie in db.session.get_one(Account, account.id).guardianships}
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
    post(browser, path, "/")
    db.session.refresh(account)
    assert account.provisional_hash is None


@pytest.mark.parametrize("state", ["suspended_at", "ended_at", "none"])
def test_a_call_about_a_tie_that_does_not_hold_changes_nothing(
    colleagues: Colleagues, build: Build, state: str
) -> None:
    malo, zoe = build.child("Malo"), build.child("Zoé", uai=LYCEE)
    account = build.active(children=[malo, zoe])
    [tie] = [tie for tie in account.guardianships if tie.child_id == malo.id]
    browser, path = colleagues.signed_in(Role.HEAD), f"/comptes/{account.id}/pas-mon-enfant"
    if state == "none":
        for child in (zoe.id, build.child("Tom").id, uuid.uuid4()):
            assert post(browser, f"{path}/{child}", "/").status_code == 404
    else:
        setattr(tie, state, now())
        db.session.add(Guardianship(account_id=account.id, child_id=build.child("Lou").id))  # it keeps it in scope
        db.session.commit()
        assert "Rien n’a été fait" in plain(post(browser, f"{path}/{malo.id}", "/"))
    assert not db.session.scalars(select(SchoolNotice)).all()
