import re
from html import unescape
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

from demo.catcher import create_webmail
from demo.mailbox import Mailbox
from idp.app import create_app
from idp.paths import TEMPLATES
from tests.architecture.tree import pages, shown, templates
from tests.databases import NOWHERE, settings_for
from tests.rows import each_row

_TRANSLATES = {"_", "gettext", "ngettext", "plurals"}
_SPOKEN = re.compile(r"\b(?:alt|aria-label|aria-description|placeholder|title|summary)\s*=\s*([\"'])(.*?)\1", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]{2,}")
_ATTRIBUTE = re.compile(r"[\w-]+=\"[^\"]*\"")  # a macro may output attributes without their tag
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")
_HOLE = "\x00"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    """The Jinja environment of the service and of the demonstration's mail page."""
    service = create_app(settings_for(NOWHERE))
    webmail = create_webmail(Mailbox(tmp_path_factory.mktemp("mails")))
    return {"service": service.jinja_env, "demo": webmail.jinja_env}


def environment(environments: dict[str, Environment], path: Path) -> Environment:
    return environments["demo" if path.parent.name == "demo" else "service"]


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_every_template_compiles(environments: dict[str, Environment], path: Path) -> None:
    environment(environments, path).get_template(path.relative_to(TEMPLATES).as_posix())


@each_row("path", pages())
def test_every_page_extends_the_layout_and_has_a_title_that_its_heading_repeats(
    environments: dict[str, Environment], path: Path
) -> None:
    tree = environment(environments, path).parse(path.read_text(encoding="utf-8"))
    [extended] = tree.find_all(nodes.Extends)
    assert isinstance(extended.template, nodes.Const)
    assert extended.template.value == ("demo/demo.html" if path.parent.name == "demo" else "layout.html")
    blocks = {block.name: block for block in tree.find_all(nodes.Block)}
    parts = list(blocks["title"].find_all((nodes.Call, nodes.Getattr, nodes.Filter)))
    assert parts, "a title that says something"
    assert list(blocks["card"].find_all(nodes.Output))
    assert "<h1>" in path.read_text(encoding="utf-8")


def bare(source: str) -> list[str]:
    """Return the untranslated words in the output of a template."""
    without = re.sub(r"{#.*?#}", "", source, flags=re.DOTALL)
    text = re.sub(r"{{.*?}}|{%.*?%}", _HOLE, without, flags=re.DOTALL)
    spoken = [match.group(2) for match in _SPOKEN.finditer(text)]
    visible = re.sub(r"<!--.*?-->|<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>", " ", text, flags=re.DOTALL)
    return [
        word
        for part in (*spoken, visible)
        for word in _WORD.findall(unescape(_ATTRIBUTE.sub(" ", part)).replace(_HOLE, " "))
    ]


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_every_word_on_a_page_can_be_translated(path: Path) -> None:
    assert bare(path.read_text(encoding="utf-8")) == []


@each_row(
    ("source", "words"),
    [
        ("<p>Bonjour</p>", ["Bonjour"]),
        ("<p>{{ _('Bonjour') }}</p>", []),
        ('<a href="{{ url }}" title="Aide">{{ _("x") }}</a>', ["Aide"]),
        ("{% if a > b %}Oui{% endif %}", ["Oui"]),
        ("{# une note #}<!-- une autre --><b class='gros'>{{ name }}</b> : ", []),
        ("<p>&eacute;t&eacute;</p>", ["été"]),
    ],
)
def test_a_bare_word_would_be_seen(source: str, words: list[str]) -> None:
    assert bare(source) == words


@each_row("path", [*templates(".html"), *templates(".txt")])
def test_a_translated_text_is_a_whole_literal_sentence(environments: dict[str, Environment], path: Path) -> None:
    tree = environment(environments, path).parse(path.read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if not (isinstance(call.node, nodes.Name) and call.node.name in _TRANSLATES):
            continue
        where = f"{shown(path)}:{call.lineno}"
        texts = call.args[:2] if call.node.name == "ngettext" else call.args[:1]
        assert texts, where
        for text in texts:
            assert isinstance(text, nodes.Const), f"{where}: extraction reads literals only"
            assert not re.search(r"\w'\w", text.value), f"{where}: the apostrophe is ’"
            given = {pair.key for pair in call.kwargs}
            assert set(_PLACEHOLDER.findall(text.value)) <= given | ({"n", "num"} if len(texts) > 1 else set()), where


_FORM = re.compile(r"<form\b[^>]*method=\"post\"[^>]*>")


@each_row("path", pages())
def test_no_form_posts_to_the_address_of_another_form_of_its_page(path: Path) -> None:
    forms = _FORM.findall(path.read_text(encoding="utf-8"))
    assert len({"action=" in form for form in forms}) <= 1, path.name


@each_row("path", pages())
def test_a_page_with_a_new_password_an_email_field_or_a_wait_has_their_script(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    needs = re.search(r"k\.(?:mail_field|shown_password)\(|data-poll", source)
    assert ("asset('typing.js')" in source) == bool(needs)
