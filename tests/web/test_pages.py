"""All pages: structure and contrast that the self-audit names (idp/web/rgaa.toml), compression, a light first page."""

import gzip
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import brotli
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp import languages, precompressed
from idp.accounts.models import Account
from idp.paths import CHECKOUT, STATIC, STATIC_COMPRESSED, TEMPLATES
from idp.web.i18n import day
from idp.web.legal import AUDIT, FAILURES
from tests.activation.steps import fill_in, open_activation
from tests.builders import PASSWORD, Build
from tests.pages import follow, sign_in
from tests.relying_party import Attempt
from tests.rows import each_row
from tests.web.tour import COUNT, pages

CRITERIA = {1: 9, 2: 2, 3: 3, 4: 13, 5: 8, 6: 2, 7: 5, 8: 10, 9: 4, 10: 14, 11: 13, 12: 11, 13: 12}
"""How many criteria each theme of RGAA 4.1.2 has."""
ABSENT = {"table", "iframe", "video", "audio", "object", "embed", "canvas", "select", "marquee", "blink"}
STYLES = [STATIC / "base.css", CHECKOUT / "themes" / "dsfr" / "tokens.css"]
TEXTS = [
    *((text, ground) for text in ("ink", "ink-2", "brand") for ground in ("paper", "surface", "sunken", "brand-tint")),
    *((state, ground) for state in ("ok", "bad", "warn") for ground in (f"{state}-tint", "surface")),
    ("on-brand", "brand"),
]
CONTROLS = [("edge", "surface"), ("focus", "surface"), ("focus", "paper"), ("brand", "surface")]
_TOKEN = re.compile(r"--([\w-]+): (#[0-9a-f]{3,6});")


class Elements(HTMLParser):
    """The elements of a page in their order, with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def of(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.all if tag in tags]


def test_all_pages_have_the_structure_that_the_audit_names(app: Flask, build: Build) -> None:
    toured = pages(app, build)
    assert len(toured) == COUNT
    for name, page in toured:
        elements = Elements(page.text)
        ids = [attributes["id"] for _, attributes in elements.all if "id" in attributes]
        assert page.text.lstrip().startswith("<!DOCTYPE html>"), name
        assert len(ids) == len(set(ids)), name
        assert not ABSENT & {tag for tag, _ in elements.all}, name
        assert all(svg.get("aria-hidden") == "true" for svg in elements.of("svg")), name
        assert all(image.get("alt") == "" for image in elements.of("img")), name
        levels = [int(tag[1]) for tag, _ in elements.all if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1, name
        assert all(below - above <= 1 for above, below in pairwise(levels)), name
        assert [len(elements.of(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1], name
        links = elements.of("a")
        assert links[0]["href"] == "#contenu", name
        assert not any("target" in link for link in links), name
        assert not any(int(attributes.get("tabindex") or 0) > 0 for _, attributes in elements.all), name
        labelled = {label.get("for") for label in elements.of("label")} | {None}
        fields = [field for field in elements.of("input") if field.get("type") not in {"hidden", "checkbox"}]
        assert {field.get("id") for field in fields if field.get("autocomplete") != "username"} <= labelled, name
        required = [field for field in fields if "required" in field]
        assert len(required) <= 1 or "Il faut remplir tous les champs." in page.text, name
        latin = [field for field in required if field.get("type") in {"password", "email"}]
        codes = [*latin, *(link for link in links if (link.get("href") or "").startswith("tel:"))]
        assert all(code.get("dir") == "ltr" for code in codes), name


def test_the_pages_of_a_step_have_its_picture_of_the_letter(app: Flask, build: Build) -> None:
    pictures = {step: (TEMPLATES / "letter" / f"step{step}.svg").read_text().strip() for step in range(1, 6)}
    shown = {name: [step for step, svg in pictures.items() if svg in page.text] for name, page in pages(app, build)}
    expected = {
        "profile": [1],
        "activation": [3],
        "activation with errors": [3],
        "correction": [3],
        "mail sent": [4],
        "too soon": [4],
        "identifiant-oublie/envoye": [4],
        "mot-de-passe-oublie/envoye": [4],
        "confirmed": [5],
    }
    assert {name: steps for name, steps in shown.items() if steps} == expected | {"mailbox shared and confirmed": [5]}


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(text: str, ground: str) -> float:
    lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("style", STYLES, ids=["ours", "dsfr"])
def test_texts_and_controls_have_contrast_in_each_scheme(style: Path) -> None:
    screen, _, _ = style.read_text(encoding="utf-8").partition("@media print")
    light, _, dark = screen.partition("@media (prefers-color-scheme: dark)")
    first = dict(_TOKEN.findall(light))
    for tokens in (first, first | dict(_TOKEN.findall(dark))):
        for pairs, least in ((TEXTS, 4.5), (CONTROLS, 3)):
            for text, ground in pairs:
                assert contrast(tokens[text], tokens[ground]) >= least, (text, ground, tokens[text], tokens[ground])


def test_the_audit_has_each_criterion_and_says_what_shows_it() -> None:
    numbers = [criterion.number for _, criteria in AUDIT.themes for criterion in criteria]
    assert numbers == [f"{theme}.{n}" for theme, count in CRITERIA.items() for n in range(1, count + 1)]
    for _, criteria in AUDIT.themes:
        for criterion in criteria:
            assert criterion.result in {"C", "NC", "NA"}, criterion
            assert criterion.shown, criterion
            for place in re.findall(r"(?:tests|idp)/[\w/.]+", criterion.shown):
                assert CHECKOUT.joinpath(place).exists(), criterion


def test_the_statement_has_the_day_the_rate_and_the_failures_of_the_audit(browser: FlaskClient) -> None:
    page = browser.get("/accessibilite").text.replace("\xa0", " ")
    assert f"Déclaration établie le {day(AUDIT.day)}." in page
    assert f"{AUDIT.rate} % des critères applicables" in page
    assert set(FAILURES) == {criterion.number for criterion in AUDIT.results("NC")}
    for criterion in AUDIT.results("NC"):
        words = str(FAILURES[criterion.number])
        assert words.startswith(f"{criterion.number} – {criterion.title} : ")
        assert f"<li>{words}</li>" in page
        assert not re.search(r"[`<>/_=]", words), "a parent reads no code"
    state = "totalement" if AUDIT.rate == 100 else "partiellement" if AUDIT.rate >= 50 else "non"
    assert page.count(f"{state} conforme") == 3, "title, heading, footer"


WIRE = 12_000
"""Bytes of the first page with all its files and all their headers, at most."""
REQUESTS = 6
SERVER = "server: granian\r\ndate: Mon, 07 Dec 2026 09:00:00 GMT\r\n"
"""What the server adds to the headers of each response."""
CHROMIUM = {"Accept-Encoding": "gzip, deflate, br, zstd"}
_FILE = re.compile(r'(?:href|src)="(/static/[^"]+)"')
_CHALLENGE = re.compile(r'data-options="([^"]+)" data-auto')
_HIDDEN_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PICTURE = re.compile(r'url\(["\']?(?!data:)([^"\')]+)')


def weight(answer: TestResponse) -> int:
    return len(answer.data) + len(str(answer.headers)) + len(f"HTTP/1.1 200 OK\r\n{SERVER}")


def plain(answer: TestResponse) -> bytes:
    coding = answer.headers.get("Content-Encoding")
    return bytes({"gzip": gzip.decompress, "br": brotli.decompress, None: bytes}[coding](answer.data))


@each_row("language", list(languages.OFFERED))
def test_the_first_page_of_a_parent_is_light(app: Flask, build: Build, language: str) -> None:
    ent = build.ent(policy_uri="https://ent.test/donnees", tos_uri="https://ent.test/conditions")
    for asked in (ent.url(Attempt()), ent.url(Attempt(), login_hint=None), "/connexion", "/identifiant-oublie"):
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
        token = {"csrf_token": _HIDDEN_TOKEN.findall(html)[0]}
        later = [browser.post(url, data=token) for url in _CHALLENGE.findall(html)]
        assert bool(later) == (page.request.path == "/connexion")
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
    for answer in (again, browser.get("/connexion", headers=CHROMIUM)):
        assert newcomer.username in answer.text
        assert "Content-Encoding" not in answer.headers
