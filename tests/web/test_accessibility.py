"""What the self-audit (idp/web/rgaa.toml) says of all pages, and the statement that is made from it."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from idp.paths import CHECKOUT, STATIC, TEMPLATES
from idp.web.i18n import day
from idp.web.legal import AUDIT, FAILURES
from tests.builders import Build
from tests.web.tour import COUNT, pages

CRITERIA = {1: 9, 2: 2, 3: 3, 4: 13, 5: 8, 6: 2, 7: 5, 8: 10, 9: 4, 10: 14, 11: 13, 12: 11, 13: 12}
"""How many criteria each theme of RGAA 4.1.2 has."""
ABSENT = {"table", "iframe", "video", "audio", "object", "embed", "canvas", "select", "marquee", "blink"}
STYLES = [STATIC / "tokens.css", CHECKOUT / "themes" / "dsfr" / "tokens.css"]
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
    light, _, dark = style.read_text(encoding="utf-8").partition("@media (prefers-color-scheme: dark)")
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
