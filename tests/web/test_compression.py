"""Pages and static files are compressed, secrets are not, and the first page is light."""

import gzip
import re
from pathlib import Path

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import languages, precompressed
from idp.accounts.models import Account
from idp.paths import STATIC, STATIC_COMPRESSED
from tests.activation.steps import fill_in, open_activation
from tests.builders import PASSWORD, Build
from tests.pages import follow, sign_in
from tests.relying_party import Attempt
from tests.rows import each_row

WIRE = 12_000
"""Bytes of the first page with all its files and all their headers, at most."""
REQUESTS = 6
CHROMIUM = {"Accept-Encoding": "gzip, deflate, br, zstd"}
_FILE = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_CHALLENGE = re.compile(r'data-options="([^"]+)" data-autofill')
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PICTURE = re.compile(r'url\(["\']?(?!data:)([^"\')]+)')


def weight(answer: TestResponse) -> int:
    return len(answer.data) + len(str(answer.headers)) + len("HTTP/1.1 200 OK\r\n")


def plain(answer: TestResponse) -> bytes:
    coding = answer.headers.get("Content-Encoding")
    return bytes({"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}[coding](answer.data))


@each_row("language", list(languages.OFFERED))
def test_the_first_page_of_a_parent_is_light(app: Flask, build: Build, language: str) -> None:
    ent = build.ent()
    for asked in (ent.url(Attempt()), ent.url(Attempt(), login_hint=None)):
        browser = app.test_client()
        browser.environ_base["HTTP_ACCEPT_ENCODING"] = CHROMIUM["Accept-Encoding"]
        browser.environ_base["HTTP_ACCEPT_LANGUAGE"] = language
        page = follow(browser, browser.get(asked))
        assert page.headers["Content-Encoding"] == "gzip"
        files = set(_FILE.findall(plain(page).decode()))
        answers = [browser.get(file) for file in files]
        for answer in answers:
            assert not _PICTURE.search(plain(answer).decode()), "a style sheet asks for another file"
        assert len(files) == len({file.partition("?")[0] for file in files}), "a file has two URLs"
        assert 1 + len(answers) <= REQUESTS, files
        assert f'<html lang="{language}"' in plain(page).decode()
        html = plain(page).decode()
        token = {"csrf_token": _TOKEN.findall(html)[0]}
        later = [browser.post(url, data=token) for url in _CHALLENGE.findall(html)]
        assert all(challenge.status_code == 200 for challenge in later)
        assert 1 + len(answers) + len(later) <= REQUESTS, "the passkey's challenge counts, although it comes later"
        total = weight(page) + sum(map(weight, [*answers, *later]))
        assert total <= WIRE, (asked, total)


@pytest.mark.parametrize("coding", ["br", "gzip", None])
def test_static_files_come_in_the_coding_that_the_browser_accepts(browser: FlaskClient, coding: str | None) -> None:
    for source in STATIC.iterdir():
        answer = browser.get(f"/static/{source.name}", headers={"Accept-Encoding": coding} if coding else {})
        assert answer.headers.get("Content-Encoding") == coding
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert plain(answer) == (precompressed.minified(source) if coding else source.read_bytes())
        answer.close()


def test_style_sheets_and_scripts_lose_comments_and_blanks_but_no_text(tmp_path: Path) -> None:
    style, script = tmp_path / "a.css", tmp_path / "a.js"
    style.write_text("/* one\n   two */\np { margin: 0 }\na::after { content: ' /* text */ ' }\n")
    script.write_text("// one\nlet url = 'https://x // y';\n  /* two\n */\ngo();\n")
    assert precompressed.minified(style) == b"p{margin:0}a::after{content:' /* text */ '}"
    assert precompressed.minified(script) == b"let url='https://x // y';go();"


def test_a_compressed_file_of_an_older_source_is_not_served(tmp_path: Path) -> None:
    source = tmp_path / "base.css"
    source.write_text("p { color: red }")
    older = precompressed.variants(source)
    source.write_text("p { color: blue }")
    assert not set(older.values()) & set(precompressed.variants(source).values())
    assert {Path(path).parent for path in older.values()} == {STATIC_COMPRESSED}


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("br", False), ("gzip;q=0, br", False), ("", False), ("xgzip", False)],
)
def test_a_page_is_compressed_for_a_browser_that_accepts_gzip(
    browser: FlaskClient, accepted: str, *, is_compressed: bool
) -> None:
    page = browser.get("/mentions-legales", headers={"Accept-Encoding": accepted})
    assert ("Content-Encoding" in page.headers) is is_compressed
    assert "Cookie" in page.headers["Vary"]
    assert page.headers["Content-Length"] == str(len(page.data))
    assert b"<h1>" in plain(page)


def test_no_page_of_a_person_who_is_signed_in_is_compressed(browser: FlaskClient, build: Build) -> None:
    sign_in(browser, "/connexion", build.active().username, PASSWORD)
    for place in ("/mon-compte", "/connexion?compte=autre", "/mentions-legales"):
        page = browser.get(place, headers=CHROMIUM)
        assert "Content-Encoding" not in page.headers, place
        assert "<h1>" in page.text


def test_endpoints_for_programs_are_not_compressed(browser: FlaskClient, build: Build) -> None:
    for path in ("/.well-known/openid-configuration", "/jwks.json", build.ent().url(Attempt())):
        assert "Content-Encoding" not in browser.get(path, headers=CHROMIUM).headers, path


def test_the_pages_of_an_activation_which_name_the_identifier_are_not_compressed(
    browser: FlaskClient, newcomer: Account
) -> None:
    page = open_activation(browser, newcomer)
    again = browser.get(page.request.full_path, headers=CHROMIUM)
    fill_in(browser, page)
    after = browser.get("/connexion", headers=CHROMIUM)
    for answer in (again, after):
        assert newcomer.username in answer.text
        assert "Content-Encoding" not in answer.headers
