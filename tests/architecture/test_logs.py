"""No secret is ever written to a log, even when everything that can log is turned up to DEBUG."""

import logging
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import update

from idp.clock import now
from idp.config import Settings
from idp.db import db
from idp.mail import deliver
from idp.mail.smtp import Transport
from idp.outbox import commands as outbox
from idp.outbox.models import OutboxMessage
from idp.outbox.worker import Worker
from tests.builders import PROVISIONAL, Build
from tests.databases import ISSUER
from tests.mail.servers import Mailbox, smtp_server
from tests.pages import form_token, heading, sign_in, submit
from tests.relying_party import Attempt, RelyingParty

CHOSEN = "canari jaune nuage bizarre"
ADDRESS = "canari.jaune@exemple.fr"
WRONG_VERIFIER = "canari-verificateur-faux-" + "x" * 24
WRONG = "faux canari perdu ailleurs"


class Everything(logging.Handler):
    """Keeps what is logged, by whichever library and at whichever level, in all its parts."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.kept: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "mail.log":  # the test's own SMTP server
            return
        text = logging.Formatter("%(name)s %(message)s").format(record)  # the traceback included
        self.kept += [text, repr(record.args)]

    def event(self, _logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Keep what the product itself logs."""
        self.kept.append(repr(structlog.processors.format_exc_info(None, "", {**event})))
        raise structlog.DropEvent


@pytest.fixture
def everything(app: Flask) -> Iterator[Everything]:
    """Every logger at DEBUG but those that the product holds above it."""
    kept, root = Everything(), logging.getLogger()
    former, processors = root.level, structlog.get_config()
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    app.logger.setLevel(logging.DEBUG)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, kept.event],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    yield kept
    structlog.configure(**processors)
    root.removeHandler(kept)
    root.setLevel(former)


def test_what_is_logged_is_seen(everything: Everything) -> None:
    logging.getLogger("some.library").debug("a %s", "canary1")
    try:
        int("canary2")
    except ValueError:
        logging.getLogger("some.library").debug("failed", exc_info=True)
        structlog.get_logger().debug("event", exc_info=True, value="canary3")
    text = "\n".join(everything.kept)
    for canary in ("canary1", "canary2", "canary3"):
        assert canary in text


def test_no_secret_of_a_first_sign_in_is_logged(
    app: Flask, browser: FlaskClient, build: Build, settings: Settings, everything: Everything
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
    text = "\n".join(everything.kept).casefold()
    assert "outbox.handed_over" in text, "something was logged"
    assert [name for name, value in secrets.items() if value.casefold() in text] == []


def activation(app: Flask, browser: FlaskClient, ent: RelyingParty, username: str) -> dict[str, str]:
    """Go from the letter to a confirmed address, with a slip at each step; return what nobody else may know."""
    url, mistyped = ent.url(Attempt()), f"{PROVISIONAL[:-1]}X"
    assert heading(sign_in(browser, url, username, mistyped)) == "Connexion"
    page = sign_in(browser, url, username, PROVISIONAL)
    continuation = parse_qs(urlsplit(page.request.url).query)["demande"][0]
    token = form_token(page)
    assert heading(submit(browser, page, nouveau=WRONG, confirmation=CHOSEN, mail="rien")) == "Activez votre compte"
    page = submit(browser, page, nouveau=CHOSEN, confirmation=CHOSEN, mail=ADDRESS)
    assert heading(page) == "Consultez votre messagerie"
    link = mailed_link(app)
    assert heading(submit(browser, browser.get(link))) == "Confirmation de votre adresse mail"
    assert heading(sign_in(browser, url, username, WRONG)) == "Connexion"
    return {
        "provisional password": PROVISIONAL,
        "provisional password, folded": PROVISIONAL.replace("-", ""),
        "mistyped provisional password": mistyped,
        "password": CHOSEN,
        "mistyped password": WRONG,
        "mail address": ADDRESS,
        "mail token": link.rpartition("/")[2],
        "continuation": continuation,
        "form token": token,
    }


def mailed_link(app: Flask) -> str:
    """Let a worker hand the mail to a server that refuses it, then to one that takes it; return the link in it."""
    settings: Settings = app.extensions["idp.settings"]
    mailbox = Mailbox(at_rcpt="451 later")
    with smtp_server(mailbox) as port:
        sending = settings.model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}")})
        app.extensions[deliver.EXTENSION] = Transport(sending)
        worker = Worker(app.extensions[outbox.EXTENSION])
        assert worker.run_once() == 1
        assert mailbox.mails() == []
        mailbox.at_rcpt = "250 OK"
        db.session.execute(update(OutboxMessage).values(available_at=now()))
        db.session.commit()
        assert worker.run_once() == 1
    [mail] = mailbox.mails()
    body = mail.get_body(("plain",))
    assert body is not None
    [link] = [word for word in body.get_content().split() if word.startswith(ISSUER)]
    return str(link.removeprefix(ISSUER))


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
    cookie = browser.get_cookie("__Host-ss", domain=urlsplit(ISSUER).hostname or "")
    assert cookie is not None
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
        "session": cookie.value,
    }
