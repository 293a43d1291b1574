"""W-04 and the limits of every request: refused quickly, with an error page, never a 5xx."""

import time
from io import BytesIO
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.builders import Build
from tests.pages import form_token, heading


@pytest.mark.row("W-04")
@pytest.mark.parametrize(
    ("field", "status"),
    [
        ({"x" * 70_000: "1"}, 413),
        ({f"f{n}": "" for n in range(60)}, 413),
        ({f"f{n}": "" for n in range(20_000)}, 413),
        ({"identifiant" + "[a]" * 2_000: ""}, 200),
    ],
    ids=["one long name", "sixty fields", "many fields", "nested names"],
)
def test_a_form_that_no_page_of_ours_sends_is_refused_quickly(
    browser: FlaskClient, field: dict[str, str], status: int
) -> None:
    token = form_token(browser.get("/connexion"))
    body = urlencode({"csrf_token": token, "identifiant": "", "mot-de-passe": "", **field})
    start = time.thread_time()  # CPU time of this thread, independent of the load of the machine
    answer = browser.post("/connexion", data=body, content_type="application/x-www-form-urlencoded")
    assert time.thread_time() - start < 1.5
    assert answer.status_code == status
    if status == 413:
        assert heading(answer) == "Ce message est trop long"


@pytest.mark.row("W-04")
def test_files_are_refused(browser: FlaskClient) -> None:
    token = form_token(browser.get("/connexion"))
    files = {f"f{n}": (BytesIO(b"x"), f"{n}.txt") for n in range(200)}
    answer = browser.post("/connexion", data={"csrf_token": token, **files})
    assert answer.status_code == 415


@pytest.mark.row("W-04")
def test_long_addresses_and_cookies_are_refused(app: Flask, browser: FlaskClient) -> None:
    assert browser.get("/connexion?x=" + "x" * 8_180).status_code == 414
    for query, status in (("a&" * 4_086, 414), ("%&" * 100, 414), ("a=b&" * 99, 200), ("%ff" * 2_700, 200)):
        answer = browser.get(f"/mentions-legales?{query}")
        assert answer.status_code == status
        assert len(answer.data) < 20_000, "no long query is repeated for each language"
    assert heading(browser.get("/connexion?x=" + "x" * 60_000)) == "Cette adresse est trop longue"
    stuffed = app.test_client()
    for n in range(20):
        stuffed.set_cookie(f"c{n}", "x" * 1000, domain="connexion.exemple.test")
    assert stuffed.get("/connexion").status_code == 413
    long_path = browser.get("/adresse/lien/" + "x" * 60_000)
    assert long_path.status_code == 414


@pytest.mark.parametrize(
    "strange",
    ["\x00", "%00", "%ff%fe", "é", "\u202e", "%0d%0aSet-Cookie:x=1", "../../etc/passwd", "{{7*7}}", "' OR 1=1 --", "%"],
)
def test_strange_characters_give_a_page_and_no_server_error(browser: FlaskClient, build: Build, strange: str) -> None:
    token = form_token(browser.get("/connexion"))
    data = {"csrf_token": token, "identifiant": strange, "mot-de-passe": strange, "profil": strange, "version": strange}
    places = ["/connexion", "/profil", "/activation", "/adresse/confirmation", "/adresse/modifier", "/charte"]
    places += ["/charte/refus", "/profil/ailleurs", "/mon-compte", "/identifiant-oublie", "/authorize/resume"]
    places += [f"/adresse/lien/{strange}"]
    for place in places:
        for url in (f"{place}?demande={strange}&ui_locales={strange}", place):
            for answer in (browser.get(url), browser.post(url, data=data)):
                assert answer.status_code < 500, url
                assert answer.headers.get("X") is None
                assert "Traceback" not in answer.text
    headers = {"Accept-Language": "fr;q=x, \xe9, *;q=9", "User-Agent": "\xff" * 400, "Cookie": "lang=\xff; profil=\xff"}
    assert browser.get("/connexion", headers=headers).status_code == 200
