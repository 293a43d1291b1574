"""The authorization endpoint's checks of a request (security rows A-01 to A-14; A-12 is in test_response_mode)."""

import socket
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from flask.testing import FlaskClient

from idp.accounts.models import Account
from idp.registration import registrations
from tests.builders import PASSWORD, Build
from tests.pages import follow, form_token, sign_in
from tests.protocol.flow import code_for, stays_here
from tests.relying_party import Attempt, RelyingParty

STRANGE_REDIRECTS = [
    "https://ent.test/cb/",
    "https://ent.test/cb?x=1",
    "https://ent.test/cb#f",
    "https://ent.test/CB",
    "https://ent.test/%63b",
    "https://ent.test/cb/../evil",
    "https://ENT.test/cb",
    "https://ent.test:443/cb",
    "http://ent.test/cb",
    "https://ent.test@evil.test/cb",
    "https://a@b@evil.test/cb",
    "https://ent.test.evil.test/cb",
    "https://ent.test\\@evil.test",
    "//evil.test/cb",
    "javascript:alert(1)",
    "data:text/html,x",
    "https://ent.test/cb\r\nSet-Cookie: a=b",
    "https://ent.test/cb\t",
    " https://ent.test/cb",
    "https://ent.test/cb\x00",
    "https://ent.test/é",
    'https://ent.test/cb"',
]

ANSWERS: list[dict[str, str | None]] = [
    {},
    {"scope": "profile"},
    {"max_age": "x"},
    {"prompt": "none login"},
    {"response_type": None},
    {"response_type": "token"},
    {"code_challenge_method": "plain"},
    {"claims": "{"},
    {"claims": '{"id_token":{"acr":{"essential":true,"value":"none"}}}'},
    {"id_token_hint": "x.y.z"},
    {"nonce": "x" * 700},
]
"""One request for each immediate response to the client."""


@pytest.mark.row("A-01", "A-02")
def test_a_redirect_uri_that_differs_from_the_registered_one_gets_a_page(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.1.
    for uri in STRANGE_REDIRECTS:
        assert uri not in stays_here(browser.get(ent.url(Attempt(), redirect_uri=uri))), uri


@pytest.mark.row("A-02")
def test_accents_and_quotes_in_types_are_refused_not_a_fault(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.1.1.
    answer = ent.answer(browser.get(ent.url(Attempt(), response_type='co"dé')))
    assert answer["error"] == "unsupported_response_type"
    raw = ent.url(Attempt()).replace("response_type=code", 'response_type=é"').encode().decode("latin-1")
    assert ent.answer(browser.get("/authorize", query_string=raw.partition("?")[2]))["error"]


@pytest.mark.row("A-04")
def test_unknown_and_disabled_clients_get_the_same_page(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 4.1.2.1.
    code_for(browser, ent, Attempt())  # the registration is in the process's memory now
    registrations.disable(ent.client_id)
    disabled = stays_here(browser.get(ent.url(Attempt())))
    unknown = stays_here(browser.get(ent.url(Attempt(), client_id="nobody")))
    assert "invalid client_id" in disabled
    assert "invalid client_id" in unknown
    assert len(disabled) == len(unknown)
    for odd in ("", "é", "a\x00b", "x" * 5000, "' OR 1=1 --"):
        stays_here(browser.get(ent.url(Attempt(), client_id=odd)))


@pytest.mark.row("A-04")
def test_a_client_that_is_disabled_during_the_sign_in_gets_no_answer(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    # RFC 6749, 4.1.2.1. The client is looked up again after a step.
    page = follow(browser, browser.get(ent.url(Attempt())))
    registrations.disable(ent.client_id)
    data = {"csrf_token": form_token(page), "identifiant": parent.username, "mot-de-passe": PASSWORD}
    response = follow(browser, browser.post(page.request.full_path, data=data))
    assert response.status_code == 400
    assert "Location" not in response.headers


@pytest.mark.row("A-05")
def test_other_response_types_are_refused_to_the_client_only_when_it_is_certain(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 3.1.1.
    for kind in ("token", "id_token", "code token", "code id_token", "none", "foo", "CODE", "code "):
        answer = ent.answer(browser.get(ent.url(Attempt(), response_type=kind)))
        assert answer["error"] == "unsupported_response_type", kind
        assert "code" not in answer
    assert ent.answer(browser.get(ent.url(Attempt(), response_type=None)))["error"] == "invalid_request"
    stays_here(browser.get(ent.url(Attempt(), response_type="token", redirect_uri="https://evil.test/")))
    stays_here(browser.get(ent.url(Attempt(), response_type="token", client_id="nobody")))


@pytest.mark.row("A-06", "A-07")
def test_a_challenge_that_is_missing_or_not_s256_is_refused(
    browser: FlaskClient, build: Build, ent: RelyingParty, session: Account
) -> None:
    # RFC 7636, 4.4.1.
    lenient = build.ent("Horizon", "horizon.test", pkce_required=False)
    wrong: list[dict[str, str | None]] = [
        *({"code_challenge_method": method} for method in (None, "plain", "s256", "S512")),
        *({"code_challenge": text} for text in (None, "short", "a" * 42, "a" * 44, "a" * 42 + "+", "é" * 43)),
    ]
    missing: dict[str, str | None] = {"code_challenge": None, "code_challenge_method": None}
    for party, changes in [(ent, missing), *((party, each) for party in (ent, lenient) for each in wrong)]:
        answer = party.answer(browser.get(party.url(Attempt(), **changes)))
        assert (answer["error"], "code" in answer) == ("invalid_request", False), changes


@pytest.mark.row("A-08")
def test_a_challenge_that_need_not_be_sent_is_enforced_when_it_is(
    browser: FlaskClient, build: Build, session: Account
) -> None:
    # RFC 9700, 2.1.1.
    ent, attempt = build.ent(pkce_required=False), Attempt()
    code = code_for(browser, ent, attempt)
    for wrong in (None, Attempt().verifier):
        assert ent.exchange(browser, code, attempt, code_verifier=wrong).get_json()["error"] == "invalid_grant"
    ent.tokens(browser, code, attempt)
    bare = code_for(browser, ent, attempt, code_challenge=None, code_challenge_method=None)
    assert ent.exchange(browser, bare, attempt, code_verifier=None).status_code == 200


@pytest.mark.row("A-09")
def test_a_parameter_that_stands_twice_is_refused(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 3.1.
    for name in ("nonce", "code_challenge", "prompt", "max_age", "response_mode", "response_type", "scope", "foo"):
        twice = f"{ent.url(attempt, prompt='none', max_age='900', response_mode='query', foo='1')}&{name}=x"
        answer = ent.answer(browser.get(twice))
        assert answer["error"] == "invalid_request", name
        assert answer["state"] == attempt.state
    for name in ("client_id", "redirect_uri", "state"):
        stays_here(browser.get(f"{ent.url(attempt)}&{name}=x"))


@pytest.mark.row("A-10")
def test_the_state_and_the_nonce_come_back_byte_for_byte(
    browser: FlaskClient, ent: RelyingParty, parent: Account
) -> None:
    # RFC 6749, 4.1.2; OpenID Connect Core 1.0, 3.1.2.1.
    filler = "".join(chr(33 + (7 * i) % 94) for i in range(1900))
    state = f"é ü 日本 😀 &=?#%20+\"'<>\\ {filler}"
    attempt = Attempt(state=state, nonce="".join(chr(33 + (11 * i) % 94) for i in range(500)))
    page = sign_in(browser, ent.url(attempt), parent.username, PASSWORD)
    assert len(page.request.full_path) < 8000  # the maximum length of a request line
    answer = ent.answer(page)
    assert answer["state"] == state
    ent.tokens(browser, answer["code"], attempt)  # with this nonce
    assert ent.answer(browser.get(ent.url(attempt)))["state"] == state
    refusal = ent.answer(browser.get(ent.url(attempt, scope="profile")))
    assert (refusal["error"], refusal["state"]) == ("invalid_scope", state)
    not_encoded = ent.url(Attempt(), state=None).partition("?")[2] + "&state=é"
    assert ent.answer(browser.get("/authorize", query_string=not_encoded))["state"] == "é"


@pytest.mark.row("A-11")
def test_a_huge_state_or_nonce_is_refused_and_not_sent_on(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 6749, 4.1.2. A limit far above real values keeps redirects within the limits of browsers.
    for name, size, status in (("state", 200_000, 414), ("nonce", 200_000, 414), ("state", 5_000, 400)):
        response = browser.get(ent.url(Attempt(), **{name: "x" * size}))
        assert response.status_code == status, (name, size)
        assert "Location" not in response.headers
    response = browser.get(ent.url(Attempt(), nonce="x" * 5_000))
    assert ent.answer(response)["error"] == "invalid_request"
    assert len(response.headers["Location"]) < 500


@pytest.mark.row("A-13")
def test_request_objects_are_refused_and_nothing_is_fetched(
    browser: FlaskClient, ent: RelyingParty, session: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenID Connect Core 1.0, 3.1.2.6.
    endpoints: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, endpoint: endpoints.append(endpoint))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_kwargs: endpoints.append(args))
    for name, error in (
        ("request", "request_not_supported"),
        ("request_uri", "request_uri_not_supported"),
        ("registration", "registration_not_supported"),
    ):
        for value in ("https://intranet.test/object", "eyJhbGciOiJub25lIn0.e30.", "data:,x", "\x01"):
            assert ent.answer(browser.get(ent.url(Attempt(), **{name: value})))["error"] == error
            stays_here(browser.get(ent.url(Attempt(), **{name: value}, redirect_uri="https://evil.test/")))
    assert endpoints == []


@pytest.mark.row("A-14")
def test_iss_is_in_every_answer_and_is_the_metadata_s(
    browser: FlaskClient, ent: RelyingParty, session: Account
) -> None:
    # RFC 9207, 2.
    issuer = browser.get("/.well-known/openid-configuration").get_json()["issuer"]
    for changes in ANSWERS:
        location = browser.get(ent.url(Attempt(), **changes)).headers["Location"]
        assert parse_qs(urlsplit(location).query)["iss"] == [issuer], changes


@pytest.mark.row("A-10")
def test_a_redirect_uri_keeps_its_own_query(browser: FlaskClient, build: Build, session: Account) -> None:
    # RFC 6749, 3.1.2.
    for own in ("?bar=foo", "?dummy1=lorem&dummy2=ipsum", "?", "?a=%2F+b&c"):
        ent = build.ent(f"ENT {own}", redirect_uris=[f"https://ent.test/cb{own}"])
        ent.redirect_uri += own
        for changes in ({}, {"scope": "profile"}):
            location = browser.get(ent.url(Attempt(), **changes)).headers["Location"]
            assert location.startswith(f"{ent.redirect_uri}&"), location
            added = parse_qs(location.removeprefix(f"{ent.redirect_uri}&"), strict_parsing=True)
            expected = {"error", "error_description"} if changes else {"code"}
            assert added.keys() - {"session_state"} == expected | {"state", "iss"}
        attempt = Attempt()
        location = browser.get(ent.url(attempt)).headers["Location"]
        ent.tokens(browser, parse_qs(location.removeprefix(ent.redirect_uri))["code"][0], attempt)
        for other in ("", "?bar=foo2", "?bar=foo&x=1", f"{own}&", f"{own}#"):
            if other != own:
                stays_here(browser.get(ent.url(Attempt(), redirect_uri=f"https://ent.test/cb{other}")))


@pytest.mark.row("A-25")
def test_order_and_unknown_parameters_change_nothing(
    browser: FlaskClient, ent: RelyingParty, session: Account, attempt: Attempt
) -> None:
    # RFC 6749, 3.1.
    pairs = parse_qsl(urlsplit(ent.url(attempt, scope="email openid profile", foo="bar")).query)
    for order in (pairs, pairs[::-1], sorted(pairs)):
        answer = ent.answer(browser.get(f"/authorize?{urlencode([*order, ('iss', 'x'), ('é', 'ü')])}"))
        assert ent.tokens(browser, answer["code"], attempt)["scope"] == "email openid profile"
