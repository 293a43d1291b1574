"""Session management and front-channel logout as Chromium does them: frames of another port, on loopback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Event
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from idp.accounts.models import Account
from idp.oidc.logout import front_channel
from tests.builders import PASSWORD, Build
from tests.protocol.ent_server import Answer, EntServer, listening_ent
from tests.relying_party import Attempt, RelyingParty
from tests.stories.browser import CHROMIUM, PATIENCE, follow, new_page
from tests.web.test_in_browser import look_narrow_and_wide

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

HTML = {"Content-Type": "text/html; charset=utf-8"}
SIGNED_OUT = "Vous êtes déconnecté"
# the RP's frame of section 3.1: it asks the OP's, and hands the answer over
ASK = """message => new Promise(resolve => {
  const provider = document.querySelector('iframe');
  addEventListener('message', event => {
    if (event.source === provider.contentWindow) resolve([event.data, event.origin]);
  }, {once: true});
  provider.contentWindow.postMessage(message, new URL(provider.src).origin);
})"""


@dataclass
class Ent:
    party: RelyingParty
    server: EntServer
    origin: str

    def serve(self, path: str, html: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer: Answer = (200, {**HTML, **named}, f"<!DOCTYPE html><title>ENT</title>{html}".encode())
        self.server.served[path] = answer

    def asked(self, path: str) -> list[dict[str, list[str]]]:
        urls = [urlsplit(request.path) for request in self.server.asked]
        return [parse_qs(request.query, strict_parsing=True) for request in urls if request.path == path]


@contextmanager
def registered(build: Build, name: str = "Passerelle", host: str = "127.0.0.1") -> Iterator[Ent]:
    """Register an ENT under a name of loopback: browsers take `localhost` and `127.0.0.1` for two sites."""
    with listening_ent(None) as server:
        origin = f"http://{host}:{server.port}"
        party = build.ent(
            name,
            redirect_uris=[f"{origin}/cb"],
            post_logout_redirect_uris=[f"{origin}/bye"],
            frontchannel_logout_uri=f"{origin}/front",
        )
        party.redirect_uri = f"{origin}/cb"
        registered_ent = Ent(party, server, origin)
        registered_ent.serve("/cb", "<h1>Dedans</h1>")
        registered_ent.serve("/front", "")
        registered_ent.serve("/bye", "<h1>Au revoir</h1>")
        yield registered_ent


@pytest.fixture
def ent(app: Flask, build: Build) -> Iterator[Ent]:
    with registered(build) as registered_ent:
        yield registered_ent


def sign_in(page: Page, loopback: str, ent: Ent, account: Account, attempt: Attempt) -> dict[str, str]:
    page.goto(loopback + ent.party.url(attempt))
    page.get_by_label("Identifiant", exact=True).fill(account.username)
    page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
    follow(page.get_by_role("button", name="Se connecter"))
    [query] = ent.asked("/cb")
    return {name: values[0] for name, values in query.items()}


@pytest.mark.parametrize("isolated", [False, True])
def test_a_frame_says_whether_the_session_is_the_same(
    browser_process: Browser, loopback: str, ent: Ent, parent: Account, *, isolated: bool
) -> None:
    # Session Management 1.0, 3.2.
    policy = {"Cross_Origin_Embedder_Policy": "require-corp"} if isolated else {}
    ent.serve("/rp", f"<iframe src='{loopback}/session/check'></iframe>", **policy)
    with new_page(browser_process) as page:
        answer = sign_in(page, loopback, ent, parent, Attempt())
        page.goto(f"{ent.origin}/rp", wait_until="load")
        good = f"{ent.party.client_id} {answer['session_state']}"
        assert page.evaluate(ASK, good) == ["unchanged", loopback]
        assert page.evaluate(ASK, f"x{good}") == ["changed", loopback]
        for nonsense in ("", "nonsense", good.replace(" ", ""), f"{good} more", good[:-50], 7, None, {"a": good}):
            assert page.evaluate(ASK, nonsense) == ["error", loopback], json.dumps(nonsense)
        other = page.context.new_page()
        other.goto(f"{loopback}/logout")
        follow(other.get_by_role("button", name="Se déconnecter"))
        expect(other.get_by_role("heading", level=1)).to_have_text(SIGNED_OUT)
        other.close()
        assert page.evaluate(ASK, good) == ["changed", loopback]


def hide_cookies_from_frames(page: Page) -> None:
    """Block the cookies of frames of other sites. Chromium does so in a private window, its headless shell does not."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    controls = (
        "enableThirdPartyCookieRestriction",
        "disableThirdPartyCookieMetadata",
        "disableThirdPartyCookieHeuristics",
    )
    session.send("Network.setCookieControls", dict.fromkeys(controls, True))


def test_a_frame_without_cookies_reports_an_error_and_no_change(
    browser_process: Browser, build: Build, loopback: str, parent: Account
) -> None:
    # Session Management 1.0, 3.1. What the browser hides from frames of other sites is no change.
    with registered(build, host="localhost") as ent, new_page(browser_process) as page:
        ent.serve("/rp", f"<iframe src='{loopback}/session/check'></iframe>")
        hide_cookies_from_frames(page)
        answer = sign_in(page, loopback, ent, parent, Attempt())
        page.goto(f"{ent.origin}/rp", wait_until="load")
        assert page.frames[1].evaluate("document.hasStorageAccess()") is False, "this browser hides cookies"
        assert page.evaluate(ASK, f"{ent.party.client_id} {answer['session_state']}") == ["error", loopback]


def enter_and_leave(page: Page, loopback: str, ent: Ent, account: Account, app: Flask) -> None:
    """Sign in, fetch the tokens, sign out by the ENT's link."""
    attempt = Attempt()
    answer = sign_in(page, loopback, ent, account, attempt)
    tokens = ent.party.tokens(app.test_client(), answer["code"], attempt)
    hint = f"id_token_hint={tokens['id_token']}&post_logout_redirect_uri={ent.origin}/bye&state=s"
    page.goto(f"{loopback}/logout?{hint}")


def test_the_logout_page_continues_when_an_ent_hangs(
    browser_process: Browser, app: Flask, loopback: str, ent: Ent, parent: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Front-Channel Logout 1.0, 3. The page cannot know the result of a frame and continues without it.
    monkeypatch.setattr(front_channel, "SECONDS", 1)
    released = Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        released.wait(PATIENCE / 1000)

    with new_page(browser_process) as page:
        ent.server.served["/front"] = hang
        enter_and_leave(page, loopback, ent, parent, app)
        expect(page.get_by_role("heading", level=1)).to_have_text("Au revoir")
        assert len(ent.asked("/front")) == 1
        assert not released.is_set()
        released.set()


@pytest.mark.parametrize("javascript", [True, False])
def test_se_deconnecter_d_un_ent_fait_sortir_de_l_autre_par_le_navigateur_seul(
    browser_process: Browser, app: Flask, build: Build, loopback: str, parent: Account, *, javascript: bool
) -> None:
    # Front-Channel Logout 1.0, 2.
    with (
        registered(build, "Passerelle") as passerelle,
        registered(build, "Horizon") as horizon,
        new_page(browser_process, javascript=javascript) as page,
    ):
        seance = "horizon_seance=celle-de-ce-parent"
        horizon.serve("/cb", "<h1>Dedans</h1>", Set_Cookie=f"{seance}; Path=/; HttpOnly; SameSite=Lax")
        attempt = Attempt()
        page.goto(loopback + horizon.party.url(attempt))
        page.get_by_label("Identifiant", exact=True).fill(parent.username)
        page.get_by_label("Mot de passe", exact=True).fill(PASSWORD)
        follow(page.get_by_role("button", name="Se connecter"))
        expect(page.get_by_role("heading", level=1)).to_have_text("Dedans")
        horizon.party.tokens(app.test_client(), horizon.asked("/cb")[0]["code"][0], attempt)

        attempt = Attempt()
        page.goto(loopback + passerelle.party.url(attempt))  # sans rien retaper
        tokens = passerelle.party.tokens(app.test_client(), passerelle.asked("/cb")[0]["code"][0], attempt)
        hint = f"id_token_hint={tokens['id_token']}&post_logout_redirect_uri={passerelle.origin}/bye&state=s"
        page.goto(f"{loopback}/logout?{hint}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Au revoir")
        assert page.url == f"{passerelle.origin}/bye?state=s"

        sid = tokens["claims"]["sid"]
        front_requests = [request for request in horizon.server.asked if request.path.startswith("/front?")]
        assert [parse_qs(urlsplit(request.path).query) for request in front_requests] == [
            {"iss": [loopback], "sid": [sid]}
        ]
        assert seance in front_requests[0].headers["Cookie"]
        assert passerelle.asked("/front") == [{"iss": [loopback], "sid": [sid]}]

        page.goto(loopback + horizon.party.url(Attempt(), prompt="none"))
        assert horizon.asked("/cb")[-1]["error"] == ["login_required"]


def test_the_logout_page_has_the_layout_of_the_service(
    browser_process: Browser, app: Flask, loopback: str, ent: Ent, parent: Account
) -> None:
    # Front-Channel Logout 1.0, 3. Where no script leaves it, the page is read, and looks like the others.
    with new_page(browser_process) as page:
        page.route("**/front_channel.js*", lambda route: route.fulfill(body="", content_type="text/javascript"))
        enter_and_leave(page, loopback, ent, parent, app)
        expect(page).to_have_title(f"{SIGNED_OUT} – Scolarité Services")
        expect(page.get_by_role("link", name="Continuer")).to_be_visible()
        look_narrow_and_wide(page)
