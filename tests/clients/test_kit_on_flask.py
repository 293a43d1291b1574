"""`clients.kit.flask_ent`: the example ENT of clients/README.md, without changes."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from clients.kit import Provider, Registration
from clients.kit.checks import SignedIn
from clients.kit.flask_ent import FlaskEnt
from idp.paths import CHECKOUT
from tests.clients.conftest import PUBLIC_URL, change, query
from tests.clients.fake_provider import CLIENT_ID, CLIENT_SECRET, FakeProvider
from tests.clients.test_kit_checks import KIT
from tests.clients.test_kit_outages import claims_of, signed
from tests.commands.processes import connect, free_port

README = CHECKOUT / "clients" / "README.md"
CALLBACK = f"{PUBLIC_URL}/callback"


def example() -> str:
    [code] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def settings(provider: FakeProvider, url: str) -> dict[str, str]:
    return {
        "ENT_ISSUER": provider.issuer,
        "ENT_CLIENT_ID": CLIENT_ID,
        "ENT_CLIENT_SECRET": CLIENT_SECRET,
        "ENT_PUBLIC_URL": url,
        "ENT_SECRET_KEY": "k" * 32,
    }


def passerelle(provider: FakeProvider, more: str = "") -> Flask:
    """Run the example on that provider, with `more` lines in its class."""
    known: dict[str, Any] = {"__name__": "passerelle"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(provider, PUBLIC_URL).items():
            patch.setenv(name, value)
        code = example().replace("from kit", "from clients.kit").replace("\n\npublic_url =", f"\n{more}\npublic_url =")
        code = code.replace("import SignedIn", "import ProviderRefusedError, SignedIn")
        exec(code, known)  # noqa: S102 - the example is ours
    app: Flask = known["app"]
    app.config["TESTING"] = True
    return app


@pytest.fixture
def flask_app(provider: FakeProvider) -> Flask:
    return passerelle(provider)


@pytest.fixture
def client(flask_app: Flask) -> FlaskClient:
    return flask_app.test_client()


def leave(client: FlaskClient, login: str = "/login", **parameters: str) -> str:
    departure = client.get(login, query_string=parameters)
    assert departure.status_code == 303, departure.text
    answer = requests.get(departure.location, allow_redirects=False, timeout=60)
    return answer.headers["Location"].removeprefix(PUBLIC_URL)


def sign_in(client: FlaskClient, **parameters: str) -> TestResponse:
    return client.get(leave(client, **parameters))


def stopped(answer: TestResponse) -> tuple[int, str]:
    assert answer.mimetype == "text/html"
    assert "<h1>La connexion n’a pas abouti</h1>" in answer.text
    [code] = re.findall(r"Code : ([^<]+)<", answer.text)
    return answer.status_code, unescape(code)


def is_inside(client: FlaskClient) -> bool:
    return "<h1>Noémie LEROY-VANDEPUTTE</h1>" in client.get("/espace").text


def test_the_example_is_about_forty_lines() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) <= 45


def test_the_example_of_the_text_runs(provider: FakeProvider, tmp_path: Path) -> None:
    shutil.copytree(KIT, tmp_path / "kit", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "ent.py").write_text(example(), encoding="utf-8")
    port, log = free_port(), tmp_path / "log"
    ours = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "ent", "run", "--port", str(port)],
            cwd=tmp_path, env={**os.environ, **settings(provider, ours)}, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        connect(port, process, log).close()
        with requests.Session() as browser:
            [login] = re.findall(r'href="([^"]+)"', browser.get(ours, timeout=60).text)
            inside = browser.get(ours + login, timeout=60)
            assert inside.url == f"{ours}/espace"
            assert "<h1>Noémie LEROY-VANDEPUTTE</h1>" in inside.text
            assert provider.requests[-1]["login_hint"] == "profil:parent"
            [leave] = re.findall(r'<form method="post" action="([^"]+)">', inside.text)
            assert browser.post(ours + leave, timeout=60).url.startswith(f"{ours}/?state=")
            assert browser.get(f"{ours}/espace", timeout=60).url == f"{ours}/"
    finally:
        process.terminate()
        process.wait(60)


def test_a_parent_signs_in_and_signs_out(client: FlaskClient, provider: FakeProvider) -> None:
    assert not is_inside(client)
    assert sign_in(client).location == "/espace"
    assert is_inside(client)
    out = client.post("/logout")
    assert out.status_code == 303
    assert out.location.startswith(f"{provider.issuer}/logout?")
    assert query(out.location)["post_logout_redirect_uri"] == f"{PUBLIC_URL}/"
    assert not is_inside(client)
    assert client.post("/logout").location == f"{PUBLIC_URL}/", "nobody was inside"


def test_the_sign_out_ends_the_local_session_without_an_end_session_endpoint(
    client: FlaskClient, provider: FakeProvider
) -> None:
    sign_in(client)
    provider.metadata_lie = {"end_session_endpoint": None}
    other = passerelle(provider).test_client()
    sign_in(other)
    assert other.post("/logout").location == f"{PUBLIC_URL}/"
    assert not is_inside(other)


@pytest.mark.parametrize(
    ("wanted_url", "target"),
    [
        (f"{PUBLIC_URL}/devoirs", "/devoirs"),
        (f"{PUBLIC_URL}/devoirs?jour=1&x=%2F", "/devoirs?jour=1&x=%2F"),
        (f"{PUBLIC_URL}//ailleurs.example", "/espace"),
        (f"{PUBLIC_URL}.ailleurs.example/", "/espace"),
        (f"{PUBLIC_URL}/\\ailleurs.example", "/espace"),
        (f"{PUBLIC_URL}/a\nb", "/espace"),
        (f"{PUBLIC_URL}/login", "/espace"),
        (f"{PUBLIC_URL}/callback?code=x", "/espace"),
        (f"{PUBLIC_URL}/{'x' * 501}", "/espace"),
        ("https://ailleurs.example/", "/espace"),
        ("//ailleurs.example/", "/espace"),
        ("/devoirs", "/espace"),
        ("javascript:alert(1)", "/espace"),
    ],
)
def test_a_sign_in_started_by_a_third_party_leads_to_a_page_of_this_ent_alone(
    client: FlaskClient, provider: FakeProvider, wanted_url: str, target: str
) -> None:
    # OpenID Connect Core 1.0, 4: "RPs MUST verify the value of the target_link_uri to prevent being used as an open
    # redirector to external sites".
    begun = client.post("/login", data={"iss": provider.issuer, "target_link_uri": wanted_url, "login_hint": "n.leroy"})
    assert begun.status_code == 303
    departure = client.get(begun.location)
    assert query(departure.location)["login_hint"] == "n.leroy"
    answer = requests.get(departure.location, allow_redirects=False, timeout=60).headers["Location"]
    assert client.get(answer.removeprefix(PUBLIC_URL)).location == target


def test_a_sign_in_started_for_another_provider_is_refused(client: FlaskClient) -> None:
    assert stopped(client.get("/login?iss=https://ailleurs.example")) == (400, "login_iss")


def test_the_routes_may_be_under_a_prefix(provider: FakeProvider) -> None:
    app = Flask("prefixed")
    app.config.update(SECRET_KEY="k" * 32)
    agreed = Registration(
        issuer=provider.issuer,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        redirect_uri=f"{PUBLIC_URL}/oidc/callback",
    )
    entered: list[SignedIn] = []

    class Ent(FlaskEnt):
        def enter(self, person: SignedIn, target: str) -> str:
            entered.append(person)
            return f"entré {target}"

        def leave(self) -> None:
            return None

        def end(self, ended: object) -> None:
            raise AssertionError(ended)

    app.register_blueprint(Ent(Provider(agreed)).blueprint(), url_prefix="/oidc")
    client = app.test_client()
    posted = client.post("/oidc/login", data={"target_link_uri": f"{PUBLIC_URL}/devoirs"})
    departure = client.get(posted.location)
    answer = requests.get(departure.location, allow_redirects=False, timeout=60).headers["Location"]
    assert client.get(answer.removeprefix(PUBLIC_URL)).text == "entré /devoirs"
    assert [person.userinfo["sub"] for person in entered] == [provider.sub]
    lured = client.get("/oidc/login", query_string={"target_link_uri": f"{PUBLIC_URL}/oidc/login"})
    answer = requests.get(lured.location, allow_redirects=False, timeout=60).headers["Location"]
    assert client.get(answer.removeprefix(PUBLIC_URL)).text == "entré "
    assert client.post("/oidc/logout").location == "/"


def test_an_answer_counts_once_and_for_one_browser(flask_app: Flask, client: FlaskClient) -> None:
    path = leave(client)
    other = flask_app.test_client()
    leave(other)
    assert other.get(path).status_code == 400
    assert client.get(path).status_code == 303
    assert stopped(client.get(path)) == (400, "state")
    assert client.get("/callback").status_code == 400


def test_an_answer_of_another_provider_uses_up_nothing(client: FlaskClient, provider: FakeProvider) -> None:
    path = leave(client)
    forged = path.replace(provider.issuer.partition("://")[2].replace(":", "%3A"), "ailleurs.example")
    assert forged != path
    assert "response_iss" in client.get(forged).text
    assert client.get(path).status_code == 303


def test_several_tabs_do_not_disturb_one_another_and_the_cookie_stays_small(client: FlaskClient) -> None:
    paths = [leave(client, target_link_uri=f"{PUBLIC_URL}/{secrets.token_hex(250)}") for _ in range(12)]
    cookie = client.get_cookie("session")
    assert cookie is not None
    assert len(cookie.value) < 4096 - len("session=; HttpOnly; Path=/; SameSite=Lax; Secure")
    assert [client.get(path).status_code for path in paths[-4:]] == [303] * 4
    assert client.get(paths[0]).status_code == 400


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        ({"error": "access_denied"}, "access_denied", "refusée ou arrêtée"),
        ({"error": "<script>\nx"}, "<script>\nx", "recommencez"),
        ({"code": "inconnu"}, "invalid_grant", "recommencez"),
    ],
)
def test_a_refusal_of_the_provider_is_a_page_with_a_way_on(
    client: FlaskClient, provider: FakeProvider, answer: dict[str, str], code: str, why: str
) -> None:
    provider.answer_lie = {"code": None, **answer}
    refused = sign_in(client)
    assert stopped(refused) == (400, code)
    assert why in refused.text
    assert "<script>" not in refused.text
    assert not is_inside(client)
    again, home = re.findall(r'<a href="([^"]+)">', refused.text)
    assert home == f"{PUBLIC_URL}/"
    provider.answer_lie = {}
    assert sign_in(client, login=again).location == "/espace"


def test_a_provider_that_is_down_gives_an_error_page(client: FlaskClient, provider: FakeProvider) -> None:
    provider.bodies["/token"] = (500, b"")
    answer = sign_in(client)
    assert stopped(answer) == (503, "token")
    assert "ne répond pas" in answer.text
    assert answer.headers["Retry-After"] == "30"
    assert not is_inside(client)


def test_an_ent_shows_a_page_of_its_own_by_the_lines_of_the_text(provider: FakeProvider) -> None:
    [lines] = re.findall(r"```py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    app = passerelle(provider, more=lines)
    provider.answer_lie = {"code": None, "error": "access_denied"}
    denied = sign_in(app.test_client())
    assert (denied.status_code, denied.location) == (303, "/refus")
    provider.answer_lie = {"code": None, "error": "server_error"}
    assert stopped(sign_in(app.test_client())) == (400, "server_error")


def tell(app: Flask, **form: str) -> TestResponse:
    return app.test_client(use_cookies=False).post("/backchannel-logout", data=form)


def test_the_back_channel_ends_the_sessions_that_it_names(
    flask_app: Flask, client: FlaskClient, provider: FakeProvider
) -> None:
    sign_in(client)
    neighbour = flask_app.test_client()
    provider.claims_lie = change(sid="sid-2", sub="autre")
    provider.userinfo_lie = change(sub="autre")
    sign_in(neighbour)
    assert tell(flask_app, logout_token=signed(claims_of(provider, sid="sid-2"))).status_code == 200
    assert is_inside(neighbour), "that session is not this person's"
    token = signed(claims_of(provider))
    answer = tell(flask_app, logout_token=token)
    assert (answer.status_code, answer.headers["Cache-Control"], answer.data) == (200, "no-store", b"")
    assert (is_inside(client), is_inside(neighbour)) == (False, True)
    replayed = tell(flask_app, logout_token=token)
    assert (replayed.status_code, replayed.get_json()["error"]) == (400, "invalid_request")
    assert tell(flask_app, logout_token=signed(claims_of(provider, sid=None, sub="autre"))).status_code == 200
    assert not is_inside(neighbour)


def test_the_back_channel_refuses_an_invalid_logout_token(
    flask_app: Flask, client: FlaskClient, provider: FakeProvider
) -> None:
    sign_in(client)
    for form in ({}, {"logout_token": ""}, {"logout_token": signed(claims_of(provider, nonce="n"))}):
        answer = tell(flask_app, **form)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (400, "no-store")
        assert set(answer.get_json()) == {"error", "error_description"}
    assert is_inside(client)
    provider.metadata_lie = {"jwks_uri": f"{provider.issuer}/nulle-part"}
    again = tell(passerelle(provider), logout_token=signed(claims_of(provider)))
    assert (again.status_code, again.headers["Retry-After"]) == (503, "30")
