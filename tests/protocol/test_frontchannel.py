"""Front-channel logout (OpenID Connect Front-Channel Logout 1.0), and what is dead after any logout (L-08, L-09)."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from idp.registration import registrations
from tests.builders import PASSWORD, Build
from tests.my_account.changes import CHOSEN, PASSWORD_PAGE, PASSWORD_TITLE, reload_account
from tests.pages import follow, form_token, heading, sign_in, submit
from tests.protocol.flow import HOST, OFFLINE, refused, tokens_for
from tests.relying_party import Attempt, RelyingParty

SIGNED_OUT = "Vous êtes déconnecté"
BYE = "https://ent.test/bye"
FRONT = "https://ent.test/front"


class _Page(HTMLParser):
    """What a browser loads, follows or refreshes to on a page."""

    def __init__(self, page: TestResponse) -> None:
        super().__init__()
        self.frames: list[str] = []
        self.refresh: list[str] = []
        self.next: dict[str, str | None] = {}
        self._without_script = False
        self.feed(page.get_data(as_text=True))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        if tag == "noscript":
            self._without_script = True
        elif tag == "iframe":
            self.frames.append(attributes["src"] or "")
            # its own cookies and scripts, but neither windows nor the page around it: many pages break out of frames
            assert set((attributes["sandbox"] or "").split()) == {"allow-same-origin", "allow-scripts", "allow-forms"}
        elif tag == "meta" and attributes.get("http-equiv") == "refresh":
            assert self._without_script, "with a script it would cut short what the frames do"
            self.refresh.append(attributes["content"] or "")
        elif tag == "a" and attributes.get("id") == "suite":
            self.next = attributes

    def handle_endtag(self, tag: str) -> None:
        if tag == "noscript":
            self._without_script = False


def frame_sources(page: TestResponse) -> list[str]:
    [policy] = page.headers.getlist("Content-Security-Policy")
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert (directives["default-src"], directives["frame-ancestors"]) == ("'none'", "'none'")
    return directives.get("frame-src", "").split()


def sign_out(browser: FlaskClient) -> TestResponse:
    return submit(browser, browser.get("/logout"))


def split_query(url: str) -> tuple[str, dict[str, str]]:
    base, _, query = url.partition("?")
    pairs = parse_qsl(query, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return base, dict(pairs)


def test_only_ents_of_this_session_that_registered_an_address_are_loaded(
    app: Flask, browser: FlaskClient, build: Build, session: Account
) -> None:
    # Front-Channel Logout 1.0, 2.
    first = build.ent(frontchannel_logout_uri=FRONT)
    second = build.ent(
        "Horizon",
        "horizon.test",
        redirect_uris=["https://horizon.test:8443/cb"],
        frontchannel_logout_uri="https://horizon.test:8443/front",
    )
    second.redirect_uri = "https://horizon.test:8443/cb"
    without = build.ent("Sans", "sans.test")
    never_entered = build.ent("Ailleurs", "ailleurs.test", frontchannel_logout_uri="https://ailleurs.test/front")
    shut_out = build.ent("Fermé", "ferme.test", frontchannel_logout_uri="https://ferme.test/front")
    others = app.test_client()
    sign_in(others, "/connexion", build.active().username, PASSWORD)
    tokens_for(others, never_entered)
    tokens_for(browser, first)
    sids = {}
    for ent in (first, second, without, shut_out):  # one frame each, however often one was entered
        sids[ent.client_id] = tokens_for(browser, ent)["claims"]["sid"]
    registrations.disable(shut_out.client_id)
    page = sign_out(browser)
    assert (page.status_code, heading(page)) == (200, SIGNED_OUT)
    assert sorted(map(split_query, _Page(page).frames)) == [
        (FRONT, {"iss": first.issuer, "sid": sids[first.client_id]}),
        ("https://horizon.test:8443/front", {"iss": first.issuer, "sid": sids[second.client_id]}),
    ]
    assert frame_sources(page) == ["https://ent.test", "https://horizon.test:8443"]
    assert page.headers["Cache-Control"] == "no-store"
    [own] = _Page(sign_out(others)).frames
    assert own.startswith("https://ailleurs.test/front?")


def test_iss_and_sid_are_added_to_the_registered_query(browser: FlaskClient, build: Build, session: Account) -> None:
    # Front-Channel Logout 1.0, 2.
    ent = build.ent(frontchannel_logout_uri=f"{FRONT}?app=a%26b&v=%22")
    sid = tokens_for(browser, ent)["claims"]["sid"]
    [url] = _Page(sign_out(browser)).frames
    assert url.startswith(f"{FRONT}?app=a%26b&v=%22&")
    assert split_query(url) == (FRONT, {"app": "a&b", "v": '"', "iss": ent.issuer, "sid": sid})


def test_a_renewed_session_notifies_the_ents_of_the_former_row(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # Front-Channel Logout 1.0, 3.
    sid = tokens_for(browser, build.ent(frontchannel_logout_uri=FRONT))["claims"]["sid"]
    assert "code" in ent_answer_after_password(browser, build.ent("Horizon", "horizon.test"), session)
    [url] = _Page(sign_out(browser)).frames
    assert split_query(url)[1]["sid"] == sid


def ent_answer_after_password(browser: FlaskClient, ent: RelyingParty, account: Account) -> dict[str, str]:
    return ent.answer(sign_in(browser, ent.url(Attempt(), prompt="login"), account.username, PASSWORD))


def test_a_former_session_of_the_same_person_is_not_notified_again(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # Front-Channel Logout 1.0, 3.
    tokens_for(browser, build.ent(frontchannel_logout_uri=FRONT))
    assert _Page(sign_out(browser)).frames
    sign_in(browser, "/connexion", session.username, PASSWORD)
    page = sign_out(browser)
    assert (_Page(page).frames, frame_sources(page)) == ([], [])


def test_the_page_redirects_to_the_registered_url_with_the_state(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RP-Initiated Logout 1.0, 3.
    token = tokens_for(browser, build.ent(frontchannel_logout_uri=FRONT))["id_token"]
    state = "a b&\"'><é"
    page = browser.get(
        "/logout", query_string={"id_token_hint": token, "post_logout_redirect_uri": BYE, "state": state}
    )
    assert page.status_code == 200
    read = _Page(page)
    target = read.next["href"] or ""
    assert (target.partition("?")[0], parse_qsl(urlsplit(target).query)) == (BYE, [("state", state)])
    [refresh] = read.refresh
    seconds, _, url = refresh.partition(";url=")
    assert (seconds, url) == (read.next["data-seconds"], target)
    assert 1 <= int(seconds) <= 5
    assert len(read.frames) == 1
    assert any(line.startswith("__Host-ss=;") for line in page.headers.getlist("Set-Cookie"))


@pytest.mark.row("L-08", "L-03")
@pytest.mark.parametrize("front", ["", FRONT])
def test_a_logout_revokes_the_cookie_the_refresh_token_and_the_session(
    app: Flask, browser: FlaskClient, build: Build, session: Account, front: str
) -> None:
    # Security row L-08; OWASP ASVS 5, V 7.4.1.
    ent = build.ent(frontchannel_logout_uri=front, scopes=OFFLINE)
    tokens = tokens_for(browser, ent, scope=OFFLINE)
    cookie = browser.get_cookie("__Host-ss", domain=HOST)
    assert cookie
    shown = browser.get("/mon-compte")
    assert shown.headers["Cache-Control"] == "no-store"  # so that the back button asks again
    sign_out(browser)
    refused(ent.refresh(browser, tokens["refresh_token"]), "invalid_grant")
    assert ent.userinfo(browser, tokens["access_token"]).status_code == 401
    thief: Any = app.test_client()
    thief.set_cookie("__Host-ss", cookie.value, domain=HOST, secure=True)
    for holder in (browser, thief):
        assert ent.answer(holder.get(ent.url(Attempt(), prompt="none")))["error"] == "login_required"
        assert heading(follow(holder, holder.get("/mon-compte"))) == "Connexion"
        assert heading(follow(holder, holder.get(ent.url(Attempt())))) == "Connexion"


@pytest.mark.row("L-09")
def test_a_form_of_another_tab_is_refused_with_a_readable_page(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    second = browser.get(PASSWORD_PAGE)
    assert heading(second) == PASSWORD_TITLE
    before = reload_account(session).password_hash
    sign_out(browser)
    after = submit(browser, second, actuel=PASSWORD, nouveau=CHOSEN, confirmation=CHOSEN)
    assert (after.status_code, heading(after)) == (200, "Connexion")
    assert form_token(after)
    assert reload_account(session).password_hash == before
