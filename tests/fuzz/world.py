"""The senders of the fuzzer's valid requests: ENTs of every kind, parents at every step, browsers."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from idp.accounts import one_time_links
from idp.accounts.models import Account
from idp.accounts.one_time_links import Purpose
from idp.clients.models import Client
from idp.db import db
from tests.builders import HOME, LYCEE, PASSWORD, Build
from tests.databases import ISSUER
from tests.dpop_party import Key, KeyedParty
from tests.pages import sign_in
from tests.protocol.flow import OFFLINE
from tests.relying_party import Attempt, RelyingParty

Opened = tuple[FlaskClient, str]
"""A browser, and the URL of a page that it may open."""
_TOKENS_KEPT = 240
"""Seconds. They are valid for 600 seconds, and the session lasts longer."""


@dataclass
class World:
    """The ENTs, a parent who stays signed in, and parents for one request each."""

    app: Flask
    build: Build
    _kept: dict[str, Opened] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        more: dict[str, Any] = {"scopes": OFFLINE, "charter": "ent"}
        self.key, self.proving = Key.new(), Key.new()
        jwks = {"keys": [{**self.key.jwk, "kid": self.key.kid, "alg": "ES256", "use": "sig"}]}
        signing = self.build.ent("Signe", "signing.test", auth_method="private_key_jwt", jwks=jwks, **more)
        self.secret = KeyedParty.of(self.build.ent("Secret", "secret.test", **more), key=self.proving)
        self.signing = KeyedParty.of(signing, client=self.key, key=self.proving)
        self.open = self.build.ent("Ouvert", "open.test", auth_method="none", **more)
        self.posting = self.build.ent("Poste", "posting.test", auth_method="client_secret_post", **more)
        self.provider = self.build.ent("Charte", "provider.test", charter="provider")
        self.foreign = self.build.ent("Ailleurs", "foreign.test", uais=[LYCEE])
        self.ents: tuple[RelyingParty, ...] = (self.secret, self.signing, self.open, self.posting)
        for ent in (self.secret, self.provider):
            self.build.publish(ent, "1")
        charter = db.session.query(Client.charter_version_id).filter_by(client_id=self.secret.client_id).scalar()
        self.charter = str(charter)
        self.stranger = self.app.test_client()
        self._tokens: tuple[float, dict[str, str]] = (0, {})

    def may_lead_to(self, location: str) -> bool:
        """Return whether a redirect is allowed: to a page of the service, or to a registered URL of an ENT."""
        hosts = tuple(ent.redirect_uri.removesuffix("cb") for ent in (*self.ents, self.provider, self.foreign))
        ours = location.startswith("/") and not location.startswith(("//", "/\\"))
        return ours or location.startswith((*hosts, f"{ISSUER}/"))

    def new_email(self) -> str:
        """Return a new email: rate limits apply to each mailbox."""
        return f"personne{next(self._numbers)}@exemple.fr"

    def parent(self, **more: object) -> Account:
        return self.build.active(**{"email": self.new_email(), **HOME, **more})

    def unconfirmed(self) -> Account:
        return self.parent(email=None, pending_email=self.new_email())

    def signed_in(self, account: Account | None = None, url: str = "/connexion") -> FlaskClient:
        """Return a new browser in which that parent, or a new one, has just signed in to open `url`."""
        browser = self.app.test_client()
        sign_in(browser, url, (account or self.parent()).username, PASSWORD)
        return browser

    def lasting(self, key: str, opened: Callable[[], Opened]) -> Opened:
        """Return the page of `key`; open it again if the browser can no longer see it."""
        opened_before = self._kept.get(key)
        if opened_before is None or opened_before[0].get(opened_before[1]).status_code != 200:
            opened_before = self._kept[key] = opened()
        return opened_before

    def at_home(self, path: str = "/mon-compte") -> FlaskClient:
        """Return the browser of a signed-in parent who can open that page."""
        return self.lasting(path, lambda: (self.signed_in(), path))[0]

    def link(self, purpose: Purpose) -> str:
        first = purpose is Purpose.CONFIRM_EMAIL
        account = self.unconfirmed() if first else self.parent(pending_email=self.new_email())
        changes = purpose in {Purpose.CONFIRM_EMAIL, Purpose.CHANGE_EMAIL}
        email = (account.pending_email if changes else account.email) or ""
        row = one_time_links.issue(
            self.build.settings, purpose, account, email=email, lifetime=timedelta(minutes=10), keep_older=True
        )
        db.session.commit()
        page = {
            Purpose.CONTEST_EMAIL: "adresse/contestation",
            Purpose.REPORT_ACTIVATION: "adresse/signalement",
            Purpose.RESET_PASSWORD: "mot-de-passe/lien",
        }
        return f"/{page.get(purpose, 'adresse/lien')}/{one_time_links.token(self.build.settings, row)}"

    def code(self, ent: RelyingParty, browser: FlaskClient | None = None) -> tuple[str, Attempt]:
        attempt = Attempt()
        answer = (browser or self.at_home()).get(ent.url(attempt, scope=OFFLINE))
        return ent.answer(answer)["code"], attempt

    def fresh_tokens(self, browser: FlaskClient | None = None) -> dict[str, str]:
        code, attempt = self.code(self.secret, browser)
        return dict(self.secret.exchange(self.stranger, code, attempt).get_json())

    def tokens(self) -> dict[str, str]:
        given_at, tokens_before = self._tokens
        if not tokens_before or time.monotonic() - given_at > _TOKENS_KEPT:
            code, attempt = self.code(self.secret)
            proof = self.secret.fresh_proof()
            bound = self.secret.redeem(self.stranger, code, attempt, proof).get_json()["access_token"]
            tokens_before = {**self.fresh_tokens(), "bound": bound}
            self._tokens = (time.monotonic(), tokens_before)
        return tokens_before
