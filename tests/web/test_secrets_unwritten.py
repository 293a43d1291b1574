"""O-01: no secret is ever written down, even when everything that can log is turned up to DEBUG.

`tests.canaries` looks after every test. Here it is shown that it sees, and a whole first sign-in is looked at with what
it cannot know by itself: cookies, signed values, what a person mistyped.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import update

from idp import opaque
from idp.audit.models import AuditEntry
from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.letters import provisional
from idp.mail.smtp import Transport
from idp.outbox.queue import OutboxMessage
from idp.outbox.worker import Worker
from idp.services import services_of
from tests.builders import PASSWORD, PROVISIONAL, Build, commit
from tests.canaries import Canaries
from tests.databases import ISSUER, SECRET
from tests.email_confirmation.post import text_of
from tests.mail.servers import Mailbox, smtp_server
from tests.pages import cookie_value, form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty
from tests.services import change_services

CHOSEN = "canari jaune nuage bizarre"
EMAIL = "canari.jaune@exemple.fr"
WRONG_VERIFIER = "canari-verificateur-faux-" + "x" * 24
WRONG = "faux canari perdu ailleurs"


def caught(canaries: Canaries) -> list[str]:
    """Return what was found, and let this test pass all the same: it wrote down what it did on purpose."""
    matches = canaries.places()
    canaries.forget()
    return matches


@pytest.mark.row("O-01")
def test_a_secret_that_a_library_logs_is_seen_even_at_debug(canaries: Canaries) -> None:
    logging.getLogger("some.library").debug("a %s", opaque.new_value())
    assert caught(canaries) == ["an unguessable value in a line of some.library"]


@pytest.mark.row("O-01")
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: PASSWORD, "a test's password"),  # which JSON escapes
        (lambda: SECRET, "the secret key"),
        (lambda: PROVISIONAL, "a provisional password"),
        (lambda: provisional.draw(), "a provisional password"),  # noqa: PLW0108 - looked up when the test runs
        (lambda: provisional.show(provisional.draw()), "a provisional password"),
        (opaque.new_value, "an unguessable value"),
        (lambda: opaque.keyed_value(b"k" * 32, "x"), "a link's token"),
    ],
)
def test_a_secret_that_the_service_logs_is_seen(canaries: Canaries, make: Callable[[], str], what: str) -> None:
    structlog.get_logger().debug("tested", value=make())
    assert caught(canaries) == [f"{what} in the log (tested)"]


@pytest.mark.row("O-01")
def test_a_typed_value_in_a_log_is_seen(app: Flask, canaries: Canaries) -> None:
    services_of(app).hasher.verify(None, WRONG, "sign_in")
    structlog.get_logger().info("tested", value=WRONG)
    assert caught(canaries) == ["what somebody typed as a password in the log (tested)"]


@pytest.mark.row("O-01")
def test_a_secret_in_the_journal_or_the_outbox_is_seen(app: Flask, canaries: Canaries) -> None:
    secret = opaque.new_value()
    db.session.add(AuditEntry(kind="tested", result="ok", details={"why": secret}))
    db.session.add(OutboxMessage(kind="tested", payload={"to": secret}))
    db.session.add(OutboxMessage(kind="tested too", payload={}, last_error=f"550 {secret}"))
    db.session.commit()
    canaries.keep_stored(db.engine)
    assert caught(canaries) == [
        f"an unguessable value in {where}"
        for where in ("the journal (tested)", "the outbox (tested too)", "the outbox (tested)")
    ]
    for table in (AuditEntry, OutboxMessage):
        db.session.query(table).delete()
    db.session.commit()


@pytest.mark.row("O-01")
def test_no_secret_of_a_first_sign_in_is_written_down(
    app: Flask, browser: FlaskClient, build: Build, settings: Settings, canaries: Canaries
) -> None:
    ent = build.ent(scopes="openid profile email ent charter offline_access")
    account = build.never_activated()
    secrets = {"client secret": ent.secret or "", "secret key": settings.secret_key.get_secret_value()}
    secrets |= activation(app, browser, ent, account.username)
    secrets |= exchange(browser, ent, account.username)
    secrets |= {
        f"cookie {cookie.key}": cookie.value for cookie in (browser._cookies or {}).values() if len(cookie.value) > 16
    }
    assert len(secrets) >= 20, secrets.keys()
    assert all(len(value) > 8 for value in secrets.values()), secrets
    for what, secret in secrets.items():
        canaries.add(secret, what)
    canaries.keep_stored(db.engine)
    text = "\n".join(text_of_line for _, text_of_line in canaries.written).casefold()
    for line in ("outbox.handed_over", "oidc.token", "sign_in"):
        assert line in text, "something was logged"
    assert canaries.places() == []
    assert [what for what, secret in secrets.items() if secret.casefold() in text] == []


def activation(app: Flask, browser: FlaskClient, ent: RelyingParty, username: str) -> dict[str, str]:
    """Go from the letter to a confirmed address, with a slip at each step; return what nobody else may know."""
    url, mistyped = ent.url(Attempt()), f"{PROVISIONAL[:-1]}X"
    assert heading(sign_in(browser, url, username, mistyped)) == "Connexion"
    page = sign_in(browser, url, username, PROVISIONAL)
    continuation = parse_qs(urlsplit(page.request.url).query)["demande"][0]
    token = form_token(page)
    assert heading(submit(browser, page, nouveau=WRONG, confirmation=CHOSEN, mail="rien")) == "Activez votre compte"
    page = submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN, mail=EMAIL)
    assert heading(page) == "Consultez votre messagerie"
    link = mailed_link(app)
    phone = app.test_client()
    assert heading(submit(phone, phone.get(link), mot_de_passe=CHOSEN)) == "Confirmation de votre adresse mail"
    assert heading(sign_in(browser, url, username, WRONG)) == "Connexion"
    return {
        "provisional password": PROVISIONAL,
        "provisional password, folded": PROVISIONAL.replace("-", ""),
        "mistyped provisional password": mistyped,
        "password": CHOSEN,
        "mistyped password": WRONG,
        "mail address": EMAIL,
        "mail token": link.rpartition("/")[2],
        "continuation": continuation,
        "form token": token,
    }


def mailed_link(app: Flask) -> str:
    """Let a worker hand the mail to a server that refuses it, then to one that takes it; return the link in it."""
    settings = services_of(app).settings
    mailbox = Mailbox(at_rcpt="451 later")
    with smtp_server(mailbox) as port:
        sending = settings.model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")})
        change_services(app, transport=Transport(sending))
        worker = Worker(services_of(app).outbox_handlers)
        assert worker.run_once() == 1
        assert mailbox.mails() == []
        mailbox.at_rcpt = "250 OK"
        commit(update(OutboxMessage).values(available_at=now()))
        assert worker.run_once() == 1
    [mail] = mailbox.mails()
    [link] = [word for word in text_of(mail).split() if word.startswith(ISSUER)]
    return link.removeprefix(ISSUER)


def exchange(browser: FlaskClient, ent: RelyingParty, username: str) -> dict[str, str]:
    """Sign in, exchange the code, use and renew the tokens, and do each of it wrongly too."""
    attempt = Attempt()
    answer = ent.answer(sign_in(browser, ent.url(attempt, scope=" ".join(ent.scopes)), username, CHOSEN))
    assert ent.exchange(browser, answer["code"], attempt, code_verifier=WRONG_VERIFIER).status_code == 400
    liar = replace(ent, secret="canari-secret-invente-de-toutes-pieces")
    assert liar.exchange(browser, answer["code"], attempt).status_code == 401
    attempt = Attempt()
    code = ent.answer(browser.get(ent.url(attempt, scope=" ".join(ent.scopes))))["code"]
    tokens = ent.tokens(browser, code, attempt)
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 200
    assert ent.userinfo(browser, tokens["access_token"] + "x").status_code == 401
    body = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    renewed = browser.post("/token", data=body, headers=ent.basic()).get_json()
    assert ent.exchange(browser, code, attempt).status_code == 400, "a code is good once"
    cookie = cookie_value(browser)
    assert browser.get(f"/logout?id_token_hint={tokens['id_token']}").status_code == 200
    return {
        "code that was refused": answer["code"],
        "state": attempt.state,
        "code": code,
        "code verifier": attempt.verifier,
        "wrong code verifier": WRONG_VERIFIER,
        "wrong client secret": liar.secret or "",
        "basic": ent.basic()["Authorization"].removeprefix("Basic "),
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "second access token": renewed["access_token"],
        "second refresh token": renewed["refresh_token"],
        "ID token": tokens["id_token"],
        "session": cookie,
    }
