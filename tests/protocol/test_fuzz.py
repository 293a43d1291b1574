"""Anything at all, sent to every address: never a fault, never a trace (the rule above all rows)."""

from html import unescape
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from flask import Flask, render_template_string
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from idp.accounts.models import Account
from tests.pages import form_token
from tests.protocol.flow import code_for, one_database, tokens_for
from tests.relying_party import Attempt, RelyingParty

bounded = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,  # the same inputs in every run: a failure is somebody's change
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,  # one application answers all examples: that is meant
        HealthCheck.too_slow,
    ],
)

NAMES = [
    *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "prompt", "max_age"),
    *("code_challenge", "code_challenge_method", "login_hint", "id_token_hint", "ui_locales", "acr_values", "claims"),
    *("request", "request_uri", "grant_type", "code", "code_verifier", "client_secret", "client_assertion"),
    *("refresh_token", "access_token", "post_logout_redirect_uri", "demande", "csrf_token", "profil", "identifiant"),
    *("mot-de-passe", "adresse", "version", "accept", "endpoint", "_external", "_scheme", "_anchor", "_method", "self"),
]
HEADERS = [
    *("Authorization", "Cookie", "Host", "Accept-Language", "Content-Type", "User-Agent", "Origin", "Referer"),
    *("X-Forwarded-For", "X-Forwarded-Host", "Range", "If-None-Match", "If-Modified-Since", "Content-Length-Hint"),
]
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json", "text/plain", ""]
ODD = [
    *("", "\x00", "\r\nX: y", "é", "😀", "\u202e", "%", "%ff", "%00", "../..", "//evil.test", "javascript:alert(1)"),
    *("' OR 1=1 --", "{{7*7}}", "<script>", '"', "\\", "none", "S256", "code", "openid", "[" * 5000, "9" * 5000),
]

words = st.one_of(st.sampled_from(ODD), st.text(max_size=60), st.text(max_size=6).map(lambda text: text * 400))
fields = st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), words), max_size=6)
encoded = st.one_of(st.binary(max_size=200), fields.map(lambda pairs: urlencode(pairs).encode()))
header_text = st.one_of(
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=80),
    st.binary(max_size=40).map(lambda raw: f"Basic {quote_from_bytes(raw)}"),
    st.sampled_from(["Bearer x", "Basic Og==", "idp=1; lang=%00", "__Host-tx=.x.y", "__Host-ss=" + "x" * 43, "fr;q=x"]),
)
headers = st.dictionaries(st.sampled_from(HEADERS), header_text, max_size=3)


def sound(response: TestResponse) -> None:
    text = response.get_data()
    assert response.status_code < 500, (response.status_code, text[:300])
    assert b"Traceback" not in text
    assert b"sqlalchemy" not in text.lower()


def addresses(app: Flask) -> list[tuple[str, str]]:
    """Return every method and address of the application; `<…>` stands where a value goes."""
    return sorted(
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) | {"GET", "POST", "PUT", "HEAD"}
    )


def test_any_request_to_any_address_is_answered(app: Flask, browser: FlaskClient, session: Account) -> None:
    """Security rows, "never 5xx": "a table-driven fuzz test must run all rows' inputs and assert status < 500 and no
    stack trace".
    """
    every = addresses(app)
    assert {"/authorize", "/token", "/userinfo", "/logout", "/connexion"} <= {path for _method, path in every}

    @bounded
    @given(st.sampled_from(every), st.binary(max_size=30), encoded, encoded, st.sampled_from(KINDS), headers)
    def send(where: tuple[str, str], part: bytes, query: bytes, body: bytes, kind: str, more: dict[str, str]) -> None:
        method, rule = where
        before, _, rest = rule.partition("<")
        path = before + (quote_from_bytes(part, safe="") + rest.partition(">")[2] if rest else "")
        text = query.decode("latin-1").encode("ascii", "ignore").decode()
        kinds = {"Content-Type": kind, **more}
        sound(browser.open(path, method=method, query_string=text, data=body, headers=kinds))

    send()


def test_any_path_is_answered(browser: FlaskClient) -> None:
    """Security rows, "never 5xx": "assert status < 500 and no stack trace". RFC 9110, 15.5.5: "The 404 (Not Found)
    status code indicates that the origin server did not find a current representation for the target resource".
    """

    @bounded
    @given(st.one_of(st.binary(max_size=60), st.sampled_from([b"static/../../etc/passwd", b"/evil.test", b"\x00"])))
    def send(path: bytes) -> None:
        sound(browser.get(f"/{quote_from_bytes(path)}"))
        sound(browser.get(f"/static/{quote_from_bytes(path)}"))

    send()


def test_a_right_authorization_request_with_anything_in_it_is_answered(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.2.2: "If the Authorization Server encounters any error, it MUST return an error
    response"; 3.1.2.6: "If the Redirection URI is invalid, the Authorization Server MUST NOT redirect the User Agent to
    the invalid Redirection URI".
    """
    names = ["state", "nonce", "scope", "prompt", "max_age", "claims", "login_hint", "id_token_hint", "acr_values"]
    names += ["code_challenge", "code_challenge_method", "response_type", "response_mode", "ui_locales", "display"]

    @bounded
    @given(st.dictionaries(st.sampled_from(names), words, min_size=1, max_size=3))
    def send(changes: dict[str, str]) -> None:
        url = ent.url(Attempt(), **{name: value.encode("utf-8", "ignore").decode() for name, value in changes.items()})
        sound(response := browser.get(url))
        location = response.headers.get("Location", "/")
        assert location.startswith(("/", f"{ent.redirect_uri}?")), location
        assert not location.startswith("//"), location
        if location.startswith("/") and response.status_code == 303:
            sound(browser.get(location))

    send()


def test_a_right_token_request_with_anything_in_it_is_answered(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    """OpenID Connect Core 1.0, 3.1.3.4: "If the Token Request is invalid or unauthorized, the Authorization Server
    constructs the error response. … The HTTP response body uses the application/json media type".
    """
    attempt = Attempt()
    right: dict[str, Any] = {
        "grant_type": "authorization_code",
        "code": code_for(browser, ent, attempt),
        "redirect_uri": ent.redirect_uri,
        "code_verifier": attempt.verifier,
    }
    names = [*right, "scope", "client_id", "refresh_token"]

    @bounded
    @given(st.dictionaries(st.sampled_from(names), words, min_size=1, max_size=2), st.booleans())
    def send(changes: dict[str, str], refresh: bool) -> None:  # noqa: FBT001 - drawn
        body = {**right, **({"grant_type": "refresh_token"} if refresh else {}), **changes}
        body = {name: value.encode("utf-8", "ignore") for name, value in body.items()}
        response = browser.post("/token", data=urlencode(body), headers=ent.basic(), content_type=KINDS[0])
        sound(response)
        assert response.mimetype == "application/json"

    send()


def test_anything_as_a_token_is_answered(browser: FlaskClient, ent: RelyingParty, session: Account) -> None:
    """OpenID Connect Core 1.0, 5.3.3: "When an error condition occurs, the UserInfo Endpoint returns an Error Response
    as defined in Section 3 of OAuth 2.0 Bearer Token Usage [RFC6750]", whatever was sent as a token or beside it.
    """
    good = tokens_for(browser, ent)["access_token"]

    @bounded
    @given(header_text, encoded, st.sampled_from(["/userinfo", "/charter", "/charter/acceptance"]))
    def send(shown: str, body: bytes, path: str) -> None:
        sound(browser.get(path, headers={"Authorization": f"Bearer {shown}"}))
        sound(browser.post(path, data=body, content_type=KINDS[0]))
        sound(browser.post(path, data=body, content_type=KINDS[2], headers={"Authorization": f"Bearer {good}"}))

    send()
    deep = browser.post(
        "/charter/acceptance",
        data="[" * 60_000,
        content_type=KINDS[2],
        headers={"Authorization": f"Bearer {good}"},
    )
    sound(deep)


def test_anything_in_a_form_with_its_right_token_is_answered(app: Flask, build: Any) -> None:
    """Security rows, "never 5xx": "assert status < 500 and no stack trace". OWASP ASVS 5, V 16.5.1: "Verify that a
    generic message is returned to the consumer when an unexpected or security-sensitive error occurs".
    """
    pages = ["/connexion", "/profil", "/logout"]
    visitors = {path: app.test_client() for path in pages}
    proof = {path: form_token(browser.get("/connexion")) for path, browser in visitors.items()}
    names = ["identifiant", "mot-de-passe", "profil", "client_id", "id_token_hint", "state", "post_logout_redirect_uri"]

    @bounded
    @given(st.sampled_from(pages), st.dictionaries(st.sampled_from(names), words, max_size=3))
    def send(path: str, typed: dict[str, str]) -> None:
        body = {name: value.encode("utf-8", "replace") for name, value in typed.items()}
        response = visitors[path].post(path, data=urlencode({**body, "csrf_token": proof[path]}), content_type=KINDS[0])
        sound(response)

    send()


@one_database
def test_names_that_flask_gives_a_meaning_make_no_link_wrong(app: Flask) -> None:
    """RFC 6749, 3.1: "The authorization server MUST ignore unrecognized request parameters": a name that the framework
    reads as its own is one, and changes no link.
    """
    odd = "endpoint=x&_external=1&_scheme=ftp&_method=PUT&_anchor=a&self=b&demande=c"
    with app.test_request_context(f"/connexion?{odd}"):
        assert unescape(render_template_string("{{ language_url('fr') }}")) == f"?{odd}&ui_locales=fr"
