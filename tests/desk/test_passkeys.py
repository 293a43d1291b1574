"""Passkeys at the desk: enrolment, sign-in, proof; whatever proves nothing is refused, and never with a 5xx."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask
from sqlalchemy import func, select

from idp.audit.models import AuditEntry
from idp.clock import now
from idp.db import db
from idp.desk.staff.models import CredentialKind, StaffAccount, StaffCredential
from idp.desk.team.mails import NEW_CREDENTIAL
from idp.outbox.queue import OutboxMessage
from idp.sessions import devices
from idp.throttle import guard, limits
from idp.throttle.counters import ThrottleCounter
from idp.throttle.limits import Limit
from tests.authenticator import Authenticator, b64, options
from tests.desk import authenticator
from tests.desk.authenticator import answer_with
from tests.desk.colleagues import Colleagues, is_in, post
from tests.pages import form_token, heading

REFUSED = "Cette clé d’accès n’a pas été reconnue."


def keys(staff: StaffAccount) -> int:
    statement = select(func.count()).where(
        StaffCredential.staff_id == staff.id, StaffCredential.kind == CredentialKind.PASSKEY
    )
    return db.session.scalar(statement) or 0


@pytest.mark.parametrize(
    "key",
    [Authenticator(step=0), Authenticator(count=2**32 - 3), Authenticator(credential_id=b"k" * 900)],
    ids=["a counter at zero", "a counter with all its bits", "a long credential id"],
)
def test_a_passkey_of_any_kind_signs_in(desk: Flask, colleagues: Colleagues, key: Authenticator) -> None:
    colleagues.enrolled(key)
    assert authenticator.sign_in(desk.test_client(), key).status_code == 303


def test_a_challenge_of_another_browser_is_refused(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    colleagues.enrolled(key)
    answer = key.get(options(desk.test_client(), "/connexion/defi", "/connexion"))
    refused(answer_with(desk.test_client(), answer))


def refused(page: Any, words: str = REFUSED) -> None:
    """Check that a page says that the key was not accepted."""
    assert page.status_code == 200
    assert words in page.get_data(as_text=True)


@pytest.mark.row("K-20")
def test_an_answer_works_once(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    colleagues.enrolled(key)
    browser = desk.test_client()
    answer = key.get(options(browser, "/connexion/defi", "/connexion"))
    assert answer_with(browser, answer).status_code == 303
    post(browser, "/deconnexion", "/etablissements")
    refused(answer_with(browser, answer))


def test_a_late_answer_is_refused(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    colleagues.enrolled(key)
    browser, start = desk.test_client(), now()
    with time_machine.travel(start, tick=False) as clock:
        answer = key.get(options(browser, "/connexion/defi", "/connexion"))
        clock.shift(timedelta(minutes=10))
        refused(answer_with(browser, answer))


def test_a_challenge_serves_its_own_purpose(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    browser, _ = colleagues.enrolled(key)
    of_a_proof = options(browser, "/preuve/defi", "/etablissements")
    of_an_addition = options(browser, "/ma-securite/defi", "/etablissements")
    post(browser, "/deconnexion", "/etablissements")
    for begun in (of_a_proof, of_an_addition):
        refused(answer_with(browser, key.get(begun)))
    assert not is_in(browser)


CHANGES: dict[str, Callable[[Authenticator], None]] = {
    "another origin": lambda key: setattr(key, "origin", "https://bureau.exemple.test.mechant.test"),
    "the origin of the parents": lambda key: setattr(key, "origin", "https://connexion.exemple.test"),
    "no TLS": lambda key: setattr(key, "origin", "http://bureau.exemple.test"),
    "another relying party": lambda key: setattr(key, "rp_id", "exemple.test"),
    "no user verification": lambda key: setattr(key, "is_verified", False),
    "a counter that goes back": lambda key: setattr(key, "step", -1),
    "a counter that stays": lambda key: setattr(key, "step", 0),
    "another key": lambda key: setattr(key, "key", Authenticator().key),
    "an unknown credential": lambda key: setattr(key, "credential_id", b"unknown"),
    "the handle of another person": lambda key: setattr(key, "user_handle", b"0123456789abcdef"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_wrong_answer_opens_nothing(desk: Flask, colleagues: Colleagues, change: str) -> None:
    key = Authenticator(count=5)
    colleagues.enrolled(key)
    CHANGES[change](key)
    browser = desk.test_client()
    refused(authenticator.sign_in(browser, key))
    assert not is_in(browser)
    failure = select(AuditEntry.details).where(AuditEntry.kind == "staff.sign_in", AuditEntry.result == "refused")
    assert db.session.scalar(failure) == {"reason": "passkey", "mailbox_digest": ""}


@pytest.mark.parametrize("change", ["another origin", "another relying party", "no user verification"])
def test_a_wrong_answer_enrols_nothing(desk: Flask, colleagues: Colleagues, change: str) -> None:
    key, link, browser = Authenticator(), colleagues.invited(), desk.test_client()
    CHANGES[change](key)
    page = authenticator.enrol(browser, link, key)
    assert "La clé d’accès n’a pas été enregistrée." in page.get_data(as_text=True)
    assert not is_in(browser)
    assert db.session.scalar(select(func.count(StaffCredential.id))) == 0
    assert heading(authenticator.enrol(browser, link, Authenticator())) == "Votre accès est prêt"


@pytest.mark.row("K-19")
def test_a_challenge_serves_one_invitation(desk: Flask, colleagues: Colleagues) -> None:
    mine, theirs, browser = colleagues.invited(), colleagues.invited("Ahmed Roux"), desk.test_client()
    answer = Authenticator().create(options(browser, f"{theirs}/defi", theirs))
    page = browser.post(mine, data={"csrf_token": form_token(browser.get(mine)), "passkey": answer})
    assert "La clé d’accès n’a pas été enregistrée." in page.get_data(as_text=True)


@pytest.mark.row("K-19")
def test_nobody_adds_a_key_with_the_challenge_of_an_enrolment(desk: Flask, colleagues: Colleagues) -> None:
    browser, staff = colleagues.enrolled(Authenticator())
    link = colleagues.invited("Ahmed Roux")
    answer = Authenticator().create(options(browser, f"{link}/defi", link))
    post(browser, "/ma-securite/cles", "/etablissements", passkey=answer)
    assert keys(staff) == 1


@pytest.mark.row("K-19")
def test_a_key_belongs_to_one_person(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    _, owner = colleagues.enrolled(key)
    link, browser = colleagues.invited("Ahmed Roux"), desk.test_client()
    page = authenticator.enrol(browser, link, key)
    assert "La clé d’accès n’a pas été enregistrée." in page.get_data(as_text=True)
    assert keys(owner) == 1


@pytest.mark.row("K-19")
def test_nobody_proves_for_another(desk: Flask, colleagues: Colleagues) -> None:
    theirs = Authenticator()
    colleagues.enrolled(theirs)
    browser = colleagues.signed_in(proof_age=timedelta(minutes=11))
    refused(answer_with(browser, theirs.get(options(browser, "/preuve/defi", "/preuve")), "/preuve"))
    assert post(browser, "/ma-securite/defi", "/etablissements").headers["Location"] == "/preuve?suite=%2Fma-securite"
    entry = db.session.query(AuditEntry).filter_by(kind="staff.proved").one()
    assert (entry.result, entry.details["authenticator"]) == ("refused", "passkey")
    statuses = [answer_with(browser, "{}", "/preuve").status_code for _ in range(5)]
    assert statuses == [200] * 4 + [429], "as with codes, so that the journal does not grow for ever"


@pytest.mark.row("K-20")
def test_a_proof_by_a_passkey_is_fresh_for_ten_minutes(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    with time_machine.travel(now(), tick=False) as clock:
        browser, _ = colleagues.enrolled(key)
        clock.shift(timedelta(minutes=10))
        assert (
            post(browser, "/ma-securite/defi", "/etablissements").headers["Location"] == "/preuve?suite=%2Fma-securite"
        )
        failed = answer_with(browser, "{}", "/preuve").get_data(as_text=True)
        assert "utilisez un code" not in failed, "there is no password"
        answer = key.get(options(browser, "/preuve/defi", "/preuve"))
        led = answer_with(browser, answer, "/preuve?suite=%2Fma-securite")
        assert led.headers["Location"] == "/ma-securite"
        assert post(browser, "/ma-securite/defi", "/etablissements").status_code == 200
        clock.shift(timedelta(minutes=10))
        refused(answer_with(browser, answer, "/preuve"))
        assert post(browser, "/ma-securite/defi", "/etablissements").status_code == 303


def test_keys_are_added_and_removed_but_the_last_means_is_kept(colleagues: Colleagues) -> None:
    first, second = Authenticator(), Authenticator()
    browser, staff = colleagues.enrolled(first)
    answer = second.create(options(browser, "/ma-securite/defi", "/etablissements"))
    added = post(browser, "/ma-securite/cles", "/etablissements", passkey=answer, passkey_name="téléphone")
    assert added.headers["Location"] == "/ma-securite?fait=cle"
    assert recipients_of(CredentialKind.PASSKEY) == {str(staff.id)}
    ids = db.session.scalars(
        select(StaffCredential.id).where(
            StaffCredential.staff_id == staff.id, StaffCredential.kind == CredentialKind.PASSKEY
        )
    ).all()
    removed = post(browser, "/ma-securite/cles/retirer", "/etablissements", key=str(ids[0]))
    assert removed.headers["Location"] == "/ma-securite?fait=retiree"
    again = post(browser, "/ma-securite/cles/retirer", "/etablissements", key="none")
    assert again.headers["Location"] == "/ma-securite", "nothing was removed, and the page does not say so"
    kept = post(browser, "/ma-securite/cles/retirer", "/etablissements", key=str(ids[1]))
    assert "C’est votre seul moyen d’entrer" in kept.get_data(as_text=True)
    assert keys(staff) == 1


@pytest.mark.row("K-19")
def test_nobody_removes_the_key_of_another(colleagues: Colleagues) -> None:
    _, owner = colleagues.enrolled(Authenticator())
    key_id = db.session.scalar(select(StaffCredential.id).where(StaffCredential.kind == CredentialKind.PASSKEY))
    browser, _ = colleagues.enrolled(Authenticator())
    for typed in (str(key_id), "", "x", "\x00"):
        post(browser, "/ma-securite/cles/retirer", "/etablissements", key=typed)
    assert keys(owner) == 1


def recipients_of(kind: CredentialKind) -> set[str]:
    """Return whom a mail about a new credential is for."""
    rows = db.session.query(OutboxMessage).filter_by(kind=NEW_CREDENTIAL)
    return {row.payload["recipient"] for row in rows if row.payload["credential"] == kind.value}


def counted(limit: Limit) -> int:
    rows = db.session.query(ThrottleCounter).filter(ThrottleCounter.limit.like(f"{limit.name}:%"))
    return sum(row.count for row in rows)


def test_a_stranger_on_the_network_of_a_school_blocks_no_browser_of_the_desk(
    desk: Flask, colleagues: Colleagues
) -> None:
    key = Authenticator()
    browser, _ = colleagues.enrolled(key)
    post(browser, "/deconnexion", "/etablissements")
    with desk.test_request_context():
        for limit, tries in ((limits.DESK_CHALLENGE_IP, 300), (limits.DESK_SIGN_IN_IP, 60)):
            assert [type(guard.take(limit, "127.0.0.1")) for _ in range(tries)] == [guard.Granted] * tries
    stranger = desk.test_client()
    assert post(stranger, "/connexion/defi", "/connexion").status_code == 429
    assert answer_with(stranger, "{}").status_code == 429
    assert authenticator.sign_in(browser, key).headers["Location"] == "/"
    assert counted(limits.DESK_CHALLENGE_DEVICE) == counted(limits.DESK_PASSKEY_DEVICE) == 0


def test_a_browser_of_the_desk_has_a_budget_too(desk: Flask, colleagues: Colleagues) -> None:
    browser, _ = colleagues.enrolled(Authenticator())
    post(browser, "/deconnexion", "/etablissements")
    token = form_token(browser.get("/connexion"))
    answers = [browser.post("/connexion/defi", data={"csrf_token": token}).status_code for _ in range(101)]
    assert answers == [200] * 100 + [429]


def test_a_right_passkey_is_uncounted(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    colleagues.enrolled(key)
    browser = desk.test_client()
    begun = options(browser, "/connexion/defi", "/connexion")
    assert counted(limits.DESK_CHALLENGE_IP) == 1
    assert answer_with(browser, key.get(begun)).status_code == 303
    assert counted(limits.DESK_CHALLENGE_IP) == counted(limits.DESK_SIGN_IN_IP) == 0


def test_the_cookie_of_a_parent_has_no_budget_at_the_desk(desk: Flask) -> None:
    with desk.test_request_context():
        response = desk.make_response("")
        devices.remember(response, "n.oneill4821")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    with desk.test_request_context(headers={"Cookie": cookie}):
        assert devices.known("n.oneill4821")
        assert devices.of_desk() is None


def spoiled() -> list[tuple[str, Any]]:
    """Return members of an answer with values that do not belong there."""
    values: list[Any] = [None, 1, "", "é", "A", b64(b"\xff" * 40), b64(b"\x9f" * 40), b64(b"\x81" * 3000)]
    members = ["id", "rawId", "type", "clientExtensionResults", "authenticatorAttachment"]
    inner = ["authenticatorData", "signature", "userHandle", "attestationObject", "transports"]
    return [(name, value) for name in [*members, *(f"response.{n}" for n in inner)] for value in values]


def test_answers_with_a_spoiled_member_open_nothing_but_what_they_prove(desk: Flask, colleagues: Colleagues) -> None:
    key = Authenticator()
    _, staff = colleagues.enrolled(key)
    browser = desk.test_client()
    token = form_token(browser.get("/connexion"))
    for name, value in spoiled():
        begun = json.loads(browser.post("/connexion/defi", data={"csrf_token": token}).get_data(as_text=True))
        answer = spoil(key.get(begun), name, value)
        page = browser.post("/connexion", data={"csrf_token": token, "passkey": answer})
        assert page.status_code in {200, 303, 429}, (name, value)
        if page.status_code == 303:
            browser = desk.test_client()  # in which nobody is signed in
            token = form_token(browser.get("/connexion"))
    assert keys(staff) == 1


def test_registrations_with_a_spoiled_member_are_no_fault_of_ours(desk: Flask, colleagues: Colleagues) -> None:
    browser, _ = colleagues.enrolled(Authenticator())
    token = form_token(browser.get("/etablissements"))
    for name, value in spoiled():
        begun = json.loads(browser.post("/ma-securite/defi", data={"csrf_token": token}).get_data(as_text=True))
        answer = spoil(Authenticator().create(begun), name, value)
        page = browser.post("/ma-securite/cles", data={"csrf_token": token, "passkey": answer})
        assert page.status_code in {200, 303}, (name, value)


def spoil(answer: str, name: str, value: Any) -> str:
    content = json.loads(answer)
    outer, _, inner = name.partition(".")
    if inner:
        content[outer][inner] = value
    else:
        content[outer] = value
    return json.dumps(content)
